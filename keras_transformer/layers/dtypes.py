"""The dtypes that sums, norms, scores and angles are computed in."""

import keras


def at_least_float32(dtype):
    """`dtype`, or float32 in the place of one with fewer digits."""
    return (
        "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"
    )
