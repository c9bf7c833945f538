"""Tokens -> the words of a text that they spell."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from keras_transformer.text.tokenizer import ESCAPED

# Scripts without spaces between words: there each token is a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# What tokenizers put before, or after, the pieces of words.
_MARKS = re.compile(r"^(##|\u0120)|@@$|</w>$")
_REPLACED = "\ufffd".encode()
# How many bytes further a token's text is looked for: what lies between was normalized.
_NEAR = 24


def spans_of(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Where each token stands in a text.

    Args:
        text: A string.
        tokens: List of the pieces that it was made of, or from.

    Returns:
        A list of pairs `(start, end)`, one for each token; empty ones for tokens
        without a text of their own, such as the end's.
    """
    data = text.encode("utf-8", "replace")
    # The character that each byte belongs to, and the end.
    owner = [
        index
        for index, character in enumerate(text)
        for _ in character.encode("utf-8", "replace")
    ]
    spans, place = [], 0
    for piece in map(_piece, tokens):
        start = data.find(piece, place, place + _NEAR + len(piece)) if piece else -1
        if start < 0:
            # Bytes that spell no character are shown as U+FFFD.
            is_spelling = len(piece) == 1 and piece >= b"\x80"
            start = data.find(_REPLACED, max(place - 3, 0), place + 3)
            if not is_spelling or start < 0:
                spans.append((0, 0))
                continue
            piece = _REPLACED
            if data.startswith(_REPLACED, place):
                start = place
        place = start + len(piece)
        spans.append((owner[start], owner[place - 1] + 1))
    return spans


def words_of(text: str, tokens: Sequence[str]) -> list[dict[str, Any]]:
    """The words of a text, and which tokens each was made of.

    Punctuation stands apart from words; a character and its marks never do.

    Args:
        text: A string.
        tokens: List of its tokens.

    Returns:
        A list of dicts: `text`; `after`, the white space that follows; and `tokens`,
        the tokens' indices. Joined they are the text, without the white space before.
    """
    spans = spans_of(text, tokens)
    starts = {start for start, end in spans if end > start}
    starts = {start for start in starts if _UNSPACED.match(text, start)}
    cuts = sorted({*_changes(text), *starts})
    words = []
    for start, end in zip(cuts, [*cuts[1:], len(text)]):
        whole = text[start:end]
        shown = whole.rstrip()
        owners = [
            index
            for index, (first, last) in enumerate(spans)
            if first < start + len(shown) and last > start and last > first
        ]
        words.append({"text": shown, "after": whole[len(shown) :], "tokens": owners})
    return words


def _piece(token):
    """The bytes that a token stands for."""
    if found := _BYTE.fullmatch(token):
        return bytes([int(found[1], 16)])
    token = _MARKS.sub("", token.replace("\u2581", " ")).strip(" ")
    for character, escape in reversed(ESCAPED.items()):
        token = token.replace(escape, character)
    return token.encode("utf-8", "replace")


def _changes(text):
    """Where words and runs of punctuation start."""
    before = "space"
    for place, character in enumerate(text):
        kind = _kind(character, before)
        if kind == "sign" and before == "word" and character in "'\u2019":
            # "don't"
            kind = "word" if text[place + 1 : place + 2].isalnum() else "sign"
        if kind not in ("space", before):
            yield place
        before = kind


def _kind(character, before):
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    if before != "space" and (category[0] == "M" or category in ("Cf", "Sk")):
        # Accents, vowel signs, the parts of an emoji.
        return before
    return "sign" if category[0] in "PS" else "word"
