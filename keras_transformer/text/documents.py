"""Documents -> sentences for a model, and translations back, inside the graph.

White space belongs to the document, not to its sentences: what stands between them
stays as it is, and a model sees none of it.
"""

from collections.abc import Iterable

import tensorflow as tf

from keras_transformer.text.any_tokenizer import AnyTokenizer
from keras_transformer.text.sentence_ends import BREAK, CLOSE, SPACE, WIDE_STOP, matches
from keras_transformer.text.sentences import as_strings, cut_after, split_sentences
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

# White space, control and format characters, and letters that are drawn as nothing.
_INVISIBLE = (
    r"[\p{Z}\p{Cc}\x{ad}\x{34f}\x{61c}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180b}-\x{180f}"
    r"\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{2800}\x{3164}"
    r"\x{fe00}-\x{fe0f}\x{feff}\x{ffa0}\x{fff9}-\x{fffb}\x{1bca0}-\x{1bca3}"
    r"\x{1d173}-\x{1d17a}\x{e0000}-\x{e0fff}]*"
)
# Scripts without spaces between words, and their marks.
UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
    r"\x{3000}-\x{303f}\x{ff00}-\x{ff9f}]"
)
_CLAUSE = rf"(?:[,;:…—–]{CLOSE}{SPACE}+|[、，；：،؛]{CLOSE}{SPACE}*)"
# Texts so many times too long are cut without counting their tokens in each round.
_MANY = 8
_LANGUAGE = r"^(>>.*?<<[ \t]*)?\C*$"


def is_blank(texts: tf.Tensor) -> tf.Tensor:
    """Whether texts have no visible character: a bool tensor like the string tensor."""
    return matches(texts, _INVISIBLE)


def split_language(
    texts: tf.Tensor, tokenizer: AnyTokenizer
) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits the language token off that may stand before a text.

    Args:
        texts: String tensor `(B,)`.
        tokenizer: The source's. A `VocabularyTokenizer` has language tokens such as
            `">>fra<<"`; with others the first result is all `""`.

    Returns:
        Two string tensors `(B,)`: the language token with spaces and tabs after it, and
        the rest of the text.
    """
    if not isinstance(tokenizer, VocabularyTokenizer):
        return tf.fill(tf.shape(texts), ""), texts
    languages = tf.strings.regex_replace(texts, _LANGUAGE, r"\1")
    return languages, _without_first(texts, tf.strings.length(languages))


def split_document(
    texts: str | Iterable[str] | tf.Tensor, tokenizer: AnyTokenizer, max_length: int
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Splits texts into the sentences that a model is to translate.

    A sentence comes without the white space around it, and with a space for each line
    break inside of it. Of a longer one than the model takes come several parts
    (`cut_long`). A language token at the start of a text (`">>fra<< "`, with a
    `VocabularyTokenizer`) stands before each of its sentences.

    Args:
        texts: String tensor `(B,)`, list of strings, or one string.
        tokenizer: The source's tokenizer.
        max_length: Most tokens of a sentence, the end token included.

    Returns:
        Two `tf.RaggedTensor`s of strings `(B, None)`: the sentences, and the pieces of
        the texts, which `join_document` needs. Pieces without a visible character have
        no sentence.

    Example:

    >>> sentences, pieces = split_document(["One.\\n\\n  Two."], tokenizer, 256)
    >>> join_document(sentences.flat_values, pieces)    # b"One.\\n\\n  Two."
    """
    languages, texts = split_language(as_strings(texts), tokenizer)
    taken = tf.reduce_max(tf.concat([[0], _lengths(tokenizer.tokenize(languages))], 0))
    pieces = cut_long(split_sentences(texts), tokenizer, max_length - 1 - taken)
    sentences = tf.ragged.boolean_mask(pieces, ~_blank_pieces(pieces))
    languages = tf.gather(languages, sentences.value_rowids())
    return (
        sentences.with_values(
            tf.strings.join([languages, _sentence(sentences.flat_values)])
        ),
        pieces,
    )


