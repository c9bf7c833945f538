"""The folder of a run: what it was started with, and what lies in it."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
from typing import Any

from keras_transformer.data import PreparedCorpus
from keras_transformer.files import file_fingerprint, remove, write_text
from keras_transformer.run.config import RunConfig
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
from keras_transformer.run.initial import (
    folder_fingerprint,
    initial_fingerprint,
    open_translator,
)
from keras_transformer.run.start import TEXTS, check_files
from keras_transformer.run.texts import sentences, training_texts
from keras_transformer.text import train_tokenizer
from keras_transformer.text.loading import load_tokenizer
from keras_transformer.training import Checkpoints
from keras_transformer.training.metrics_file import read_metrics
from keras_transformer.training.schedule_names import DECAYS

_FINGERPRINTS, _SKIPPED = "fingerprints.json", "skipped.json"
_EPOCH = "unfinished_epoch.json"
_SOURCE, _TARGET = "source.spm", "target.spm"
# How a translator that the run starts from reads and searches.
_INITIAL = "initial.json"
# What may change while a run goes on: how long, how often it forgives, what is shown
# and kept, and where.
_FREE = ("steps", "patience", "keep", "samples", "skip_nonfinite", "strategy")
# These may lie elsewhere: their content counts.
_PATHS = (*TEXTS, "initial")


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

    def __init__(self, path: str | os.PathLike, config: RunConfig) -> None:
        self.path = pathlib.Path(path)
        check_folder(path)
        self.config = config
        self.checkpoints = Checkpoints(
            self.path / CHECKPOINTS, keep=max(5, config.average_last)
        )
        self.metrics = self.path / "metrics.csv"
        self._check()

    @property
    def is_started(self) -> bool:
        """Whether there is a checkpoint, whole or not."""
        return has_checkpoint(self.path)

    def prepare(self) -> None:
        """Creates what isn't there yet: tokenizers, then the files that describe it."""
        self._check()
        if not self.is_started:
            self._forget_another_start()
        self._write(CONFIG, dataclasses.asdict(self.config))
        if self.config.initial is not None:
            self._take_over_initial()
        for path, sides in self._tokenizer_files().items():
            if not path.exists():
                self._new_tokenizer(path.stem, sides).save(path)
        self._write(_FINGERPRINTS, self.fingerprints)

    def tokenizers(self) -> tuple[Any, Any]:
        """The source's and the target's tokenizer, which may be one."""
        tokenizers = [load_tokenizer(path) for path in self._tokenizer_files()]
        return tokenizers[0], tokenizers[-1]

    def translator_settings(self) -> dict[str, Any]:
        """Arguments of the run's `kt.Translator` beside its model and tokenizers."""
        return self._read(_INITIAL, dict, {})

    @property
    def skipped(self) -> list[int]:
        """Numbers of the updates that are left out, in the order of their failures."""
        skipped = self._read(_SKIPPED, list, [])
        if not all(type(update) is int and update >= 0 for update in skipped):
            raise ValueError(
                f"{self.path / _SKIPPED} must hold numbers of updates; received "
                f"{skipped}. {WAY_OUT}"
            )
        return skipped

    def skip(self, update: int) -> None:
        """Leaves an update out from now on, counted with those left out before."""
        skipped = self.skipped
        for before in sorted(skipped):
            # What the run counts is what is left.
            update += update >= before
        self._write(_SKIPPED, [*skipped, update])

    def note_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """Keeps what an epoch logged in training, until all of it is written."""
        logs = {name: float(value) for name, value in logs.items()}
        self._write(_EPOCH, {"epoch": epoch, "logs": logs})

    def forget_epoch(self) -> None:
        """Removes what was noted of an epoch that has come to its end."""
        (self.path / _EPOCH).unlink(missing_ok=True)

    def noted_epoch(self, step: int) -> tuple[int, dict[str, float]] | None:
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

    def _tokenizer_files(self):
        """The sides that each tokenizer is trained on, 0 and 1, by its path."""
        if self.config.initial is not None:
            names = [_SOURCE, *([_TARGET] if (self.path / _TARGET).exists() else [])]
            return {self.path / name: () for name in names}
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

    def _take_over_initial(self):
        """Writes the tokenizers and the settings of the translator it starts from."""
        if (self.path / _SOURCE).exists():
            return
        translator = open_translator(self.config.initial)
        settings = {
            "max_source_length": translator.max_source_length,
            "search_options": translator.search_options,
        }
        self._write(_INITIAL, settings)
        if translator.target_tokenizer is not translator.source_tokenizer:
            translator.target_tokenizer.save(self.path / _TARGET)
        # The last one, which says that all of them are there.
        translator.source_tokenizer.save(self.path / _SOURCE)

    def _check(self):
        prints = self.fingerprints
        if not self.is_started:
            return
        # Arguments that came after the run was started have their defaults.
        before = dataclasses.asdict(read_config(self.path))
        now = dataclasses.asdict(self.config)
        changed = [
            f"{name}: {before[name]!r} before, {now[name]!r} now"
            for name in now
            if before[name] != now[name] and name not in (*self._free, *_PATHS)
        ]
        started_from = before["initial"]
        if (started_from is None) != (self.config.initial is None):
            changed.append(
                f"initial: {started_from!r} before, {self.config.initial!r} now"
            )
        if started_from == self.config.initial and not _is_there(started_from):
            # The run holds all that it needs of it.
            prints.pop("initial", None)
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
            changes = {name: getattr(self.config, name) for name in (*_FREE, *_PATHS)}
            if dataclasses.replace(before, **changes) == self.config and all(
                recorded.get(name) == text for name, text in texts.items()
            ):
                return
        for name in (_SOURCE, _TARGET, _INITIAL, _SKIPPED, _EPOCH, _FINGERPRINTS):
            remove(self.path / name)

    @property
    def fingerprints(self) -> dict[str, Any]:
        """SHA-256 of the texts, wherever they lie, and of the tokenizers."""
        tokenizers = {path.name: _fingerprint(path) for path in self._tokenizer_files()}
        return self._text_fingerprints | tokenizers

    @functools.cached_property
    def _text_fingerprints(self):
        check_files(self.config)
        texts = {name: getattr(self.config, name) for name in TEXTS}
        prints = {n: _text_fingerprint(text) for n, text in texts.items() if text}
        if self.config.initial is not None:
            if found := initial_fingerprint(self.config.initial):
                prints["initial"] = found
        return prints

    @property
    def _free(self):
        """What may change: `steps` only where the learning rate doesn't end at them."""
        ends = self.config.schedule in DECAYS
        return tuple(name for name in _FREE if not (ends and name == "steps"))

    def _read(self, name, kind, default):
        path = self.path / name
        return read_json(path, kind) if path.exists() else default

    def _write(self, name, content):
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")


def _is_there(initial):
    return initial is not None and os.path.exists(initial)


def _text_fingerprint(text):
    """That of a text, a prepared corpus, or a list of them."""
    if isinstance(text, list):
        return [one and _text_fingerprint(one) for one in text]
    return PreparedCorpus(text).fingerprint if is_prepared(text) else _fingerprint(text)


def _fingerprint(path):
    if not os.path.exists(path):
        # A dataset's name, or a tokenizer that is still to be trained.
        return str(path)
    path = pathlib.Path(path)
    return folder_fingerprint(path) if path.is_dir() else file_fingerprint(path)
