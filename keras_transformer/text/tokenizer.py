"""Text <-> ids by SentencePiece, inside the graph and without TensorFlow."""

import functools
import io
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

import sentencepiece

from keras_transformer.files import written_aside
from keras_transformer.reading import naming, read_bytes, read_lines
from keras_transformer.texts import as_texts

if TYPE_CHECKING:
    import tensorflow as tf

# What a lossless tokenizer does to text around SentencePiece, and undoes in reverse:
# SentencePiece writes a space as U+2581, so a U+2581 of the text itself would come
# back as a space; and the version inside TF Text drops every space that a text
# starts with, unless we put the customary one there and take it away ourselves.
_ESCAPE, _SPACE = "\x1a", "\u2581"
_LONGEST_PART = 1 << 14
ESCAPED = {_ESCAPE: f"{_ESCAPE}0", _SPACE: f"{_ESCAPE}1"}
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
_WHAT = "a SentencePiece model"


def _escaped(text):
    """What `_protect` makes of a text, but for the space before it."""
    for character, escape in ESCAPED.items():
        text = text.replace(character, escape)
    return text


def _unescaped(text):
    """What `_unprotect` makes of a text."""
    text = text.removeprefix(" ")
    for character, escape in reversed(ESCAPED.items()):
        text = text.replace(escape, character)
    return text


def _protect(text):
    import tensorflow as tf

    for character, escape in ESCAPED.items():
        text = tf.strings.regex_replace(text, character, escape)
    return tf.where(tf.equal(text, ""), text, tf.strings.join([" ", text]))


def _unprotect(text):
    import tensorflow as tf

    text = tf.strings.regex_replace(text, "^ ", "")
    for character, escape in reversed(ESCAPED.items()):
        text = tf.strings.regex_replace(text, escape, character)
    return text


def load_sentencepiece(model: bytes) -> sentencepiece.SentencePieceProcessor:
    """SentencePiece's own processor of a serialized model, or a ValueError."""
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except RuntimeError as error:
        raise ValueError(
            f"model is not a serialized SentencePiece model: {error}"
        ) from None
    return processor


