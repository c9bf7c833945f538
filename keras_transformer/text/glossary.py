"""A glossary's terms in texts -> phrases of token ids, inside the graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_transformer.text.any_tokenizer import AnyTokenizer
from keras_transformer.text.documents import UNSPACED, is_blank
from keras_transformer.text.sentence_ends import matches
from keras_transformer.text.sentences import as_strings

# Texts at once, where a call has many.
_TEXTS = 256


def find_phrases(
    texts: tf.Tensor, sources: tf.Tensor, targets: tf.Tensor, tokenizer: AnyTokenizer
) -> tf.Tensor:
    """The target phrases of those glossary terms that occur in texts.

    A source term occurs as a whole word or several: "dog" isn't in "dogs". Upper case
    isn't lower case. White space of any kind is one space. In scripts without spaces,
    such as Chinese, a term may stand within a word.

    A target phrase becomes the tokens that it has inside a sentence, after a space. One
    with a token that the vocabulary doesn't know is left out.

    Args:
        texts: String tensor `(B,)`.
        sources: String tensor `(B, G)`: terms of each text. Empty ones are padding.
        targets: String tensor `(B, G)`: their translations; an empty one is no phrase.
        tokenizer: The target's tokenizer.

    Returns:
        Integer ids `(B, P, W)`, 0 is padding: for the P terms of a text that occur the
        W tokens of each phrase, as `kt.decoding.SearchOptions` takes `phrases`.

    Example:

    >>> find_phrases(["The dog runs."], [["dog"]], [["Hund"]], tokenizer)
    """
    texts = as_strings(texts)
    sources, targets = (tf.convert_to_tensor(each) for each in (sources, targets))
    is_term = ~is_blank(sources) & ~is_blank(targets)
    is_found = is_term & occur(texts, sources)
    found = tf.ragged.boolean_mask(targets, is_found)
    phrases = _tokens(found.flat_values, tokenizer)
    return found.with_values(phrases).to_tensor()


def occur(texts: tf.Tensor, terms: tf.Tensor) -> tf.Tensor:
    """Which terms `(B, G)` occur in texts `(B,)` as whole words: bool `(B, G)`."""
    # A space at both ends: there is a character before and after each term.
    codes, is_word = _characters(tf.strings.join([" ", _spaced(texts), " "]))
    of_terms, is_word_of_terms = _characters(tf.reshape(_spaced(terms), [-1]))
    number = tf.shape(terms)[1]
    length, longest = tf.shape(codes)[1], tf.shape(of_terms)[1]
    shape = [tf.shape(terms)[0], number, longest]
    counts = tf.math.count_nonzero(of_terms, axis=1, dtype=tf.int32)
    counts = tf.reshape(counts, shape[:2])
    starts_word = tf.reshape(is_word_of_terms[:, :1], [*shape[:2], -1])
    starts_word = tf.reduce_any(starts_word, axis=2)
    last = tf.one_hot(counts - 1, longest, on_value=True, off_value=False)
    ends_word = tf.reduce_any(last & tf.reshape(is_word_of_terms, shape), axis=2)
    of_terms = tf.reshape(of_terms, shape)
    codes, is_word = (
        tf.pad(each, [[0, 0], [0, longest + 1]]) for each in (codes, is_word)
    )

    def compare(offset, is_here):
        """Goes on with one more character of all terms at all starts."""
        here = slice(offset + 1, offset + 1 + length)
        text, term = codes[:, None, here], of_terms[:, :, offset, None]
        is_same = (offset >= counts)[..., None] | tf.equal(text, term)
        return offset + 1, is_here & is_same & ~ends_within(offset + 1, here)

    def ends_within(count, here):
        """Where a term of so many characters ends in the middle of a word."""
        ends = (count == counts) & ends_word
        return ends[..., None] & is_word[:, None, here.start + 1 : here.stop + 1]

    begins_within = starts_word[..., None] & is_word[:, None, :length]
    is_here = ~begins_within & (counts > 0)[..., None]
    _, is_here = tf.while_loop(
        lambda offset, _: offset < longest, compare, (0, is_here)
    )
    return tf.reduce_any(is_here, axis=2)


def _spaced(texts):
    """Valid UTF-8 with one space for all white space, and none at the ends."""
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, r"[\p{Z}\t-\r\x{85}]+", " ")
    return tf.strings.strip(texts)


def _characters(texts):
    """Code points `(B, L)`, 0 is padding, and which are of words, bool `(B, L)`."""
    characters = tf.strings.unicode_split(texts, "UTF-8")
    flat = characters.flat_values
    is_word = matches(flat, r"[\pL\pM\pN_]") & ~matches(flat, UNSPACED)
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    return codes.to_tensor(), characters.with_values(is_word).to_tensor()


def _tokens(phrases, tokenizer):
    """Phrases `(n,)` -> ragged ids `(n, None)`, as they stand inside a sentence."""
    is_unspaced = matches(phrases, rf"{UNSPACED}\C*")
    before = tf.where(is_unspaced, "。", ",")
    space = tf.where(is_unspaced, "", " ")
    phrases = _spaced(phrases)
    alone = tokenizer.tokenize(phrases)
    inside = tokenizer.tokenize(tf.strings.join([before, space, phrases]))
    context = tokenizer.tokenize(before)
    # What stands before the phrase may have grown together with it.
    width = tf.cast(context.bounding_shape(axis=1), tf.int32)
    of_context = context.to_tensor()
    begins = inside.to_tensor(shape=[None, None])
    begins = tf.pad(begins, [[0, 0], [0, width]])[:, :width]
    is_same = tf.reduce_all((begins == of_context) | (of_context == 0), axis=1)
    rest = tf.ragged.boolean_mask(
        inside,
        tf.ragged.range(inside.row_lengths()) >= context.row_lengths()[:, None],
    )
    ids = tf.where(is_same[:, None], rest.to_tensor(), 0)
    others = tf.where(is_same[:, None], 0, alone.to_tensor())
    missing = tf.shape(ids)[1] - tf.shape(others)[1]
    ids = tf.pad(ids, [[0, 0], [0, tf.maximum(-missing, 0)]])
    ids += tf.pad(others, [[0, 0], [0, tf.maximum(missing, 0)]])
    unknown = getattr(tokenizer, "unknown_id", None)
    if unknown is not None:
        is_known = tf.reduce_all(ids != unknown, axis=1, keepdims=True)
        ids = tf.where(is_known, ids, 0)
    return ids


def phrases_of_texts(
    texts: list[str], glossaries: list[dict[str, str]], tokenizer: AnyTokenizer
) -> np.ndarray:
    """As `find_phrases`, for lists of any length and glossaries of any size.

    Args:
        texts: List of B strings.
        glossaries: List of B dicts of terms.
        tokenizer: The target's tokenizer.

    Returns:
        An int32 array `(B, P, W)`, P and W at least 1.
    """
    parts = []
    for start in range(0, len(texts), _TEXTS):
        here = texts[start : start + _TEXTS]
        spaced = [_plain(text) for text in here]
        # Few of many terms are in a text at all.
        terms = [
            [pair for pair in terms.items() if _plain(pair[0]) in text]
            for text, terms in zip(spaced, glossaries[start:])
        ]
        most = max(1, *map(len, terms))
        pairs = [[*each, *[("", "")] * (most - len(each))] for each in terms]
        pairs = np.char.encode(np.array(pairs, str), "utf-8", "replace")
        pairs = tf.constant(pairs.astype(object), tf.string)
        here = tf.constant([text.encode("utf-8", "replace") for text in here])
        found = find_phrases(here, pairs[..., 0], pairs[..., 1], tokenizer)
        parts.append(found.numpy())
    sizes = np.max([[1, 1], *(part.shape[1:] for part in parts)], axis=0)
    found = np.zeros((len(texts), *sizes), "int32")
    for start, part in zip(range(0, len(texts), _TEXTS), parts):
        rows, number, length = part.shape
        found[start : start + rows, :number, :length] = part
    return found


def _plain(text):
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
