"""The options of a search on the command line: those of `SearchOptions`."""

import argparse
import dataclasses
import re
from collections.abc import Collection, Iterable
from typing import Any

from keras_transformer.cli.parser import as_flags
from keras_transformer.decoding.options import SearchOptions

# What a line of text can't say, or a tokenizer decides.
_LEFT_OUT = (
    "target_prefix",
    "banned_ids",
    "allowed_tokens",
    "phrases",
    "phrase_bonus",
    "force_phrases",
    "start_id",
    "end_id",
    "longest",
    "fixed_shapes",
)
_FIELDS = {
    field.name: field
    for field in dataclasses.fields(SearchOptions)
    if field.name not in _LEFT_OUT
}


def add_search_options(
    parser: argparse.ArgumentParser,
    names: Iterable[str] = tuple(_FIELDS),
    without: Collection[str] = (),
) -> None:
    """Adds a flag for each of some options, with the option's own words."""
    names = [name for name in names if name not in without]
    group = parser.add_argument_group("search", "Left out, an option is the model's.")
    for name in names:
        field = _FIELDS[name]
        kind = field.type
        default = "" if field.default in (None, False) else f" ({field.default})"
        options = {"help": _words(field) + default, "default": None}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = next(t for t in (int, float, str) if _is(kind, t))
            options["metavar"] = {int: "N", float: "X", str: "NAME"}[options["type"]]
        group.add_argument(f"--{name.replace('_', '-')}", **options)
    parser.set_defaults(search_options=names)


def _words(field):
    """An option's words, without those on tensors, which are for Python."""
    words = re.sub(r"(?<=\. )[A-Z][^.]*\btensor\b[^.]*\.", "", field.metadata["help"])
    words = re.sub(r"[:,] [^.;:]*\btensor\b[^.;:]*", "", words)
    return as_flags(words, _FIELDS)


def search(options: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, checked, as keyword arguments.

    Raises:
        ValueError: For a value out of range.
    """
    given = {name: getattr(options, name) for name in options.search_options}
    given = {name: value for name, value in given.items() if value is not None}
    alone = dict(given)
    if "num_hypotheses" in alone and "beam_size" not in alone:
        # The model's own beam may be the wider one.
        alone["beam_size"] = max(alone["num_hypotheses"], SearchOptions.beam_size)
    SearchOptions(**alone)
    return given


def _is(kind, plain):
    """Whether a field's type is a plain one, or that or None."""
    return kind is plain or plain in getattr(kind, "__args__", ())