class Tokenizer:
    """A SentencePiece model whose ids are ready for a Transformer.

    Id 0 is padding, 1 the unknown token, 2 starts and 3 ends a sentence. Works on
    strings and tensors, eagerly and inside `tf.function`s and exported models.

    A tokenizer trained without normalization and with byte fallback is lossless:
    `detokenize(tokenize(text))` gives back any valid UTF-8 text, byte by byte.

    Args:
        model: The serialized SentencePiece model, as bytes.

    Attributes:
        escapes: Whether U+2581 and U+001A of a text are escaped, and a space is put
            before it, so that it comes back exactly.

    Raises:
        ValueError: If `model` isn't a SentencePiece model, or its ids for padding,
            start and end aren't 0, 2 and 3.

    Example:

    >>> tokenizer = kt.text.train_tokenizer("corpus.txt", vocabulary_size=8000)
    >>> ids = tokenizer.tokenize(["two words"])      # a tf.RaggedTensor
    >>> tokenizer.detokenize(ids)                    # b"two words"

    Reference: [SentencePiece](https://arxiv.org/abs/1808.06226).
    """

    padding_id, unknown_id, start_id, end_id = 0, 1, 2, 3

    def __init__(self, model: bytes) -> None:
        self.model = bytes(model)
        processor = load_sentencepiece(self.model)
        ids = processor.pad_id(), processor.bos_id(), processor.eos_id()
        if ids != (self.padding_id, self.start_id, self.end_id):
            raise ValueError(
                "The ids of padding, start and end must be 0, 2 and 3, as "
                f"train_tokenizer makes them; received a model with {ids}."
            )
        self._processor = processor
        # Only train_tokenizer makes models that add no space and change none.
        probe = "  \ufb01 e\u0301 "
        pieces = "".join(processor.encode(probe, out_type=str))
        # In pieces of bytes the text is back after decoding, in unknown ones before.
        unchanged = pieces == probe.replace(" ", _SPACE)
        unchanged |= processor.decode(processor.encode(probe)) == probe
        adds_space = processor.encode("a", out_type=str)[0].startswith(_SPACE)
        self.escapes = unchanged and not adds_space

    def __reduce__(self):
        return type(self), (self.model,)

    # The SentencePiece operation is made inside of each graph, where it outlives
    # tf.random.set_seed, which destroys those that were made eagerly.

    @functools.cached_property
    def _to_ids(self):
        import tensorflow as tf
        import tensorflow_text

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )
        def to_ids(text):
            return tensorflow_text.SentencepieceTokenizer(self.model).tokenize(text)

        return to_ids

    @functools.cached_property
    def _to_text(self):
        import tensorflow as tf
        import tensorflow_text

        @tf.function(
            input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)],
            autograph=False,
        )
        def to_text(ids):
            return tensorflow_text.SentencepieceTokenizer(self.model).detokenize(ids)

        return to_text

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, padding and the other special ones included."""
        return self._processor.vocab_size()

    def tokenize(self, text: "Sequence[str] | tf.Tensor") -> "tf.RaggedTensor":
        """Strings `(B,)` -> a `tf.RaggedTensor` of int32 ids, no special tokens.

        Bytes that aren't valid UTF-8 become U+FFFD, the replacement character. Where
        TensorFlow isn't installed, lists of strings become lists of ids.
        """
        try:
            import tensorflow as tf
        except ImportError:
            return self.encode(text)
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        if self.escapes:
            text = _protect(text)
        return self._to_ids(text)

    def detokenize(self, ids: "tf.RaggedTensor | tf.Tensor") -> "tf.Tensor":
        """Ids, a `tf.RaggedTensor` or an integer tensor `(B, T)` -> strings `(B,)`.

        Padding, start and end tokens leave no trace. Where TensorFlow isn't installed,
        the result is a list.
        """
        try:
            import tensorflow as tf
        except ImportError:
            return self.decode(ids)
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.convert_to_tensor(ids, "int32")
            ids = tf.ragged.boolean_mask(ids, ids > self.end_id)
        text = self._to_text(tf.cast(ids, "int32"))
        if self.escapes:
            text = _unprotect(text)
        return text

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Strings -> lists of ids, those of `tokenize`, without TensorFlow.

        Example:

        >>> ids = tokenizer.encode(["two words"])
        """
        texts, _ = as_texts(texts)
        if self.escapes:
            texts = [text and f" {_escaped(text)}" for text in texts]
        return self._processor.encode(texts, num_threads=1)

    def decode(self, ids: Iterable[Iterable[int]]) -> list[str]:
        """Lists of ids -> strings, those of `detokenize`, without TensorFlow."""
        silent = {self.padding_id, self.start_id, self.end_id}
        kept = [[int(i) for i in row if int(i) not in silent] for row in ids]
        texts = self._processor.decode(kept, num_threads=1)
        return [_unescaped(text) for text in texts] if self.escapes else texts

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The pieces of text behind some ids, for pictures: a list of strings."""
        return [self._processor.id_to_piece(int(i)) for i in ids]

    def save(self, path: str | os.PathLike) -> None:
        """Writes the SentencePiece model to a file."""
        with written_aside(path) as aside:
            aside.write_bytes(self.model)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a tokenizer from a file that `save` or SentencePiece wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds no such model, or is cut short; it is named.
        """
        model = read_bytes(path, _WHAT)
        with naming(path, _WHAT):
            return cls(model)


