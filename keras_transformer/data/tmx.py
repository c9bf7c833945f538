"""Sentence pairs of a TMX file, the exchange format of translation memories."""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

from keras_transformer.reading import open_bytes

_CHUNK = 1 << 16
# Elements in a segment that hold another format's code, not text.
_CODES = ("bpt", "ept", "it", "ph", "ut")
# How a file is laid out; a line of text has no such break.
_LINE_BREAK = re.compile(r"[ \t]*\n[ \t\n]*")


def read_tmx(
    path: str | os.PathLike, source_language: str, target_language: str
) -> Iterator[tuple[str, str]]:
    """The sentence pairs of a TMX file, one translation unit after another.

    Memory is that of the largest unit. Entities that a file defines itself are
    refused, so a small file can't grow to a large text, and no other file is read.
    A line break in a segment becomes a space. The text of `<hi>` is part of the
    segment; code in `<bpt>`, `<ept>`, `<it>`, `<ph>` and `<ut>` isn't.

    Args:
        path: Path of the file, plain or `.gz`, in an encoding that its first line
            names.
        source_language: The source's code, such as `"en"`: it stands for `en-US` and
            `EN_gb` too. `"en-US"` stands for nothing wider.
        target_language: That of the target.

    Yields:
        Tuples `(source, target)` of strings. A unit without one of the languages gives
        a pair with an empty side. One with several segments of a language gives all
        pairs of them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no well-formed TMX, is cut short, defines entities, or has
            no unit in both languages; file and line are named.

    Reference: [TMX 1.4b](https://www.gala-global.org/tmx-14b).
    """
    reader = _Reader(path, source_language, target_language)
    with open_bytes(path) as (file, _), _named(reader):
        for chunk in _chunks(file):
            reader.parser.Parse(chunk)
            yield from reader.taken()
        reader.parser.Parse(b"", True)
        yield from reader.taken()
    reader.check_languages()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


@contextlib.contextmanager
def _named(reader: "_Reader") -> Iterator[None]:
    """A scope whose errors of a file become a ValueError with its name."""
    try:
        yield
    except expat.ExpatError as error:
        raise ValueError(
            f"{reader.path}, line {error.lineno}: not well-formed XML: "
            f"{expat.ErrorString(error.code)}. Copy the file again from where it is "
            "whole."
        ) from None
    except (LookupError, ValueError) as error:
        if str(reader.path) in str(error):
            raise
        raise ValueError(
            f"{reader.path}, line 1: its encoding can't be read: {error}. Convert the "
            "file to UTF-8."
        ) from None


class _Reader:
    """Collects the pairs of a TMX while expat reads it."""

    def __init__(self, path, source_language, target_language):
        self.path = path
        self._sides = [_subtags(source_language), _subtags(target_language)]
        self._languages = {}
        self._pairs = []
        self._unit = self._language = self._segment = None
        self._codes = 0
        self._is_tmx = self._has_both = False
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._refuse_entity
        self.parser.SkippedEntityHandler = self._refuse_entity

    def taken(self):
        """The pairs that were read since the last call."""
        pairs, self._pairs = self._pairs, []
        return pairs

    def check_languages(self):
        """Raises a ValueError if no unit had both languages."""
        if self._has_both or not self._languages:
            return
        source, target = ("-".join(side) for side in self._sides)
        found = ", ".join(sorted(self._languages))
        raise ValueError(
            f"{self.path} has no unit in both source_language={source!r} and "
            f"target_language={target!r}; its languages are {found}."
        )

    def _start(self, name, attributes):
        if not self._is_tmx and name != "tmx":
            self._fail(f"a TMX begins with <tmx>, this file with <{name}>")
        self._is_tmx = True
        if self._segment is not None:
            self._codes += name in _CODES
        elif name == "tu":
            self._unit = ([], [])
        elif name == "tuv" and self._unit is not None:
            # TMX 1.1 wrote lang.
            language = attributes.get("xml:lang", attributes.get("lang"))
            if language is None:
                self._fail("<tuv> has no xml:lang")
            self._languages.setdefault(language, None)
            self._language = _subtags(language)
        elif name == "seg" and self._language is not None:
            self._segment = []

    def _text(self, text):
        if self._segment is not None and not self._codes:
            self._segment.append(text)

    def _end(self, name):
        if name == "seg" and self._segment is not None:
            text = _one_line("".join(self._segment))
            for side, wanted in zip(self._unit, self._sides):
                if self._language[: len(wanted)] == wanted:
                    side.append(text)
            self._segment = None
        elif self._segment is not None:
            self._codes -= name in _CODES
        elif name == "tuv":
            self._language = None
        elif name == "tu" and self._unit is not None:
            self._has_both |= all(self._unit)
            sides = [side or [""] for side in self._unit]
            self._pairs.extend(itertools.product(*sides))
            self._unit = None

    def _refuse_entity(self, name, *_):
        self._fail(
            f"the entity &{name}; isn't one of XML's own, and others are refused. "
            "Write the character itself"
        )

    def _fail(self, words):
        line = self.parser.CurrentLineNumber
        raise ValueError(f"{self.path}, line {line}: {words}.")


def _subtags(language):
    """The parts of a language's code, in one spelling."""
    return language.lower().replace("_", "-").split("-")


def _one_line(text):
    """A segment's text without the line breaks of its file."""
    if "\n" not in text:
        return text
    first, *others = _LINE_BREAK.split(text)
    *others, last = others
    return " ".join([*([first] if first else []), *others, *([last] if last else [])])
