"""The dtypes that sums, norms, scores and angles are computed in."""

import keras
from keras import ops


def at_least_float32(dtype):
    """`dtype`, or float32 in the place of one with fewer digits."""
    return (
        "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"
    )


def _is_float64(x):
    return keras.backend.standardize_dtype(x.dtype) == "float64"


# Keras 3.15's `result_type` of float64 is float32 on PyTorch and JAX: its operations
# that ask for it lose half of the digits. These two don't.


def matmul(x1, x2):
    """`ops.matmul`, of float64 in float64."""
    return x1 @ x2 if _is_float64(x1) else ops.matmul(x1, x2)


def mean(x):
    """`ops.mean` over the last axis, which is kept, of float64 in float64."""
    if _is_float64(x):
        return ops.sum(x, axis=-1, keepdims=True) / x.shape[-1]
    return ops.mean(x, axis=-1, keepdims=True)
