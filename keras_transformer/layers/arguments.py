"""Arguments of layers that Keras has objects for: initializers, activations, seeds."""

import keras
from keras import ops

from keras_transformer import arguments


def check_seed(name, value):
    """`value`, an integer, a `SeedGenerator` or None, as Python's."""
    if value is None or isinstance(value, keras.random.SeedGenerator):
        return value
    return arguments.integer(name, value, minimum=None)


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
