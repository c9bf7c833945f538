"""The texts of a run: which files they are, and how they are read."""

import dataclasses
import itertools
import types
from collections.abc import Iterator
from typing import Any

from keras_transformer import arguments
from keras_transformer.data.corpus import (
    checked_columns,
    options_by_corpus,
    read_pairs,
)


@dataclasses.dataclass(frozen=True)
class Texts:
    """One corpus of a run.

    Attributes:
        source: Path of the source sentences, or of both sides.
        target: Path of the target sentences, or None.
        options: Further arguments of `kt.data.read_pairs`.
        tag: Token in front of each source sentence, or None.
    """

    source: str
    target: str | None
    options: dict
    tag: str | None = None

    @property
    def paths(self) -> list[str]:
        """The paths of its one or two files."""
        return [self.source] + ([self.target] if self.target else [])

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Its sentence pairs, without the tag."""
        return read_pairs(self.source, self.target, **self.options)


def sentences(texts: list[Texts], sides: tuple[int, ...]) -> Iterator[str]:
    """The sentences of some corpora, for a tokenizer to train on.

    Args:
        texts: The corpora.
        sides: 0 for the sources, 1 for the targets, or both.
    """
    for side in sides:
        for one in texts:
            for pair in one.pairs():
                yield pair[side]


def training_texts(config: Any) -> list[Texts]:
    """The corpora that a run is trained on.

    Args:
        config: A `RunConfig`.
    """
    paths, valid = _paths(config)
    options = options_by_corpus(paths + valid, **_reading(config))
    tags = config.tags or [None] * len(paths)
    return [
        Texts(source, target, own, tag)
        for (source, target), own, tag in zip(paths, options, tags)
    ]


def validation_texts(config: Any) -> Texts | None:
    """The corpus that a run is validated on, or None.

    Args:
        config: A `RunConfig`.
    """
    paths, valid = _paths(config)
    options = options_by_corpus(paths + valid, **_reading(config))
    return (
        Texts(config.valid_source, config.valid_target, options[-1]) if valid else None
    )


def checked_texts(config: Any) -> dict[str, Any]:
    """The settings of a run that say which files it reads, as JSON has them.

    Args:
        config: A `RunConfig`, unchecked.

    Returns:
        Dict of a setting's name -> its value.

    Raises:
        TypeError: For a value of another type.
        ValueError: For a value out of range, lists of different lengths, and a setting
            that none of the texts needs.
    """
    source = _checked_paths("source", config.source)
    target = None
    if config.target is not None:
        target = _checked_paths("target", config.target)
        _check_number("target", target, source)
    checked = {"source": source, "target": target}
    for name in ("valid_source", "valid_target", "initial"):
        value = getattr(config, name)
        checked[name] = None if value is None else arguments.path(name, value)
    if config.valid_target is not None and config.valid_source is None:
        raise ValueError(
            "valid_target needs a valid_source; received "
            f"valid_target={config.valid_target!r}, valid_source=None."
        )
    columns = checked_columns(config.columns)
    checked["columns"] = columns and list(columns)
    checked["weights"] = _checked_weights(config.weights, source)
    if config.weights is not None and config.temperature is not None:
        raise ValueError(
            "temperature and weights both say how corpora are mixed; received "
            f"temperature={config.temperature!r}, weights={config.weights!r}. Leave "
            "out one of them."
        )
    checked["tags"] = _checked_tags(config.tags, source)
    paths, valid = _paths(types.SimpleNamespace(**checked))
    options_by_corpus(paths + valid, **_reading(config))
    return checked


def _as_list(paths):
    return paths if isinstance(paths, list) else [paths]


def _paths(config):
    """Source and target of each corpus to train on, and of those to validate on."""
    sources, targets = _as_list(config.source), _as_list(config.target)
    paths = list(itertools.zip_longest(sources, targets))
    valid = [(config.valid_source, config.valid_target)] if config.valid_source else []
    return paths, valid


def _reading(config):
    """Arguments of `read_pairs`, those that not all kinds of files take."""
    names = "columns", "source_language", "target_language"
    return {name: getattr(config, name) for name in names}


def _checked_paths(name, value):
    """A path, or a list of them; a target of a list may be None."""
    if not isinstance(value, (list, tuple)):
        return arguments.path(name, value)
    if not value:
        raise ValueError(f"{name} must name a file; received {name}={value!r}.")
    return [
        None if path is None and name == "target" else arguments.path(name, path)
        for path in value
    ]


def _check_number(name, value, source):
    """Raises a ValueError unless there is one value for each corpus."""
    if isinstance(value, list) != isinstance(source, list) or (
        isinstance(value, list) and len(value) != len(source)
    ):
        raise ValueError(
            f"{name} must have one value for each corpus of source; received "
            f"{name}={value!r}, source={source!r}."
        )


def _checked_weights(weights, source):
    if weights is None:
        return None
    if not isinstance(weights, (list, tuple)):
        raise arguments.ArgumentTypeError(
            f"weights must be a list of numbers; received weights={weights!r}."
        )
    numbers = [arguments.number("weights", weight, above=0) for weight in weights]
    _check_number("weights", numbers, _as_list(source))
    return [float(number) for number in numbers]


def _checked_tags(tags, source):
    if tags is None:
        return None
    if not isinstance(tags, (list, tuple)):
        raise arguments.ArgumentTypeError(
            f"tags must be a list of tokens; received tags={tags!r}."
        )
    for tag in tags:
        if tag is None:
            continue
        if not isinstance(tag, str):
            raise arguments.ArgumentTypeError(
                f"tags must be strings or None; received tags={tags!r}."
            )
        if not tag or any(character.isspace() for character in tag):
            raise ValueError(
                "tags must be tokens without a space, such as '<2de>'; received "
                f"tags={tags!r}."
            )
    _check_number("tags", list(tags), _as_list(source))
    return list(tags)
