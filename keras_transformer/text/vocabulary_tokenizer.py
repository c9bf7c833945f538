"""SentencePiece pieces whose ids come from a vocabulary of their own, as Marian's."""

import functools
import json
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

import tensorflow as tf
import tensorflow_text

from keras_transformer.files import written_aside
from keras_transformer.reading import field, naming, read_bytes, read_json
from keras_transformer.text.tokenizer import load_sentencepiece

_MODEL, _VOCABULARY = "sentencepiece.model", "vocabulary.json"
_SPACE = "\u2581"
# No byte of UTF-8.
_CUT = b"\xff"


class VocabularyTokenizer:
    """A tokenizer of a SentencePiece model and a list of tokens that gives the ids.

    The model splits text into pieces, the vocabulary says which id a piece has. So two
    languages can have models of their own and one vocabulary, as in OPUS-MT. A language
    token such as `>>fra<<` at the start of a text is one piece.

    Works on strings and tensors, eagerly and inside `tf.function`s and exported models.

    Args:
        model: The serialized SentencePiece model, as bytes.
        vocabulary: List of tokens; a token's id is its place. Place 0 is padding, whose
            name is of no account.
        start: Token that starts a target.
        end: Token that ends a sentence.
        unknown: Token for pieces that the vocabulary lacks.
        added: Tokens of the vocabulary that are one piece wherever they are in a text,
            as those that were added for fine-tuning.

    Raises:
        ValueError: If `model` isn't a SentencePiece model, a token comes twice, or one
            of the special or added tokens isn't in the vocabulary.

    Example:

    >>> vocabulary = ["<padding>", "</s>", "<unk>", "\u2581a", "b", "<pad>"]
    >>> tokenizer = VocabularyTokenizer(model, vocabulary, start="<pad>")
    >>> tokenizer.tokenize(["ab"]).to_list()
    [[3, 4]]
    """

    padding_id = 0

    def __init__(
        self,
        model: bytes,
        vocabulary: Iterable[str],
        start: str = "<pad>",
        end: str = "</s>",
        unknown: str = "<unk>",
        added: Iterable[str] = (),
    ) -> None:
        self.model = bytes(model)
        self.vocabulary = list(vocabulary)
        self.special = {"start": start, "end": end, "unknown": unknown}
        load_sentencepiece(self.model)
        ids = {token: i for i, token in enumerate(self.vocabulary) if i}
        if len(ids) != len(self.vocabulary) - 1:
            twice = {token for token in ids if self.vocabulary[1:].count(token) > 1}
            raise ValueError(f"vocabulary has tokens twice: {sorted(twice)[:5]}.")
        for name, token in self.special.items():
            if token not in ids:
                raise ValueError(
                    f"The {name} token must be in the vocabulary; received "
                    f"{name}={token!r}."
                )
        self.added = list(added)
        if missing := [token for token in self.added if token not in ids]:
            raise ValueError(f"added tokens must be in the vocabulary: {missing[:5]}.")
        self.start_id, self.end_id, self.unknown_id = (
            ids[token] for token in (start, end, unknown)
        )
        self._ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                list(ids), tf.constant(list(ids.values()), tf.int32)
            ),
            default_value=self.unknown_id,
        )
        silent = {0, self.start_id, self.end_id, self.unknown_id}
        self._texts = [
            b"" if i in silent else token.encode("utf-8")
            for i, token in enumerate(self.vocabulary)
        ]

    # Made inside of a graph, once, as in Tokenizer.
    @functools.cached_property
    def _to_pieces(self):
        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )
        def to_pieces(text):
            return tensorflow_text.SentencepieceTokenizer(
                self.model, out_type=tf.string
            ).tokenize(text)

        return to_pieces

    @property
    def resources(self) -> list[Any]:
        """What a `tf.Module` that uses the tokenizer must keep track of."""
        return [self._ids]

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, padding included."""
        return len(self.vocabulary)

    def tokenize(self, text: Sequence[str] | tf.Tensor) -> tf.RaggedTensor:
        """Strings `(B,)` -> a `tf.RaggedTensor` of int32 ids, no special tokens.

        Bytes that aren't valid UTF-8 become U+FFFD, the replacement character.
        """
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        pieces = self._pieces_of_all(text) if self.added else self._pieces(text)
        return tf.ragged.map_flat_values(self._ids.lookup, pieces)

    def _pieces(self, text):
        """Strings `(B,)` -> pieces; a language token at the start is one."""
        has_language = tf.strings.regex_full_match(text, "(?s)>>.*?<<.*")
        languages = tf.strings.regex_replace(text, "(?s)^(>>.*?<<).*$", r"\1")
        text = tf.strings.regex_replace(text, "(?s)^>>.*?<<", "")
        return tf.concat([_where(languages, has_language), self._to_pieces(text)], 1)

    def _pieces_of_all(self, text):
        """Strings `(B,)` -> pieces; added tokens cut a text into parts of their own."""
        longest_first = sorted(self.added, key=len, reverse=True)
        pattern = f"({'|'.join(map(_quoted, longest_first))})"
        cut = _CUT + rb"\1" + _CUT
        parts = tf.strings.split(tf.strings.regex_replace(text, pattern, cut), _CUT)
        part = parts.flat_values
        is_added = tf.strings.regex_full_match(part, pattern)
        others = self._pieces(tf.where(is_added, "", part))
        pieces = tf.concat([_where(part, is_added), others], axis=1)
        return parts.with_flat_values(pieces).merge_dims(1, 2)

    def detokenize(self, ids: tf.RaggedTensor | tf.Tensor) -> tf.Tensor:
        """Ids, a `tf.RaggedTensor` or an integer tensor `(B, T)` -> strings `(B,)`.

        Padding, unknown, start and end tokens leave no trace.
        """
        pieces = tf.gather(tf.constant(self._texts), tf.cast(ids, tf.int32))
        text = tf.strings.reduce_join(pieces, axis=-1)
        return tf.strings.strip(tf.strings.regex_replace(text, _SPACE, " "))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The pieces of text behind some ids, for pictures: a list of strings."""
        return [self.vocabulary[int(i)] for i in ids]

    def save(self, path: str | os.PathLike) -> None:
        """Writes the model and the vocabulary to a folder."""
        settings = {"vocabulary": self.vocabulary, **self.special}
        if self.added:
            settings["added"] = self.added
        text = json.dumps(settings, ensure_ascii=False)
        with written_aside(path) as aside:
            aside.mkdir()
            (aside / _MODEL).write_bytes(self.model)
            (aside / _VOCABULARY).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a tokenizer from a folder that `save` wrote.

        Raises:
            FileNotFoundError: If a file of it is missing.
            ValueError: If a file of it can't be read; it is named.
        """
        path = pathlib.Path(path)
        file = path / _VOCABULARY
        model = read_bytes(path / _MODEL, "a SentencePiece model")
        settings = read_json(file, "the vocabulary of a tokenizer")
        lists = {
            "vocabulary": field(settings, "vocabulary", file, list),
            "added": field(settings, "added", file, list, []),
        }
        for name, tokens in lists.items():
            if wrong := [token for token in tokens if not isinstance(token, str)]:
                raise ValueError(
                    f"{file}: {name} must hold strings; received {wrong[0]!r}."
                )
        special = ("start", "end", "unknown")
        special = {name: field(settings, name, file, str) for name in special}
        if unknown := settings.keys() - {*lists, *special}:
            raise ValueError(f"{file} has unknown keys: {sorted(unknown)}.")
        with naming(f"{path / _MODEL}, {file}", "a tokenizer"):
            return cls(model, **lists, **special)


def _where(texts, chosen):
    """A ragged tensor `(B, 0 or 1)`: each text that is chosen."""
    lengths = tf.cast(chosen, tf.int64)
    return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(texts, chosen), lengths)


def _quoted(token):
    """A pattern of RE2 for the token itself."""
    return re.sub(r"([^\w\s\x80-\U0010ffff])", r"\\\1", token, flags=re.ASCII)
