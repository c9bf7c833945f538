"""What a caller says about the computation that it starts, by scopes around it."""

import contextlib
import contextvars
import os

_VARIABLE = "KERAS_TRANSFORMER_KERNELS"
_CHOICES = "fast", "plain"


def _asks_for_plain():
    choice = os.environ.get(_VARIABLE, "fast")
    if choice not in _CHOICES:
        raise ValueError(
            f"{_VARIABLE} must be one of {_CHOICES}; received {_VARIABLE}={choice!r}."
        )
    return choice == "plain"


_IS_PLAIN = _asks_for_plain()
_is_plain = contextvars.ContextVar("is_plain", default=_IS_PLAIN)
_num_parts = contextvars.ContextVar("num_parts", default=1)
# Packed weights by the ids of their variables, and whether XLA compiles.
_packed = contextvars.ContextVar("packed", default=(None, False))


@contextlib.contextmanager
def _scope(variable, value):
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def plain_only(value=True):
    """A scope in which every operation has its plain form, or with False its fast one.

    By default the environment variable `KERAS_TRANSFORMER_KERNELS` says it when the
    package is imported: `fast` or `plain`. What is compiled keeps the forms that were
    chosen while it was traced.
    """
    return _scope(_is_plain, value)


def is_plain():
    """Whether every operation has its plain form."""
    return _is_plain.get()


def with_matmuls_in_parts(count):
    """A scope in which a matmul with a large kernel is a sum of `count` matmuls.

    Nothing connects these, so that TensorFlow computes them at the same time, an
    operation in one thread each. That is for a few rows of float32, whose matmuls take
    as long as reading the kernel does. A row of bfloat16 and a bias are multiplied
    faster as a whole: parts, which have no bias, have their kernels copied first.
    """
    return _scope(_num_parts, count)


def num_parts():
    """How many matmuls a large one is cut into."""
    return _num_parts.get()


def with_packed_weights(weights, *, compiled_by_xla=False):
    """A scope in which matmuls use packed weights in place of variables.

    Args:
        weights: Pairs `(variable, PackedWeights)`.
        compiled_by_xla: Whether XLA compiles what is in the scope.
    """
    by_variable = {id(variable): packed for variable, packed in weights}
    return _scope(_packed, (by_variable, compiled_by_xla))


def packed_weights(variable):
    """What `with_packed_weights` has for a variable, or None."""
    by_variable, _ = _packed.get()
    if by_variable is None or is_plain():
        return None
    return by_variable.get(id(variable))


def compiled_by_xla():
    """Whether this is in a scope of `with_packed_weights` that XLA compiles."""
    return _packed.get()[1]
