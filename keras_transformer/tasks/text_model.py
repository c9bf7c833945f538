"""What holds a model and its tokenizers: checks, batches of like length, files."""

import inspect
import json
import os
import pathlib
import warnings
import zipfile
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.arguments import integer
from keras_transformer.files import whole, written_aside
from keras_transformer.reading import existing, field, naming, read_json
from keras_transformer.text.any_tokenizer import AnyTokenizer
from keras_transformer.text.hub_tokenizer import as_tokenizer
from keras_transformer.text.loading import load_tokenizer

_MODEL, _SOURCE, _TARGET = "model.keras", "source.spm", "target.spm"
_FORMAT = 1
_TYPES = {"max_source_length": int, "search_options": dict, "labels": list}
# Whether there is a second tokenizer, so that it is missed where it is missing.
_HAS_TARGET = "target_tokenizer"


class TextModel:
    """A model that reads text, in a folder of its own when saved.

    Subclasses name the class of their model and the file of their settings, and give
    and take these as keyword arguments.
    """

    model_class: type
    settings_file: str

    def __init__(
        self,
        model: keras.Model,
        source_tokenizer: AnyTokenizer,
        target_tokenizer: AnyTokenizer | None,
        max_source_length: int,
    ) -> None:
        if not isinstance(model, self.model_class):
            raise TypeError(
                f"model must be a kt.{self.model_class.__name__}; received "
                f"model={model!r}."
            )
        self.model: Any = model
        self.source_tokenizer = as_tokenizer(source_tokenizer)
        self.target_tokenizer = self.source_tokenizer
        if target_tokenizer not in (None, source_tokenizer):
            self.target_tokenizer = as_tokenizer(target_tokenizer)
        self.max_source_length = integer("max_source_length", max_source_length)
        for side in ("source", "target"):
            tokenizer = getattr(self, f"{side}_tokenizer")
            embedding = getattr(model, f"{side}_embedding")
            if tokenizer.vocabulary_size > embedding.vocabulary_size:
                raise ValueError(
                    f"The {side} tokenizer has {tokenizer.vocabulary_size} ids, but "
                    f"the model's {side} embedding only {embedding.vocabulary_size}."
                )

    def _batches(self, texts, tokens_per_batch):
        """Yields the indices and the ids of sentences of like length."""
        integer("tokens_per_batch", tokens_per_batch)
        if not texts:
            return
        # Python's strings may hold lone surrogates, which no UTF-8 has.
        texts = [text.encode("utf-8", "replace") for text in texts]
        source_ids, truncated = self.encode(tf.constant(texts))
        if cut := int(tf.reduce_sum(tf.cast(truncated, "int32"))):
            warnings.warn(
                f"{cut} of {len(texts)} texts have more than max_source_length="
                f"{self.max_source_length} tokens and were cut off.",
                stacklevel=3,
            )
        lengths = source_ids.row_lengths().numpy()
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            count = max(1, tokens_per_batch // max(1, int(lengths[order[start]])))
            rows = order[start : start + count]
            yield rows, tf.gather(source_ids, rows).to_tensor().numpy()
            start += count

    def encode(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Source strings -> source ids, inside the graph.

        Args:
            texts: String tensor `(B,)`.

        Returns:
            A `tf.RaggedTensor` of ids `(B, None)`, each row closed by the end token,
            and a bool tensor `(B,)`: whether the text was cut off.
        """
        ids = self.source_tokenizer.tokenize(texts)
        room = self.longest_source - 1
        truncated = ids.row_lengths() > room
        ids = ids[:, :room]
        end = tf.fill([ids.nrows(), 1], self.source_tokenizer.end_id)
        return tf.concat([ids, tf.cast(end, ids.dtype)], axis=1), truncated

    @property
    def longest_source(self) -> int:
        """Most tokens of a source: `max_source_length`, unless fewer have positions."""
        return min(self.max_source_length, self.model.max_length or 2**31)

    def _settings(self):
        """Constructor arguments beside the model and the tokenizers."""
        settings = {"max_source_length": self.max_source_length}
        if self.target_tokenizer is not self.source_tokenizer:
            settings[_HAS_TARGET] = True
        return settings

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the model and the tokenizers to one folder, without pickle.

        An earlier save in the folder is replaced, once the new one is complete; other
        files in it stay. A symbolic link to a folder stays one.

        Raises:
            ValueError: If the folder holds something else, before anything is written.
        """
        folder = pathlib.Path(folder)
        held = whole(folder)
        if held.exists() and not (held / self.settings_file).exists():
            if not held.is_dir() or any(held.iterdir()):
                raise ValueError(
                    f"folder={str(folder)!r} holds something else than a "
                    f"{type(self).__name__}; choose another folder."
                )
        settings = json.dumps({"format": _FORMAT, **self._settings()}, indent=2)
        with written_aside(folder, stale=(_MODEL, _SOURCE, _TARGET)) as aside:
            aside.mkdir()
            self.model.save(aside / _MODEL)
            self.source_tokenizer.save(aside / _SOURCE)
            if self.target_tokenizer is not self.source_tokenizer:
                self.target_tokenizer.save(aside / _TARGET)
            path = aside / self.settings_file
            path.write_text(settings + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: If the folder holds nothing of the kind, or a file is
                missing.
            ValueError: If a file is cut short, damaged or of a newer version; it is
                named.
        """
        folder = whole(folder)
        path = folder / cls.settings_file
        if not path.exists():
            raise FileNotFoundError(
                f"folder={str(folder)!r} holds no {cls.__name__}: no "
                f"{cls.settings_file} in it."
            )
        settings, has_target = cls._read_settings(path)
        tokenizers: list[Any] = [load_tokenizer(folder / _SOURCE)]
        if has_target or (folder / _TARGET).exists():
            tokenizers.append(load_tokenizer(folder / _TARGET))
        model = _load_model(folder / _MODEL)
        what = f"the settings of a {cls.__name__} for the files beside it"
        with naming(path, what):
            return cls(model, *tokenizers, **settings)

    @classmethod
    def _read_settings(cls, path):
        """The constructor's arguments in a file, and whether it has two tokenizers."""
        settings = read_json(path, f"the settings of a {cls.__name__}")
        version = field(settings, "format", path, int)
        if version != _FORMAT:
            raise ValueError(
                f"{path} must be of format {_FORMAT}; received format={version}. It "
                "was saved by another version of keras_transformer: install that one."
            )
        known = list(inspect.signature(cls.__init__).parameters)
        known = [name for name in known if name in _TYPES]
        if unknown := settings.keys() - {"format", _HAS_TARGET, *known}:
            raise ValueError(
                f"{path} has unknown keys: {sorted(unknown)}. A {cls.__name__} has "
                f"{known}."
            )
        found = {
            name: field(settings, name, path, _TYPES[name], None) for name in known
        }
        found = {name: value for name, value in found.items() if value is not None}
        return found, field(settings, _HAS_TARGET, path, bool, False)


def _load_model(path):
    what = "a model that Keras saved"
    with naming(existing(path, what), what):
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .keras archive, or is cut short")
        with zipfile.ZipFile(path) as archive:
            # Keras reads weights without looking at their checksums.
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} in it is damaged")
        return keras.models.load_model(path)
