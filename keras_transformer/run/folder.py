"""The folder of a run: what it was started with, and what lies in it."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib

from keras_transformer.files import write_text
from keras_transformer.run.config import RunConfig
from keras_transformer.run.metrics_file import read_metrics
from keras_transformer.text import Tokenizer, train_tokenizer
from keras_transformer.training import Checkpoints

_CONFIG, _FINGERPRINTS, _SKIPPED = "config.json", "fingerprints.json", "skipped.json"
_CHECKPOINTS, _EPOCH = "checkpoints", "unfinished_epoch.json"
_WAY_OUT = "Correct it or copy it from a backup, or train in another folder."
_TEXTS = ("source", "target", "valid_source", "valid_target")
# What may change while a run goes on: how long, how often it forgives, and where.
_FREE = ("steps", "skip_nonfinite", "strategy")


class RunFolder:
    """Files of a run.

    A folder that holds a checkpoint binds: training goes on with the configuration it
    was started with. What a start without one has left counts for nothing.

    Args:
        path: The folder.
        config: The `RunConfig` that the run is started or goes on with.

    Raises:
        ValueError: If the folder holds a run with another configuration, other texts or
            another vocabulary, whose differences are named, or a broken file.
        FileNotFoundError: If a text isn't there.
    """

    def __init__(self, path, config):
        self.path = pathlib.Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"folder={str(path)!r} is a file; choose another name.")
        self.config = config
        self.checkpoints = Checkpoints(
            self.path / _CHECKPOINTS, keep=max(5, config.average_last)
        )
        self.metrics = self.path / "metrics.csv"
        self._check()

    @property
    def is_started(self):
        """Whether there is a checkpoint, whole or not."""
        return has_checkpoint(self.path)

    def prepare(self):
        """Creates what isn't there yet: tokenizers, then the files that describe it."""
        self._check()
        if not self.is_started:
            self._forget_another_start()
        self._write(_CONFIG, dataclasses.asdict(self.config))
        for path, texts in self._tokenizer_files().items():
            if not path.exists():
                tokenizer = train_tokenizer(
                    texts, self.config.vocabulary_size, **self.config.tokenizer
                )
                tokenizer.save(path)
        self._write(_FINGERPRINTS, self._fingerprints())

    def tokenizers(self):
        """The source's and the target's tokenizer, which may be one."""
        tokenizers = [Tokenizer.load(path) for path in self._tokenizer_files()]
        return tokenizers[0], tokenizers[-1]

    @property
    def skipped(self):
        """Numbers of the updates that are left out, in the order of their failures."""
        skipped = self._read(_SKIPPED, list, [])
        if not all(type(update) is int and update >= 0 for update in skipped):
            raise ValueError(
                f"{self.path / _SKIPPED} must hold numbers of updates; received "
                f"{skipped}. {_WAY_OUT}"
            )
        return skipped

    def skip(self, update):
        """Leaves an update out from now on, counted with those left out before."""
        skipped = self.skipped
        for before in sorted(skipped):
            # What the run counts is what is left.
            update += update >= before
        self._write(_SKIPPED, [*skipped, update])

    def note_epoch(self, epoch, logs):
        """Keeps what an epoch logged in training, until all of it is written."""
        logs = {name: float(value) for name, value in logs.items()}
        self._write(_EPOCH, {"epoch": epoch, "logs": logs})

    def forget_epoch(self):
        """Removes what was noted of an epoch that has come to its end."""
        (self.path / _EPOCH).unlink(missing_ok=True)

    def noted_epoch(self, step):
        """Number and logs of the epoch of a checkpoint that hasn't been validated yet.

        Args:
            step: The checkpoint's.

        Returns:
            A tuple, or None if there is no such epoch.
        """
        noted = self._read(_EPOCH, dict, {})
        try:
            epoch, logs = noted.get("epoch"), noted.get("logs", {})
            logs = {name: float(value) for name, value in logs.items()}
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"{self.path / _EPOCH} is damaged. {_WAY_OUT}") from None
        ended = step % self.config.steps_per_epoch == 0
        this = step // self.config.steps_per_epoch - 1
        return (epoch, logs) if ended and epoch == this else None

    def _tokenizer_files(self):
        """The texts that each tokenizer is trained on, by its path."""
        texts = [
            self.config.source,
            self.config.target if self.config.target else self.config.source,
        ]
        if self.config.joint_vocabulary:
            return {self.path / "source.spm": sorted(set(texts))}
        return {
            self.path / f"{side}.spm": [text]
            for side, text in zip(("source", "target"), texts)
        }

    def _check(self):
        prints = self._fingerprints()
        if not self.is_started:
            return
        # Arguments that came after the run was started have their defaults.
        before = dataclasses.asdict(read_config(self.path))
        now = dataclasses.asdict(self.config)
        changed = [
            f"{name}: {before[name]!r} before, {now[name]!r} now"
            for name in now
            if before[name] != now[name] and name not in (*_FREE, *_TEXTS)
        ]
        recorded = self._read(_FINGERPRINTS, dict, {})
        for name, now in prints.items():
            if name in recorded and recorded[name] != now:
                changed.append(f"{name}: its content isn't what it was")
        if changed:
            raise ValueError(
                f"folder={str(self.path)!r} holds a run with another configuration. "
                "Use another folder, or the same configuration to go on. Different are "
                + "; ".join(changed)
                + "."
            )
        # Reading raises for a broken file: now, not after an epoch.
        _ = self.skipped, self.noted_epoch(0)
        if self.metrics.exists():
            read_metrics(self.metrics)

    def _forget_another_start(self):
        """Removes what a start with another configuration has left."""
        if not (self.path / _CONFIG).exists():
            return
        texts = self._text_fingerprints
        with contextlib.suppress(ValueError, TypeError):
            before = read_config(self.path)
            recorded = self._read(_FINGERPRINTS, dict, {})
            changes = {name: getattr(self.config, name) for name in (*_FREE, *_TEXTS)}
            if dataclasses.replace(before, **changes) == self.config and all(
                recorded.get(name) == text for name, text in texts.items()
            ):
                return
        for name in ("source.spm", "target.spm", _SKIPPED, _EPOCH, _FINGERPRINTS):
            (self.path / name).unlink(missing_ok=True)

    def _fingerprints(self):
        """SHA-256 of the texts, wherever they lie, and of the tokenizers."""
        tokenizers = {path.name: _fingerprint(path) for path in self._tokenizer_files()}
        return self._text_fingerprints | tokenizers

    @functools.cached_property
    def _text_fingerprints(self):
        texts = {name: getattr(self.config, name) for name in _TEXTS}
        for name, text in texts.items():
            if text and not text.startswith("tfds:") and not os.path.exists(text):
                raise FileNotFoundError(f"{name}={text!r} isn't there.")
        return {name: _fingerprint(text) for name, text in texts.items() if text}

    def _read(self, name, kind, default):
        path = self.path / name
        return read_json(path, kind) if path.exists() else default

    def _write(self, name, content):
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")


def has_checkpoint(folder):
    """Whether a run's folder holds a checkpoint, whole or not."""
    return bool(Checkpoints(pathlib.Path(folder) / _CHECKPOINTS).paths())


def read_config(folder):
    """The `RunConfig` of a run's folder.

    Raises:
        FileNotFoundError: If the folder has none.
        ValueError: If the file is broken; it is named.
    """
    path = pathlib.Path(folder) / _CONFIG
    if not path.exists():
        raise FileNotFoundError(
            f"folder={str(folder)!r} has no {_CONFIG}, which says what its checkpoints "
            "are of. Copy it from a backup, or train in another folder."
        )
    try:
        return RunConfig.from_json(read_json(path, dict))
    except (ValueError, TypeError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error} {_WAY_OUT}") from None


def read_json(path, kind):
    """What a run's file holds.

    Raises:
        ValueError: If it is no JSON, or of another kind; the file is named.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}. {_WAY_OUT}") from None
    if not isinstance(content, kind):
        raise ValueError(
            f"{path} must hold a {kind.__name__}; received {content!r:.60}. {_WAY_OUT}"
        )
    return content


def _fingerprint(path):
    if not os.path.exists(path):
        # A dataset's name, or a tokenizer that is still to be trained.
        return str(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