def join_document(translations: tf.Tensor, pieces: tf.RaggedTensor) -> tf.Tensor:
    """Puts translations where the sentences stood, between the same white space.

    Where no space stood between two sentences, as in Chinese, one is put between
    translations, unless one of them is in such a script itself.

    Args:
        translations: String tensor `(N,)`, one for each sentence of `split_document`.
        pieces: Its second result.

    Returns:
        A string tensor `(B,)`.
    """
    flat = pieces.flat_values
    blank = _blank_pieces(pieces).flat_values
    place = tf.where(~blank)
    translated = tf.tensor_scatter_nd_update(flat, place, _stripped(translations))
    before, after = _white_space(flat)
    row = pieces.value_rowids()
    joins = (row[1:] == row[:-1]) & tf.equal(after[:-1], "") & tf.equal(before[1:], "")
    joins &= ~(blank[1:] | blank[:-1])
    wide = matches(flat[:-1], rf"\C*{WIDE_STOP}{CLOSE}")
    joins &= wide | _ends_unspaced(flat[:-1]) | _starts_unspaced(flat[1:])
    joins &= ~(_ends_unspaced(translated[:-1]) | _starts_unspaced(translated[1:]))
    joins &= tf.not_equal(translated[:-1], "") & tf.not_equal(translated[1:], "")
    space = tf.concat([tf.where(joins, " ", ""), tf.fill([tf.size(flat[:1])], "")], 0)
    translated = tf.strings.join([before, translated, after, space])
    translated = tf.where(blank, flat, translated)
    return tf.strings.reduce_join(pieces.with_values(translated), axis=1)


def cut_long(
    pieces: tf.RaggedTensor, tokenizer: AnyTokenizer, max_tokens: int
) -> tf.RaggedTensor:
    """Cuts pieces of text that have more tokens than a model takes.

    A piece is halved until its parts are short enough: after a clause mark in its
    middle half, else after the space nearest to its middle, else between two tokens,
    else between two characters. Joined they are the piece, byte for byte.

    Args:
        pieces: `tf.RaggedTensor` of strings `(B, None)`.
        tokenizer: A `kt.text.Tokenizer` or `kt.text.VocabularyTokenizer`.
        max_tokens: Most tokens of a part, not counting white space around it. Only a
            single character may have more.

    Returns:
        A `tf.RaggedTensor` of strings `(B, None)`.
    """

    many = _MANY * max_tokens

    def num_tokens(parts):
        return _lengths(tokenizer.tokenize(_sentence(parts)))

    def cut(parts, row, count):
        long = count > max_tokens
        place = _cut_place(
            tf.boolean_mask(parts, long), tf.boolean_mask(count, long) < many, tokenizer
        )
        place = _spread(place, long)
        length = tf.strings.length(parts)
        place = tf.where(place > 0, place, length)
        halves = tf.stack([_first(parts, place), _without_first(parts, place)], 1)
        kept = tf.not_equal(halves, "")
        is_cut = tf.reduce_all(kept, 1)
        # Those that can't be cut are done, whatever they have.
        count = tf.where(long & ~is_cut, 0, count)
        share = tf.cast(count, tf.float32) / tf.cast(length, tf.float32)
        row, is_cut, count, share = (
            tf.repeat(values, tf.math.count_nonzero(kept, 1))
            for values in (row, is_cut, count, share)
        )
        parts = halves[kept]
        guess = tf.cast(share * tf.cast(tf.strings.length(parts), tf.float32), tf.int32)
        count = tf.where(is_cut, guess, count)
        unsure = is_cut & (guess < many)
        counted = _spread(num_tokens(tf.boolean_mask(parts, unsure)), unsure)
        return parts, row, tf.where(unsure, counted, count)

    parts, row, _ = tf.while_loop(
        lambda parts, row, count: tf.reduce_any(count > max_tokens),
        cut,
        (pieces.flat_values, pieces.value_rowids(), num_tokens(pieces.flat_values)),
        shape_invariants=(tf.TensorShape([None]),) * 3,
    )
    return tf.RaggedTensor.from_value_rowids(
        parts, row, nrows=pieces.nrows(), validate=False
    )


def _cut_place(texts, by_tokens, tokenizer):
    """How many bytes of each text come before the best cut; 0 if there is none."""
    length = tf.strings.length(texts)
    clause = _nearest_cut(texts, _CLAUSE)
    near = tf.abs(2 * clause - length) <= length // 2
    place = tf.where(near, clause, _nearest_cut(texts, f"{SPACE}+"))
    by_tokens &= tf.equal(place, 0)
    token = _spread(
        _nearest_token(tf.boolean_mask(texts, by_tokens), tokenizer), by_tokens
    )
    place = tf.where(place > 0, place, token)
    return tf.where(place > 0, place, _nearest_character(texts))


