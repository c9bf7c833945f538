"""Smoothed cross-entropy of rows of logits."""

import keras
from keras import ops

from keras_transformer import kernels


def smoothed_crossentropy(labels, logits, smoothing, dtype="float32"):
    """Loss of each label.

    With smoothing e the target distribution gives `1 - e` to the label and spreads e
    over the whole vocabulary, so `loss = logsumexp(z) - (1 - e) z[label] - e mean(z)`.

    Args:
        labels: int32 `(B, T)`, from 0 to V - 1.
        logits: Floats `(B, T, V)`.
        smoothing: Smoothing e in `[0, 1)`.
        dtype: Dtype to compute in, if it is wider than float32 and than the logits'.

    Returns:
        `(B, T)`, float32 or float64.
    """
    logits = ops.convert_to_tensor(logits)
    dtypes = dtype, keras.backend.standardize_dtype(logits.dtype)
    logits = ops.cast(logits, "float64" if "float64" in dtypes else "float32")
    rows = ops.reshape(logits, (-1, logits.shape[-1]))
    losses = kernels.crossentropy(rows, ops.reshape(labels, (-1,)), smoothing)
    return ops.reshape(losses, ops.shape(logits)[:-1])
