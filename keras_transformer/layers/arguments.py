"""Constructor arguments of layers: checked, and initializers copied for each weight."""

import keras


def check_positive(name, value):
    """Raises a ValueError unless `value` is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer; received {name}={value}.")


def check_rate(name, value):
    """Raises a ValueError unless `value` is a dropout rate."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1); received {name}={value}.")


def fresh(initializer):
    """A copy that draws values of its own: one Keras initializer always draws alike."""
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return initializer


def stacked(initializer, parts):
    """Initializer of a kernel whose columns are `parts` kernels side by side.

    Each part is drawn with its own fan-in and fan-out, as if it stood alone.
    """

    def initialize(shape, dtype=None):
        part_shape = (*shape[:-1], shape[-1] // parts)
        return keras.ops.concatenate(
            [fresh(initializer)(part_shape, dtype=dtype) for _ in range(parts)], axis=-1
        )

    return initialize
