"""Checks of arguments that are plain numbers."""

import math
import numbers
from typing import Any


def integer(name: str, value: Any, minimum: int | None = 1) -> int:
    """`value` as an `int`, NumPy's integers too.

    Raises:
        TypeError: If it isn't an integer.
        ValueError: If it is less than `minimum`, where there is one.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer; received {name}={value!r}.")
    if minimum is not None and value < minimum:
        raise ValueError(
            f"{name} must be at least {minimum}; received {name}={value!r}."
        )
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
        TypeError: If it isn't a number.
        ValueError: If it isn't finite or outside of the limits.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number; received {name}={value!r}.")
    wrong = (
        not math.isfinite(value)
        or (above is not None and value <= above)
        or (minimum is not None and value < minimum)
        or (below is not None and not value < below)
    )
    if wrong:
        limits = [
            f"{words} {limit}"
            for words, limit in (
                ("greater than", above),
                ("at least", minimum),
                ("less than", below),
            )
            if limit is not None
        ]
        raise ValueError(
            f"{name} must be {' and '.join(['finite', *limits])}; "
            f"received {name}={value!r}."
        )
    return int(value) if isinstance(value, numbers.Integral) else float(value)