def _nearest_token(texts, tokenizer):
    """Where the token in a text's middle starts, in bytes; 0 if it can't be told."""
    ids = tokenizer.tokenize(texts)
    half = tf.expand_dims(ids.row_lengths() // 2, 1)
    index = tf.ragged.range(ids.row_lengths())
    first = tokenizer.detokenize(tf.ragged.boolean_mask(ids, index < half))
    place = tf.minimum(tf.strings.length(first), tf.strings.length(texts))
    # Some tokenizers don't give text back as it was.
    same = tf.equal(_first(texts, place), first)
    return tf.where(same & (place < tf.strings.length(texts)), place, 0)


def _nearest_cut(texts, pattern):
    """Of the places after a match, the nearest to a text's middle, in bytes; or 0."""
    parts = cut_after(texts, (pattern, r"\0"))
    row = parts.value_rowids()
    end = tf.cumsum(tf.strings.length(parts.flat_values))
    start = tf.concat([[0], tf.gather(end, parts.row_limits() - 1)], 0)
    end -= tf.gather(start, row)
    length = tf.gather(tf.strings.length(texts), row)
    # Distance from the middle first, then the place: the least of both in one number.
    key = tf.cast(tf.abs(2 * end - length), tf.int64) * 2**31 + tf.cast(end, tf.int64)
    best = tf.math.segment_min(key, row) % 2**31
    best = tf.cast(best, tf.int32)
    return tf.where(best < tf.strings.length(texts), best, 0)


def _nearest_character(texts):
    """Where the character nearest to a text's middle starts, in bytes; or 0."""
    length = tf.strings.length(texts)
    middle = length // 2
    padded = tf.strings.join([b"\x80\x80\x80", texts, b"\x80\x80\x80"])
    window = tf.io.decode_raw(
        tf.strings.substr(padded, middle, tf.fill(tf.shape(middle), 7)), tf.uint8
    )
    order = tf.constant([3, 2, 4, 1, 5, 0, 6])
    place = tf.expand_dims(middle, 1) + order - 3
    # UTF-8 continues characters with bytes from 0x80 to 0xBF.
    starts = tf.gather(window, order, axis=1) // 64 != 2
    starts &= (place > 0) & (place < tf.expand_dims(length, 1))
    best = tf.argmax(tf.cast(starts, tf.int32), axis=1)
    found = tf.gather(place, best, axis=1, batch_dims=1)
    return tf.where(tf.reduce_any(starts, 1), found, 0)


def _sentence(pieces):
    """What a model sees of pieces."""
    return tf.strings.regex_replace(_stripped(pieces), f"{SPACE}*{BREAK}{SPACE}*", " ")


def _stripped(texts):
    texts = tf.strings.regex_replace(texts, f"^{SPACE}+", "")
    return tf.strings.regex_replace(texts, f"{SPACE}+$", "")


def _white_space(pieces):
    """The white space before and after what is visible."""
    length = tf.strings.length(pieces)
    rest = tf.strings.length(tf.strings.regex_replace(pieces, f"^{SPACE}+", ""))
    before = _first(pieces, length - rest)
    kept = tf.strings.length(tf.strings.regex_replace(pieces, f"{SPACE}+$", ""))
    return before, _without_first(pieces, kept)


def _first(texts, count):
    return tf.strings.substr(texts, tf.zeros_like(count), count)


def _without_first(texts, count):
    return tf.strings.substr(texts, count, tf.strings.length(texts) - count)


def _blank_pieces(pieces):
    return pieces.with_values(is_blank(pieces.flat_values))


def _ends_unspaced(texts):
    return matches(texts, rf"\C*{UNSPACED}[\"'”’»)\]]*{SPACE}*")


def _starts_unspaced(texts):
    return matches(texts, rf"[\"'“‘«(\[]*{UNSPACED}\C*")


def _spread(values, mask):
    """Values where a mask is True, zeros elsewhere."""
    return tf.scatter_nd(tf.where(mask), values, tf.shape(mask, tf.int64))


def _lengths(ids):
    return tf.cast(ids.row_lengths(), tf.int32)
