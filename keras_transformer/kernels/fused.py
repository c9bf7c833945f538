"""What Keras or PyTorch computes in one operation of the backend's."""

import keras
from keras import ops


def keeps_digits(x, *others):
    """Whether the backend's normalization is exact: JAX's is no more than float32."""
    return keras.backend.standardize_dtype(x.dtype) != "float64"


def normalize(x, gamma, beta, epsilon):
    """`plain.normalize` by Keras."""
    return ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=epsilon)
