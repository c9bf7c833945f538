"""Tokens -> the words of a text that they spell."""

import re

# Scripts without spaces between words: there each token is a word.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# What tokenizers put before, or after, the pieces of words.
_MARKS = re.compile(r"^(##|\u0120)|@@$|</w>$")
# How far a token's text is looked for: what lies between was normalized.
_NEAR = 12


def spans_of(text, tokens):
    """Where each token stands in a text.

    Args:
        text: A string.
        tokens: List of the pieces that it was made of, or from.

    Returns:
        A list of pairs `(start, end)`, one for each token; empty ones for tokens
        without a text of their own, such as the end's.
    """
    spans, place = [], 0
    for token in tokens:
        piece = _MARKS.sub("", token.replace("\u2581", " ")).strip()
        start = text.find(piece, place, place + _NEAR + len(piece)) if piece else -1
        if start < 0:
            spans.append((place, place))
            continue
        place = start + len(piece)
        spans.append((start, place))
    return spans


def words_of(text, tokens):
    """The words of a text, and which tokens each was made of.

    Args:
        text: A string.
        tokens: List of its tokens.

    Returns:
        A list of dicts: `text`; `after`, the white space that follows; and `tokens`,
        the tokens' indices. Joined they are the text, without the white space before.
    """
    spans = spans_of(text, tokens)
    cuts = {match.start() for match in re.finditer(r"(?<!\S)\S", text)}
    cuts |= {start for start, end in spans if end > start and _starts_word(text, start)}
    cuts = [*sorted(cuts), len(text)]
    words = []
    for start, end in zip(cuts, cuts[1:]):
        whole = text[start:end]
        shown = whole.rstrip()
        owners = [
            index
            for index, (first, last) in enumerate(spans)
            if last > first and first < start + len(shown) and last > start
        ]
        words.append(
            {"text": shown, "after": whole[len(shown) :], "tokens": owners}
        )
    return words


def _starts_word(text, place):
    around = text[max(place - 1, 0) : place + 1]
    return bool(_UNSPACED.search(around))
