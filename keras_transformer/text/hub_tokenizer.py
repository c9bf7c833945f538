"""KerasHub's tokenizers, with the ids that a Transformer needs."""

import functools
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from keras_transformer.reading import field, naming, read_json

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

SETTINGS_FILE = "hub_tokenizer.json"
_PADDING = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>")
_START = ("<s>", "[START]", "[BOS]", "<bos>", "[CLS]", "<|startoftext|>")
_END = ("</s>", "[END]", "[EOS]", "<eos>", "[SEP]", "<|endoftext|>")
# Their token 0 is what they pad with, though it is a character too.
_PADS_WITH_ZERO = ("ByteTokenizer", "UnicodeCodepointTokenizer")
# What a graph of BytePairTokenizer looks words and ids up in.
_TABLES = (
    "byte2unicode",
    "unicode2byte",
    "merge_ranks",
    "id_to_token_map",
    "token_to_id_map",
)


class HubTokenizer:
    """A tokenizer of KerasHub, where a `kt.text.Tokenizer` is wanted.

    `kt.Translator`, `kt.TextEncoder`, `kt.TextGenerator` and `kt.text.make_batches`
    take KerasHub's tokenizers as they are, and make one of these. It works on strings
    and tensors, eagerly and inside `tf.function`s and exported models.

    Id 0 is padding in all of this package, and each sentence has a start and an end:

    - If the tokenizer's own token 0 is padding, ids stay as they are. Otherwise each
      is larger by one.
    - A start or end token that the vocabulary lacks gets an id after its last one.

    Special tokens in a text can't pad, start or end it: they are left out.

    Args:
        tokenizer: A `keras_hub.tokenizers` SentencePiece, WordPiece, BytePair, Byte or
            UnicodeCodepoint tokenizer, or one of a KerasHub model.
        start: Token that starts a target. By default `<s>`, `[START]`, `[BOS]`,
            `<bos>`, `[CLS]` or `<|startoftext|>`, the first that the vocabulary has.
        end: Token that ends a sentence. By default `</s>`, `[END]`, `[EOS]`, `<eos>`,
            `[SEP]` or `<|endoftext|>`, the first that the vocabulary has.

    Raises:
        TypeError: If `tokenizer` isn't one of KerasHub's.
        ValueError: If it gives strings, pads to a `sequence_length`, or lacks `start`
            or `end`.

    Example:

    >>> import keras_hub
    >>> tokenizer = kt.text.HubTokenizer(keras_hub.tokenizers.ByteTokenizer())
    >>> tokenizer.tokenize(["ab"]).to_list()
    [[97, 98]]
    >>> tokenizer.vocabulary_size, tokenizer.start_id, tokenizer.end_id
    (258, 256, 257)
    """

    padding_id = 0

    def __init__(
        self,
        tokenizer: "keras.layers.Layer",
        start: str | None = None,
        end: str | None = None,
    ) -> None:
        if not is_hub_tokenizer(tokenizer):
            raise TypeError(
                "tokenizer must be one of keras_hub.tokenizers; received "
                f"{type(tokenizer).__name__}."
            )
        if not np.issubdtype(np.dtype(_compute_dtype(tokenizer)), np.integer):
            raise ValueError(
                'tokenizer must give ids, with an integer dtype such as "int32"; '
                f"received dtype={tokenizer.compute_dtype!r}."
            )
        if tokenizer.sequence_length is not None:
            raise ValueError(
                "tokenizer must not pad: leave its sequence_length out; received "
                f"sequence_length={tokenizer.sequence_length}."
            )
        self.tokenizer = tokenizer
        size = _size(tokenizer)
        kinds = {kind.__name__ for kind in type(tokenizer).__mro__}
        has_padding = not kinds.isdisjoint(_PADS_WITH_ZERO)
        has_padding = has_padding or tokenizer.id_to_token(0) in _PADDING
        self._shift = 0 if has_padding else 1
        self._end_of_own = size + self._shift
        self._vocabulary_size = self._end_of_own
        self.start_id = self._special_id("start", start, _START)
        self.end_id = self._special_id("end", end, _END)
        if self.start_id == self.end_id:
            raise ValueError(
                "start and end must be two tokens; received "
                f"{tokenizer.id_to_token(self.end_id - self._shift)!r} for both. "
                "Leave start out, and it gets an id of its own."
            )
        self._settings = {"start": start, "end": end}

    def _special_id(self, name, token, usual):
        """The id of a token of the vocabulary, or of one more."""
        found = _own_id(self.tokenizer, [token] if token is not None else usual)
        if found is not None:
            return found + self._shift
        if token is not None:
            raise ValueError(
                f"{name} must be a token of the vocabulary; received {name}={token!r}."
            )
        self._vocabulary_size += 1
        return self._vocabulary_size - 1

    @functools.cached_property
    def _to_ids(self):
        import tensorflow as tf

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )
        def to_ids(text):
            ids = tf.cast(self._in_graph().tokenize(text), tf.int32) + self._shift
            special = (ids == 0) | (ids == self.start_id) | (ids == self.end_id)
            return tf.ragged.boolean_mask(ids, ~special)

        return to_ids

    @functools.cached_property
    def _to_text(self):
        import tensorflow as tf

        @tf.function(
            input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)],
            autograph=False,
        )
        def to_text(ids):
            special = (ids == 0) | (ids == self.start_id) | (ids == self.end_id)
            unknown = ids >= self._end_of_own
            ids = tf.ragged.boolean_mask(ids, ~(special | unknown))
            text = self._in_graph().detokenize(ids - self._shift)
            return tf.ensure_shape(text, [None])

        return to_text

    @functools.cached_property
    def _byte_pairs(self):
        """A copy whose tables are made outside of the graphs that use them."""
        import tensorflow as tf

        with tf.init_scope():
            copy = _copy(self.tokenizer)
            merges = self.tokenizer.vocabulary, self.tokenizer.merges
            copy.set_vocabulary_and_merges(*merges)
            copy._maybe_initialized_tf()
        return copy

    def _in_graph(self):
        """The tokenizer; what it keeps of one graph must not get into another.

        Byte tokenizers keep a tensor, and SentencePiece's an operation, which
        `tf.random.set_seed` destroys if it was made outside of a graph.
        """
        if _is_byte_pair(self.tokenizer):
            return self._byte_pairs
        if hasattr(self.tokenizer, "proto"):
            copy = _copy(self.tokenizer)
            copy.set_proto(self.tokenizer.proto)
            return copy
        has_vocabulary = hasattr(self.tokenizer, "save_assets")
        return self.tokenizer if has_vocabulary else _copy(self.tokenizer)

    @property
    def resources(self) -> list[Any]:
        """What a `tf.Module` that uses the tokenizer must keep track of."""
        if not _is_byte_pair(self.tokenizer):
            return []
        tables = [getattr(self._byte_pairs, name) for name in _TABLES]
        return [*tables, self._byte_pairs.cache.id2value]

    @property
    def vocabulary_size(self) -> int:
        """Number of ids; padding, start and end included."""
        return self._vocabulary_size

    def tokenize(self, text: "Sequence[str] | tf.Tensor") -> "tf.RaggedTensor":
        """Strings `(B,)` -> a `tf.RaggedTensor` of int32 ids, no special tokens.

        Bytes that aren't valid UTF-8 become U+FFFD, the replacement character.
        """
        import tensorflow as tf

        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        return self._to_ids(text)

    def detokenize(self, ids: "tf.RaggedTensor | tf.Tensor") -> "tf.Tensor":
        """Ids, a `tf.RaggedTensor` or an integer tensor `(B, T)` -> strings `(B,)`.

        Padding, start and end tokens leave no trace.
        """
        import tensorflow as tf

        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids, "int32"))
        return self._to_text(tf.cast(ids, tf.int32))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The pieces of text behind some ids, for pictures: a list of strings."""
        special = {self.start_id: "<start>", self.end_id: "<end>"}
        if self._shift:
            special[0] = "<padding>"
        return [
            special[i]
            if i in special and not self._shift <= i < self._end_of_own
            else self.tokenizer.id_to_token(i - self._shift)
            for i in map(int, ids)
        ]

    def save(self, path: str | os.PathLike) -> None:
        """Writes the tokenizer's configuration and vocabulary to a folder."""
        import keras

        path = pathlib.Path(path)
        path.mkdir(parents=True)
        layer = keras.saving.serialize_keras_object(self.tokenizer)
        settings = {
            "kind": layer["registered_name"],
            "config": layer["config"],
            **self._settings,
        }
        text = json.dumps(settings, ensure_ascii=False, indent=1)
        (path / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")
        if hasattr(self.tokenizer, "save_assets"):
            self.tokenizer.save_assets(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a tokenizer from a folder that `save` wrote.

        Raises:
            FileNotFoundError: If a file of it is missing.
            ValueError: If a file of it can't be read; it is named.
        """
        path = pathlib.Path(path)
        file = path / SETTINGS_FILE
        settings = read_json(file, "the configuration of a tokenizer of KerasHub")
        kind = _kind(field(settings, "kind", file, str), file)
        with naming(file, "the configuration of a tokenizer of KerasHub"):
            tokenizer = kind.from_config(field(settings, "config", file, dict))
        with naming(path, "the vocabulary of a tokenizer of KerasHub"):
            if hasattr(tokenizer, "load_assets"):
                tokenizer.load_assets(str(path))
        with naming(file, "the configuration of a tokenizer of KerasHub"):
            return cls(tokenizer, settings.get("start"), settings.get("end"))


def as_tokenizer(tokenizer: Any, name: str = "tokenizer") -> Any:
    """The tokenizer; one of KerasHub's as a `HubTokenizer`.

    Raises:
        TypeError: If it is no tokenizer.
    """
    if not hasattr(tokenizer, "tokenize"):
        raise TypeError(
            f"{name} must be a tokenizer, such as kt.text.train_tokenizer's or one of "
            f"keras_hub.tokenizers; received {name}={tokenizer!r}."
        )
    return HubTokenizer(tokenizer) if is_hub_tokenizer(tokenizer) else tokenizer


def is_hub_tokenizer(tokenizer: Any) -> bool:
    """Whether it is a tokenizer of KerasHub."""
    modules = (kind.__module__ for kind in type(tokenizer).__mro__)
    if not any(module.split(".")[0] == "keras_hub" for module in modules):
        return False
    import keras_hub

    return isinstance(tokenizer, keras_hub.tokenizers.Tokenizer)


def _kind(name, path):
    """The class of a tokenizer by its registered name; it may be no other layer's."""
    import keras
    import keras_hub

    kind = keras.saving.get_registered_object(name)
    base = keras_hub.tokenizers.Tokenizer
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ValueError(
            f"{path}: kind must be a tokenizer of KerasHub, or one registered with "
            f"keras.saving.register_keras_serializable; received kind={name!r}."
        )
    return kind


def _copy(tokenizer):
    """A tokenizer of the same configuration, without its vocabulary."""
    return type(tokenizer).from_config(tokenizer.get_config())


def _own_id(tokenizer, tokens):
    """The id of the first of `tokens` that the vocabulary has, or None."""
    vocabulary = set(tokenizer.get_vocabulary())
    found = (tokenizer.token_to_id(token) for token in tokens if token in vocabulary)
    return next(found, None)


def _size(tokenizer):
    """Number of ids, those that a vocabulary skips included."""
    vocabulary = getattr(tokenizer, "vocabulary", None)
    ids = vocabulary.values() if isinstance(vocabulary, dict) else ()
    return max(tokenizer.vocabulary_size(), 1 + max(ids, default=-1))


def _compute_dtype(tokenizer):
    dtype = tokenizer.compute_dtype
    return "object" if dtype == "string" else dtype


def _is_byte_pair(tokenizer):
    return hasattr(tokenizer, "merges")
