"""Constructor arguments of layers: checked, and initializers copied for each weight."""

import difflib
import functools
import inspect
import math
import numbers

import keras
import numpy as np
from keras import ops


def check_positive(name, value):
    """`value` as a Python int.

    Raises:
        ValueError: Unless `value` is a positive integer, of Python or of NumPy.
    """
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_integer or value < 1:
        raise ValueError(
            f"{name} must be a positive integer; received {name}={value!r}."
        )
    return int(value)


def check_number(name, value, fits, words):
    """`value` as a Python number.

    Raises:
        ValueError: Unless `value` is a finite number that `fits`; `words` say which do.
    """
    is_number = isinstance(value, (numbers.Real, np.number, np.ndarray))
    is_number = is_number and not isinstance(value, bool) and np.ndim(value) == 0
    if not (is_number and math.isfinite(value) and fits(value)):
        raise ValueError(f"{name} must be {words}; received {name}={value!r}.")
    return value.item() if hasattr(value, "item") else value


def check_rate(name, value):
    """`value`, a dropout rate, as a Python number; otherwise a ValueError."""
    return check_number(name, value, lambda rate: 0 <= rate < 1, "in [0, 1)")


def check_flag(name, value):
    """`value`, True or False, as Python's; otherwise a ValueError."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; received {name}={value!r}.")
    return bool(value)


def check_seed(name, value):
    """`value`, a seed or None, as Python's; otherwise a ValueError."""
    if value is None or isinstance(value, keras.random.SeedGenerator):
        return value
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_integer:
        raise ValueError(
            f"{name} must be an integer or None; received {name}={value!r}."
        )
    return int(value)


def get_initializer(name, value):
    """The Keras initializer that `value` names or is; otherwise a ValueError."""
    try:
        return keras.initializers.get(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} must be a Keras initializer or the name of one; "
            f"received {name}={value!r}."
        ) from error


def get_activation(value, width):
    """The activation that `value` names or is, of vectors of some width.

    Raises:
        ValueError: For an unknown activation, or one that changes the shape, as GLU
            does.
    """
    received = f"received activation={value!r}"
    try:
        activation = keras.activations.get(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "activation must be a function or the name of one of Keras's activations; "
            f"{received}."
        ) from error
    if isinstance(activation, keras.Layer):
        # A layer may have weights, whose shapes its first call settles.
        return activation
    try:
        found = tuple(activation(ops.zeros((1, width))).shape)
    except Exception as error:
        raise ValueError(
            f"activation must be a function of one tensor; {received}, which raises "
            f"{type(error).__name__}: {error}"
        ) from error
    if found != (1, width):
        raise ValueError(
            "activation must keep the shape of its input; "
            f"{received}, which turns (1, {width}) into {found}."
        )
    return activation


def check_names(received, known, owner, error_class=ValueError):
    """Raises an error that has the nearest known name, if a name isn't known."""
    for name in received:
        if name not in known:
            nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise error_class(
                f"{owner} has no argument {name!r}; received {name}="
                f"{received[name]!r}.{hint}"
            )


@functools.cache
def argument_names(function):
    """The names of a function's arguments, without `self`."""
    parameters = inspect.signature(function).parameters.values()
    several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return frozenset(p.name for p in parameters if p.kind not in several) - {"self"}


def clone_initializer(initializer):
    """A copy that draws values of its own: one Keras initializer always draws alike."""
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return initializer


def fused_initializer(initializer, parts):
    """Initializer of a kernel whose columns are `parts` kernels side by side.

    Each part is drawn with its own fan-in and fan-out, as if it stood alone.
    """

    def initialize(shape, dtype=None):
        part_shape = (*shape[:-1], shape[-1] // parts)
        return keras.ops.concatenate(
            [
                clone_initializer(initializer)(part_shape, dtype=dtype)
                for _ in range(parts)
            ],
            axis=-1,
        )

    return initialize
