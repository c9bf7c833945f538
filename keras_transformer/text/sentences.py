"""Text -> sentences, inside the graph, by rules and abbreviations.

A text is cut wherever a sentence might end. Then regular expressions look at what
stands on both sides of each cut, and the parts where none ends are joined again.
"""

from collections.abc import Iterable

import tensorflow as tf

from keras_transformer.text.sentence_ends import (
    AFTER_STOP,
    BREAK,
    LIST_MARK,
    MAY_END,
    SPACE,
    goes_on,
    is_inside,
    matches,
    writes_ordinals,
)

# Marks a cut. A U+001A of the text itself becomes another pair meanwhile.
_ESCAPE = "\x1a"
_ESCAPED, _CUT = f"{_ESCAPE}0", f"{_ESCAPE}1"

# A single line break is a wrapped line's from this many characters on.
_WRAPPED_LENGTH = 40
_LIST_ITEM = rf"(?:{LIST_MARK}|{SPACE}*[-*•–—·>#+]{SPACE})\C*"


def split_sentences(texts: str | Iterable[str] | tf.Tensor) -> tf.RaggedTensor:
    """Splits texts into sentences, inside the graph, for many languages at once.

    Full stops, question and exclamation marks of all scripts end a sentence, with the
    quotes and brackets after them. Abbreviations ("Dr.", "z. B."), initials, ordinal
    numbers ("3. Mai"), numbers, addresses and marks before a lower-case letter don't.
    A blank line always ends a piece. So does a line break, unless it wraps a sentence:
    the line has 40 characters or more and the next one goes on in lower case.

    Nothing is lost: the pieces of a text joined are the text, byte for byte, also if
    it isn't valid UTF-8. A piece keeps the white space that follows it.

    Args:
        texts: String tensor `(B,)`, list of strings, or one string.

    Returns:
        A `tf.RaggedTensor` of strings `(B, None)`. An empty text has no pieces.

    Raises:
        TypeError: If `texts` isn't made of strings.
        ValueError: If `texts` has more than one dimension.

    Example:

    >>> kt.text.split_sentences(["Dr. Lee left.  He is at home!"]).to_list()
    [[b'Dr. Lee left.  ', b'He is at home!']]
    """
    return _split(as_strings(texts))


# A graph of its own: called outside of one, it is traced once, and many times faster.
@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def _split(texts):
    lines = cut_after(texts, (f"{BREAK}(?:{SPACE}*{BREAK})?", r"\0"))
    parts = cut_after(lines.flat_values, *MAY_END)
    line = parts.value_rowids()
    text = tf.gather(lines.value_rowids(), line)
    parts = parts.flat_values
    starts_line, ends_line = _borders(line)
    _, ends_text = _borders(text)
    before = tf.strings.join([tf.where(starts_line, "", _moved(parts, 1)), parts])
    after = _moved(parts, -1)
    has_capitals = tf.gather(matches(texts, r"\C*[\p{Lu}\p{Lt}]\C*"), text)
    has_ordinals = tf.gather(writes_ordinals(texts), text)
    inside = is_inside(before, after, has_ordinals)
    following = goes_on(before, after, has_capitals)
    ends = ~(inside | following)
    # The number of a list's item belongs to the item.
    ends &= ~(matches(parts, LIST_MARK) & (starts_line | _moved(ends, 1)))
    wraps = inside | (following & ~matches(parts, AFTER_STOP))
    wraps &= tf.gather(_may_wrap(lines.flat_values), line)
    wraps &= ~matches(after, _LIST_ITEM)
    ends = ends_text | tf.where(ends_line, ~wraps, ends)
    pieces = tf.strings.unsorted_segment_join(
        parts,
        tf.cumsum(tf.cast(ends, tf.int32), exclusive=True),
        tf.math.count_nonzero(ends, dtype=tf.int32),
    )
    return tf.RaggedTensor.from_value_rowids(
        pieces,
        tf.boolean_mask(text, ends),
        nrows=tf.size(texts, out_type=tf.int64),
        validate=False,
    )


def as_strings(texts: str | Iterable[str] | tf.Tensor) -> tf.Tensor:
    """A string tensor `(B,)` of a tensor, a list of strings or one string."""
    if isinstance(texts, (str, bytes)):
        texts = [texts]
    if isinstance(texts, (list, tuple)):
        for text in texts:
            if not isinstance(text, (str, bytes)):
                raise TypeError(
                    f"texts must be strings; received {text!r} of {type(text)}."
                )
        # Python's strings may hold lone surrogates, which no UTF-8 has.
        texts = [
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
            for text in texts
        ]
        texts = tf.constant(texts, tf.string, shape=[len(texts)])
    texts = tf.convert_to_tensor(texts)
    if texts.dtype != tf.string:
        raise TypeError(f"texts must be strings; received dtype={texts.dtype.name}.")
    if texts.shape.rank not in (1, None):
        raise ValueError(
            "texts must be one string, or strings in one dimension; received "
            f"shape={tuple(texts.shape)}."
        )
    return texts


def cut_after(texts: tf.Tensor, *rules: tuple[str, ...]) -> tf.RaggedTensor:
    """Strings `(B,)` -> their parts, a `tf.RaggedTensor` `(B, None)`, none of them "".

    A rule is a pattern and what to write before, and perhaps after, the cut.
    """
    texts = tf.strings.regex_replace(texts, _ESCAPE, _ESCAPED)
    for pattern, *around in rules:
        before, after = (*around, "")[:2]
        texts = tf.strings.regex_replace(texts, pattern, before + _CUT + after)
    parts = tf.strings.split(texts, _CUT)
    parts = tf.ragged.boolean_mask(parts, tf.not_equal(parts, ""))
    return parts.with_flat_values(
        tf.strings.regex_replace(parts.flat_values, _ESCAPED, _ESCAPE)
    )


def _borders(row):
    """Whether a value is the first, and the last, of its row."""
    changes = row[1:] != row[:-1]
    edge = tf.ones([tf.minimum(tf.size(row), 1)], tf.bool)
    return tf.concat([edge, changes], 0), tf.concat([changes, edge], 0)


def _moved(values, by):
    """Values moved on by one (1) or back by one (-1); the end left free is zero."""
    edge = tf.zeros([tf.minimum(tf.size(values), 1)], values.dtype)
    return tf.concat([edge, values[:-1]] if by > 0 else [values[1:], edge], 0)


def _may_wrap(lines):
    """Whether a sentence may go on after a line, by the line alone."""
    length = tf.strings.length(tf.strings.strip(lines), unit="UTF8_CHAR")
    one_break = matches(lines, r"\C*(?:\r\n|[\n\r\x{85}\x{2028}])")
    blank_line = matches(lines, rf"\C*(?:\n{SPACE}*\n|\r{SPACE}*\r|\n{SPACE}*\r)")
    other = matches(lines, rf"\C*(?:[\t|]\C*|:{SPACE}+)")
    return (length >= _WRAPPED_LENGTH) & one_break & ~blank_line & ~other
