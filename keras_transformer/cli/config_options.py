"""The settings of a run on the command line: the fields of `RunConfig`.

argparse makes the flags from the dataclass and its docstring. jsonargparse could, too,
but takes 0.2 of the 0.5 seconds that help may take, and its errors are other than those
of the other commands.
"""

import argparse
import dataclasses
import inspect
import os
import re
import typing
from typing import Any

from keras_transformer.cli.parser import as_flags, json_object, names, number_or_name
from keras_transformer.run.config import CHOICES, RunConfig

_POSITIONAL = ("source", "target")
_OTHER_FLAGS = {"initial": ["--from"]}
_METAVARS = {
    "source_language": "LANGUAGE",
    "target_language": "LANGUAGE",
    "strategy": "NAME",
    "initial": "FOLDER",
}


def add_config_options(parser: argparse.ArgumentParser, *, texts: bool = True) -> None:
    """Adds `--config`, and an argument for each field of `RunConfig`.

    Args:
        parser: The command's parser.
        texts: Whether the training texts are arguments too.
    """
    words = field_words(RunConfig)
    for name in _POSITIONAL if texts else ():
        parser.add_argument(name, nargs="?", type=_paths, help=words[name])
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings in YAML or JSON, such as a run's config.json; flags go over it",
    )
    for field in dataclasses.fields(RunConfig):
        if field.name in _POSITIONAL:
            continue
        default = field.default
        default = "" if default in (None, dataclasses.MISSING) else default
        default = f" ({default})" if default != "" else ""
        flag = f"--{field.name.replace('_', '-')}"
        flags = [flag, *_OTHER_FLAGS.get(field.name, ())]
        options: dict[str, Any] = {"help": words[field.name] + default, "default": None}
        if len(flags) > 1:
            options["dest"] = field.name
        if field.type is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
            continue
        if field.type is dict:
            options |= {"type": json_object, "metavar": "JSON"}
        elif field.type is list:
            options |= {"type": names, "metavar": "NAME,..."}
        elif field.name in CHOICES:
            options["choices"] = CHOICES[field.name]
        else:
            options |= _of_type(field.name, field.type)
        parser.add_argument(*flags, **options)
    parser.add_argument(
        "--separate-vocabularies",
        dest="joint_vocabulary",
        action="store_false",
        default=None,
        help="the same as --no-joint-vocabulary",
    )


def _of_type(name, annotation):
    """How argparse reads a setting, from its type's annotation."""
    kinds, several = _plain_types(annotation), {}
    if list in {typing.get_origin(kind) for kind in typing.get_args(annotation)}:
        several = {"nargs": 2 if name == "columns" else "+"}
    if {int, str} <= kinds:
        return {"type": number_or_name, "metavar": "COLUMN", **several}
    if name == "tags":
        return {"type": _or_none, "metavar": "TAG", **several}
    (kind,) = kinds
    metavar = _METAVARS.get(name, {int: "N", float: "X", str: "FILE"}[kind])
    return {"type": kind, "metavar": metavar, **several}


def _plain_types(annotation):
    """The types in an annotation such as `list[int | str] | None`, None aside."""
    parts = typing.get_args(annotation)
    if not parts:
        return {annotation} - {type(None)}
    return set().union(*map(_plain_types, parts))


def _or_none(text):
    return text or None


def _paths(text):
    """A path, or several with commas between them; an empty one is none."""
    if "," not in text or os.path.exists(text):
        return text
    return [path or None for path in text.split(",")]


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given: those of the file, and the flags over them.

    Raises:
        FileNotFoundError: If the file isn't there.
        ValueError: If it isn't YAML, or no mapping.
    """
    given = {} if options.config is None else _read(options.config)
    for field in dataclasses.fields(RunConfig):
        value = getattr(options, field.name, None)
        if value is not None:
            given[field.name] = value
    return given


def _read(path):
    # Not at the top: help needs no YAML.
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.1 takes 1e-3, which JSON and people write, for a string."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )
    with open(path, encoding="utf-8") as file:
        try:
            values = yaml.load(file, Loader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"--config {path} is no YAML: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(
            f"--config {path} must hold settings by name, such as steps: 1000; "
            f"received {str(values):.60}."
        )
    return values


def field_words(dataclass: type) -> dict[str, str]:
    """What each field of a dataclass is, from its docstring, for help."""
    doc = inspect.getdoc(dataclass) or ""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.MULTILINE | re.DOTALL)
    entries = re.findall(
        r"^    (\w+): (.*?)(?=^    \w+: |\Z)",
        section[1] if section else "",
        re.MULTILINE | re.DOTALL,
    )
    words = {name: re.sub(r"\s+", " ", text).strip() for name, text in entries}
    names = [field.name for field in dataclasses.fields(dataclass)]
    # Where Python leaves docstrings out there are no words.
    return {name: as_flags(words.get(name, ""), names) for name in names}
