"""The folder of a run: what it was started with, and what lies in it."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib

from keras_transformer.text import Tokenizer, train_tokenizer
from keras_transformer.training import Checkpoints

_CONFIG, _FINGERPRINTS, _SKIPPED = "config.json", "fingerprints.json", "skipped.json"
_TEXTS = ("source", "target", "valid_source", "valid_target")
# What may change while a run goes on: how long, how often it forgives, and where.
_FREE = ("steps", "skip_nonfinite", "strategy")


class RunFolder:
    """Files of a run.

    Args:
        path: The folder.
        config: The `RunConfig` that the run is started or goes on with.

    Raises:
        ValueError: If the folder holds a run with another configuration, other texts or
            another vocabulary; the differences are named.
    """

    def __init__(self, path, config):
        self.path = pathlib.Path(path)
        self.config = config
        self.checkpoints = Checkpoints(
            self.path / "checkpoints", keep=max(5, config.average_last)
        )
        self._check()

    def prepare(self):
        """Creates what isn't there yet: tokenizers, then the files that describe it."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path, texts in self._tokenizer_files().items():
            if not path.exists():
                tokenizer = train_tokenizer(
                    texts, self.config.vocabulary_size, **self.config.tokenizer
                )
                tokenizer.save(path)
        self._write(_FINGERPRINTS, self._fingerprints())
        self._write(_CONFIG, dataclasses.asdict(self.config))

    def tokenizers(self):
        """The source's and the target's tokenizer, which may be one."""
        tokenizers = [Tokenizer.load(path) for path in self._tokenizer_files()]
        return tokenizers[0], tokenizers[-1]

    @property
    def skipped(self):
        """Numbers of the updates that are left out, in the order of their failures."""
        return self._read(_SKIPPED, [])

    def skip(self, update):
        """Leaves an update out from now on, counted with those left out before."""
        skipped = self.skipped
        for before in sorted(skipped):
            # What the run counts is what is left.
            update += update >= before
        self._write(_SKIPPED, [*skipped, update])

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
        before = self._read(_CONFIG, None)
        if before is None:
            return
        # Arguments that came after the run was started have their defaults.
        before = dataclasses.asdict(type(self.config)(**before))
        now = dataclasses.asdict(self.config)
        changed = [
            f"{name}: {before[name]!r} before, {now[name]!r} now"
            for name in now
            if before[name] != now[name] and name not in (*_FREE, *_TEXTS)
        ]
        prints = self._read(_FINGERPRINTS, {})
        for name, now in self._fingerprints().items():
            if name in prints and prints[name] != now:
                changed.append(f"{name}: its content isn't what it was")
        if changed:
            raise ValueError(
                f"folder={str(self.path)!r} holds a run with another configuration. "
                "Use another folder, or the same configuration to go on. Different are "
                + "; ".join(changed)
                + "."
            )

    def _fingerprints(self):
        """SHA-256 of the texts, wherever they lie, and of the tokenizers."""
        tokenizers = {path.name: _fingerprint(path) for path in self._tokenizer_files()}
        return self._text_fingerprints | tokenizers

    @functools.cached_property
    def _text_fingerprints(self):
        texts = {name: getattr(self.config, name) for name in _TEXTS}
        return {name: _fingerprint(text) for name, text in texts.items() if text}

    def _read(self, name, default):
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else default

    def _write(self, name, content):
        aside = self.path / f"{name}.writing-{os.getpid()}"
        aside.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(aside, self.path / name)


def _fingerprint(path):
    if not os.path.exists(path):
        # A dataset's name, or a file that reading will complain of.
        return str(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
