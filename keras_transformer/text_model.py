"""What holds a model and its tokenizers: checks, batches of like length, files."""

import json
import pathlib
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.files import whole, written_aside
from keras_transformer.text.tokenizer import Tokenizer
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

_MODEL, _SOURCE, _TARGET = "model.keras", "source.spm", "target.spm"


class TextModel:
    """A model that reads text, in a folder of its own when saved.

    Subclasses name the file of their settings, and give and take these as keyword
    arguments.
    """

    settings_file = None

    def __init__(self, model, source_tokenizer, target_tokenizer, max_source_length):
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer or source_tokenizer
        self.max_source_length = max_source_length
        for side in ("source", "target"):
            tokenizer = getattr(self, f"{side}_tokenizer")
            embedding = getattr(model, f"{side}_embedding")
            if tokenizer.vocabulary_size > embedding.vocabulary_size:
                raise ValueError(
                    f"The {side} tokenizer has {tokenizer.vocabulary_size} ids, but "
                    f"the model's {side} embedding only {embedding.vocabulary_size}."
                )

    def _batches(self, texts, tokens_per_batch):
        """Yields the places in `texts` and the ids of sentences of like length."""
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

    def encode(self, texts):
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
    def longest_source(self):
        """Most tokens of a source: `max_source_length`, unless fewer have positions."""
        return min(self.max_source_length, self.model.max_length or 2**31)

    def _settings(self):
        """Constructor arguments beside the model and the tokenizers."""
        return {"max_source_length": self.max_source_length}

    def save(self, folder):
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
        settings = json.dumps({"format": 1, **self._settings()}, indent=2)
        with written_aside(folder, stale=(_MODEL, _SOURCE, _TARGET)) as aside:
            aside.mkdir()
            self.model.save(aside / _MODEL)
            self.source_tokenizer.save(aside / _SOURCE)
            if self.target_tokenizer is not self.source_tokenizer:
                self.target_tokenizer.save(aside / _TARGET)
            path = aside / self.settings_file
            path.write_text(settings + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder):
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: If the folder holds nothing of the kind.
        """
        folder = whole(folder)
        path = folder / cls.settings_file
        if not path.exists():
            raise FileNotFoundError(
                f"folder={str(folder)!r} holds no {cls.__name__}: no "
                f"{cls.settings_file} in it."
            )
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings.pop("format")
        tokenizers = [_load_tokenizer(folder / _SOURCE)]
        if (folder / _TARGET).exists():
            tokenizers.append(_load_tokenizer(folder / _TARGET))
        model = keras.models.load_model(folder / _MODEL)
        return cls(model, *tokenizers, **settings)


def as_list(texts):
    """A list of strings, checked."""
    texts = list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(
                f"texts must be strings; received {text!r} of {type(text)}."
            )
    return texts


def _load_tokenizer(path):
    return (VocabularyTokenizer if path.is_dir() else Tokenizer).load(path)
