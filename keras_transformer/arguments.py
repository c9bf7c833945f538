"""Checks of arguments: plain values, and the names of those that exist."""

import difflib
import functools
import inspect
import numbers
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


class ArgumentTypeError(TypeError, ValueError):
    """An argument of a wrong type, or one that doesn't exist.

    It is a TypeError, as Python raises for a call. It is a ValueError too, because the
    argument may come from a file of settings or the command line.
    """


def plain(value: Any) -> Any:
    """A number of NumPy's, or an array that is one, as Python's."""
    is_number = isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0
    return value.item() if is_number else value


def integer(name: str, value: Any, minimum: int | None = 1) -> int:
    """`value` as an `int`, NumPy's integers too.

    Raises:
        ArgumentTypeError: If it isn't an integer.
        ValueError: If it is less than `minimum`, where there is one.
    """
    received = f"received {name}={value!r}."
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ArgumentTypeError(f"{name} must be an integer; {received}")
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} must be at least {minimum}; {received}")
    return int(value)


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    minimum: float | None = None,
    below: float | None = None,
) -> int | float:
    """`value` as an `int` or a finite `float`, within the limits that are given.

    Raises:
        ArgumentTypeError: If it isn't a number.
        ValueError: If it isn't finite or outside of the limits.
    """
    received = f"received {name}={value!r}."
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(f"{name} must be a number; {received}")
    found = int(value) if isinstance(value, numbers.Integral) else float(value)
    is_within = (
        # An integer that no float holds isn't finite, either.
        abs(found) <= sys.float_info.max
        and (above is None or found > above)
        and (minimum is None or found >= minimum)
        and (below is None or found < below)
    )
    if not is_within:
        limits = [
            f"{words} {limit}"
            for words, limit in (
                ("greater than", above),
                ("at least", minimum),
                ("less than", below),
            )
            if limit is not None
        ]
        words = " and ".join(["finite", *limits])
        raise ValueError(f"{name} must be {words}; {received}")
    return found


def rate(name: str, value: Any) -> int | float:
    """`value`, a dropout rate, as a Python number from 0 to less than 1."""
    return number(name, value, minimum=0, below=1)


def path(name: str, value: Any) -> str:
    """`value`, a path of a file or a folder, as a string.

    Raises:
        ArgumentTypeError: If it is no path.
        ValueError: If it is empty.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise ArgumentTypeError(f"{name} must be a path; received {name}={value!r}.")
    found = os.fspath(value)
    if not found:
        raise ValueError(f"{name} must name a file or a folder; received {name}=''.")
    return found


def flag(name: str, value: Any) -> bool:
    """`value`, True or False, as a `bool`, NumPy's too.

    Raises:
        ArgumentTypeError: If it is anything else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentTypeError(
            f"{name} must be True or False; received {name}={value!r}."
        )
    return bool(value)


def check_names(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises an error for names that `owner` doesn't take, with the nearest it does.

    Args:
        owner: What takes the arguments, for the message: `"Transformer()"`.
        given: Iterable of names, or a dict of the arguments.
        known: Iterable of the names that exist.

    Raises:
        ArgumentTypeError: For unknown names.
    """
    known = sorted({*known})
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    nearest = {name: difflib.get_close_matches(str(name), known, 1) for name in unknown}
    words = ", ".join(
        f"{name!r} (did you mean {near[0]!r}?)" if near else repr(name)
        for name, near in nearest.items()
    )
    received = ""
    if isinstance(given, dict):
        values = ", ".join(f"{name}={given[name]!r}" for name in unknown)
        received = f"; received {values}"
    takes = "" if all(nearest.values()) else f" It takes: {', '.join(known)}."
    raise ArgumentTypeError(f"{owner} has no argument {words}{received}.{takes}")


@functools.cache
def names_of(function: Callable) -> frozenset[str]:
    """The names of a function's arguments, without `self`."""
    parameters = inspect.signature(function).parameters.values()
    several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return frozenset(p.name for p in parameters if p.kind not in several) - {"self"}