def train_tokenizer(
    files: str | os.PathLike | Iterable[str | os.PathLike] | None = None,
    vocabulary_size: int = 8000,
    model_type: str = "bpe",
    normalization: str = "identity",
    *,
    byte_fallback: bool = True,
    character_coverage: float = 0.9995,
    split_digits: bool = False,
    symbols: Iterable[str] = (),
    sentences: Iterable[str] | None = None,
) -> Tokenizer:
    """Trains a tokenizer on text files; give it both languages for a joint vocabulary.

    Args:
        files: A path or a list of paths of UTF-8 text, a sentence a line, plain or
            `.gz`. The columns of a `.tsv` are sentences of their own.
        vocabulary_size: Number of ids, special ones and the 256 of byte fallback
            included.
        model_type: `"bpe"`, `"unigram"`, `"char"` or `"word"`.
        normalization: A SentencePiece rule, such as `"nmt_nfkc"`. With `"identity"`,
            the default, text comes back exactly as it was.
        byte_fallback: Whether characters outside of the vocabulary are spelled in
            bytes, instead of becoming the unknown token.
        character_coverage: Share of the text's characters that get an id of their
            own before byte fallback; 1.0 for small alphabets.
        split_digits: Whether each digit is a token of its own.
        symbols: Strings that are always one token, wherever they are in a text, such
            as `"<fr>"`. Spaces may be in them. Not for `"word"`.
        sentences: Iterable of sentences, instead of `files`.

    Returns:
        A `Tokenizer`.

    Raises:
        ValueError: If the text is empty or has too little in it for
            `vocabulary_size`, a file isn't UTF-8, a symbol is empty or a special
            token's name, or an argument is unknown; without files and sentences, or
            with both.
        TypeError: If a symbol isn't a string, or sentences are one string.

    Example:

    >>> tokenizer = kt.text.train_tokenizer(["train.en", "train.de"], 8000)
    >>> tokenizer.vocabulary_size
    8000
    """
    if model_type not in ("bpe", "unigram", "char", "word"):
        raise ValueError(
            'model_type must be "bpe", "unigram", "char" or "word"; '
            f"received model_type={model_type!r}."
        )
    if (files is None) == (sentences is None):
        raise ValueError(
            "train_tokenizer needs files or sentences, one of them; received "
            f"files={files!r}, sentences={sentences!r}."
        )
    if isinstance(sentences, (str, bytes)):
        raise TypeError(
            f"sentences must be an iterable of strings; received {sentences!r}."
        )
    sentences = _sentences(files) if sentences is None else sentences
    lines = (part for sentence in sentences for part in _parts(sentence))
    preserve = normalization == "identity"
    symbols = _checked_symbols(symbols, preserve)
    if symbols and model_type == "word":
        raise ValueError(
            "symbols need another model_type, as words are split at spaces alone; "
            f"received model_type={model_type!r}, symbols={symbols}."
        )
    lines = (line for line in lines if line)
    if preserve:
        lines = (f" {_escaped(line)}" for line in lines)
    first = next(lines, None)
    if first is None:
        raise ValueError(
            "files and sentences must hold text to train on, but all of it is empty; "
            f"received files={files!r}."
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=itertools.chain([first], lines),
            model_writer=model,
            vocab_size=vocabulary_size,
            model_type=model_type,
            normalization_rule_name=normalization,
            remove_extra_whitespaces=not preserve,
            add_dummy_prefix=not preserve,
            byte_fallback=byte_fallback,
            character_coverage=character_coverage,
            split_digits=split_digits,
            user_defined_symbols=symbols,
            pad_id=Tokenizer.padding_id,
            unk_id=Tokenizer.unknown_id,
            bos_id=Tokenizer.start_id,
            eos_id=Tokenizer.end_id,
            max_sentence_length=1 << 20,
            num_threads=os.cpu_count(),
            minloglevel=1,
        )
    except RuntimeError as error:
        raise ValueError(
            f"vocabulary_size={vocabulary_size} doesn't fit the text, or SentencePiece "
            f"refused an argument. It says: {error}"
        ) from None
    return Tokenizer(model.getvalue())


def _checked_symbols(symbols, preserve):
    """Symbols as SentencePiece sees them in a text, each once."""
    symbols, _ = as_texts(symbols, "symbols")
    for symbol in symbols:
        is_byte = re.fullmatch("<0x[0-9A-Fa-f]{2}>", symbol)
        if not symbol or symbol in _SPECIAL or is_byte or "\0" in symbol:
            raise ValueError(
                f"symbols must not be empty, hold U+0000, or be names of special "
                f"tokens, {', '.join(_SPECIAL)} and <0x00> to <0xFF>; received "
                f"{symbol!r} in symbols={symbols}."
            )
        if not preserve and (_SPACE in symbol or "" in symbol.split(" ")):
            raise ValueError(
                "symbols must not begin or end with a space, nor hold two in a row or "
                "U+2581, where normalization removes them; received "
                f'{symbol!r} in symbols={symbols}. Use normalization="identity".'
            )
    if preserve:
        symbols = map(_escaped, symbols)
    return list(dict.fromkeys(symbol.replace(" ", _SPACE) for symbol in symbols))


def _sentences(files):
    """The lines of files; the columns of a TSV are sentences of their own."""
    for file in [files] if isinstance(files, (str, os.PathLike)) else files:
        for line in read_lines(file):
            yield from line.split("\t") if _is_tsv(file) else [line]


def _is_tsv(path):
    return str(path).removesuffix(".gz").endswith(".tsv")


def _parts(line):
    """A line in parts that SentencePiece takes, cut at spaces where there are any.

    It leaves out lines that are longer than `max_sentence_length`, in silence.
    """
    start = 0
    while len(line) - start > _LONGEST_PART:
        space = line.rfind(" ", start + 1, start + _LONGEST_PART)
        end = space if space > 0 else start + _LONGEST_PART
        yield line[start:end]
        # Each part gets a space in front, as each line does.
        start = end + (space > 0)
    yield line[start:]
