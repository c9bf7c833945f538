"""Texts as people pass them: one string, or any iterable of strings."""

import collections.abc
from collections.abc import Iterable


def as_texts(texts: str | Iterable[str], name: str = "texts") -> tuple[list[str], bool]:
    """A list of strings, checked, and whether it was one string alone.

    Args:
        texts: A string; or a list, tuple, generator, NumPy array or another iterable
            of strings.
        name: Name of the argument, for the words of an error.

    Returns:
        A tuple of the list of strings, and True if `texts` is one string.

    Raises:
        TypeError: For bytes, numbers, mappings and whatever else isn't text.

    Example:

    >>> as_texts("one text")
    (['one text'], True)
    """
    if getattr(texts, "ndim", None) == 0 and hasattr(texts, "item"):
        texts = texts.item()
    if isinstance(texts, str):
        return [str(texts)], True
    is_many = isinstance(texts, collections.abc.Iterable)
    if not is_many or isinstance(texts, (bytes, bytearray, collections.abc.Mapping)):
        raise TypeError(
            f"{name} must be a string or a list of strings; {_received(texts)}."
        )
    found = list(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be strings; {_received(text)} at index {i}.")
    return [str(text) for text in found], False


def markdown_table(rows: Iterable[Iterable]) -> str:
    """Rows as a table of Markdown; the first one is its head.

    >>> print(markdown_table([("name", "size"), ("a|b", 3)]))
    | name | size |
    | --- | --- |
    | a\\|b | 3 |
    """
    head, *others = ([str(cell).replace("|", "\\|") for cell in row] for row in rows)
    lines = head, ["---"] * len(head), *others
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _received(value):
    words = repr(value)
    words = words if len(words) <= 60 else f"{words[:60]}..."
    way_out = ""
    if isinstance(value, (bytes, bytearray)):
        way_out = '; decode bytes first: value.decode("utf-8")'
    return f"received {words} of type {type(value).__name__}{way_out}"
