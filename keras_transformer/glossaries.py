"""Glossaries as people pass them: dicts of terms, or files of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from keras_transformer.reading import existing, read_lines


def as_glossaries(
    glossary: object,
    count: int,
    name: str = "glossary",
) -> list[dict[str, str]]:
    """A dict of terms for each text.

    Args:
        glossary: A dict of source terms and their translations, for all texts; or a
            list with one for each text, None for none.
        count: Number of texts.
        name: Name of the argument, for the words of an error.

    Raises:
        ValueError: If there isn't one for each text.
        TypeError: For what isn't made of strings.
    """
    if isinstance(glossary, Mapping):
        return [_checked(glossary, name)] * count
    if isinstance(glossary, (str, bytes)) or not isinstance(glossary, Iterable):
        raise TypeError(
            f"{name} must be a dict of terms, or a list with one for each text; "
            f"received {name}={glossary!r}."
        )
    found = list(glossary)
    if len(found) != count:
        raise ValueError(
            f"{name} must be a dict of terms, or a list with one for each text; "
            f"received {len(found)} for {count} texts."
        )
    return [{} if each is None else _checked(each, name) for each in found]


def _checked(terms, name):
    if not isinstance(terms, Mapping):
        raise TypeError(
            f"{name} must be made of dicts of terms; received {terms!r} of type "
            f"{type(terms).__name__}."
        )
    for pair in terms.items():
        for term in pair:
            if not isinstance(term, str):
                raise TypeError(
                    f"{name} must have strings as terms and as translations; received "
                    f"{term!r} of type {type(term).__name__}."
                )
    return dict(terms)


def read_glossary(path: str | os.PathLike) -> dict[str, str]:
    """The terms of a file and their translations.

    Args:
        path: A UTF-8 file, plain or `.gz`: a term, a tab and its translation a line.
            Empty lines are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: For a line of another form, a term that is there twice with
            different translations, or a file that isn't UTF-8; the line is named.
    """
    terms: dict[str, str] = {}
    for number, line in enumerate(read_lines(existing(path, "a glossary")), start=1):
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise ValueError(
                f"{path}, line {number}: must be a term, a tab and its translation; "
                f"received {line!r}."
            )
        term, translation = columns
        if terms.setdefault(term, translation) != translation:
            raise ValueError(
                f"{path}, line {number}: the term {term!r} has another translation "
                f"before, {terms[term]!r}. Keep one of them."
            )
    return terms
