"""The folder of a run: what it was started with, and what lies in it."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib

from keras_transformer.data import PreparedCorpus
from keras_transformer.files import write_text
from keras_transformer.run.config_file import (
    CHECKPOINTS,
    CONFIG,
    WAY_OUT,
    check_folder,
    has_checkpoint,
    read_config,
    read_json,
)
from keras_transformer.run.corpora import is_prepared
from keras_transformer.run.metrics_file import read_metrics
from keras_transformer.run.start import TEXTS, check_files
from keras_transformer.run.texts import sentences, training_texts
from keras_transformer.text import Tokenizer, train_tokenizer
from keras_transformer.training import Checkpoints

_FINGERPRINTS, _SKIPPED = "fingerprints.json", "skipped.json"
_EPOCH = "unfinished_epoch.json"
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
        check_folder(path)
        self.config = config
        self.checkpoints = Checkpoints(
            self.path / CHECKPOINTS, keep=max(5, config.average_last)
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
        self._write(CONFIG, dataclasses.asdict(self.config))
        for path, sides in self._tokenizer_files().items():
            if not path.exists():
                self._new_tokenizer(path.stem, sides).save(path)
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
                f"{skipped}. {WAY_OUT}"
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
            raise ValueError(f"{self.path / _EPOCH} is damaged. {WAY_OUT}") from None
        ended = step % self.config.steps_per_epoch == 0
        this = step // self.config.steps_per_epoch - 1
        return (epoch, logs) if ended and epoch == this else None

    @property
    def fingerprints(self):
        """Dict of texts and tokenizers -> checksums of their contents."""
        return self._fingerprints()

    def _tokenizer_files(self):
        """The sides that each tokenizer is trained on, 0 and 1, by its path."""
        if self.config.joint_vocabulary:
            return {self.path / "source.spm": (0, 1)}
        return {self.path / "source.spm": (0,), self.path / "target.spm": (1,)}

    def _new_tokenizer(self, name, sides):
        """The tokenizer of prepared corpora, or one that is trained on the texts."""
        texts = training_texts(self.config)
        for one in texts:
            if is_prepared(one.source):
                return getattr(PreparedCorpus(one.source), f"{name}_tokenizer")
        options = dict(self.config.tokenizer)
        if tags := [tag for tag in self.config.tags or [] if tag and 0 in sides]:
            options["symbols"] = [*options.get("symbols", ()), *tags]
        size = self.config.vocabulary_size
        return train_tokenizer(
            vocabulary_size=size, sentences=sentences(texts, sides), **options
        )

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
            if before[name] != now[name] and name not in (*_FREE, *TEXTS)
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
        if not (self.path / CONFIG).exists():
            return
        texts = self._text_fingerprints
        with contextlib.suppress(ValueError, TypeError):
            before = read_config(self.path)
            recorded = self._read(_FINGERPRINTS, dict, {})
            changes = {name: getattr(self.config, name) for name in (*_FREE, *TEXTS)}
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
        check_files(self.config)
        texts = {name: getattr(self.config, name) for name in TEXTS}
        return {name: _fingerprint(text) for name, text in texts.items() if text}

    def _read(self, name, kind, default):
        path = self.path / name
        return read_json(path, kind) if path.exists() else default

    def _write(self, name, content):
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")


def _fingerprint(path):
    if isinstance(path, list):
        return [one and _fingerprint(one) for one in path]
    if not os.path.exists(path):
        # A dataset's name, or a tokenizer that is still to be trained.
        return str(path)
    if is_prepared(path):
        return PreparedCorpus(path).fingerprint
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
