"""The dtypes that sums, norms, scores and angles are computed in."""

import keras
from keras import ops


def at_least_float32(dtype):
    """`dtype`, or float32 in the place of one with fewer digits."""
    return (
        "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"
    )


def matmul(x1, x2):
    """`ops.matmul`, of float64 in float64.

    Keras 3.15 multiplies float64 in float32 on PyTorch: its `result_type` of float64
    and float64 is float32 there.
    """
    is_float64 = keras.backend.standardize_dtype(x1.dtype) == "float64"
    return x1 @ x2 if is_float64 else ops.matmul(x1, x2)
