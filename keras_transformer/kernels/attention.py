"""Attention in one operation of the backend's, of a search's step, of a single query.

A step and the single query of a single sentence stand in a server's loop: matmuls so
small cost more to set up than to compute.
"""

import functools

import keras
from keras import ops

from keras_transformer.kernels.dtypes import at_least_float32
from keras_transformer.kernels.impossible import MASKED_SCORE, MASKED_SCORE_FLOAT16

# Of more, as of wide beams, oneDNN's matmuls are faster.
_FEW_QUERIES = 6


def has_fused_attention(queries, *others):
    """Whether Keras's attention is faster than the steps of equation 1, and as exact.

    Flash attention is faster. Without it, on CPUs, JAX takes the same steps with
    positions before heads, an order that its matmuls are slower in. Float64 Keras
    computes in float32 on PyTorch.
    """
    if keras.backend.standardize_dtype(queries.dtype) == "float64":
        return False
    if keras.backend.backend() == "jax":
        return not keras.distribution.list_devices()[0].startswith("cpu")
    return True


def attend_fused(queries, keys, values, bias=None, mask=None):
    """Keras's fused path: flash attention where the backend has it."""
    queries, keys, values = (
        ops.transpose(heads, (0, 2, 1, 3)) for heads in (queries, keys, values)
    )
    batch, length, num_heads = ops.shape(queries)[:3]
    shape = (batch, num_heads, length, ops.shape(keys)[1])
    if bias is not None and mask is not None:
        # Keras takes one of them on PyTorch.
        half = keras.backend.standardize_dtype(queries.dtype) == "float16"
        bias = ops.where(mask, bias, MASKED_SCORE_FLOAT16 if half else MASKED_SCORE)
        mask = None
    if bias is not None:
        bias = ops.broadcast_to(ops.cast(bias, queries.dtype), shape)
    if mask is not None:
        mask = ops.broadcast_to(mask, shape)
    context = ops.dot_product_attention(
        queries, keys, values, bias=bias, mask=mask, scale=1.0
    )
    return ops.transpose(context, (0, 2, 1, 3))


def is_one_query(heads, *others):
    """Whether there is one query `(1, H, 1, K)`, or its scores `(1, H, 1, S)`."""
    return heads.shape[0] == 1 and heads.shape[2] == 1


def scores_of_one_query(queries, keys):
    """`plain.scores` by a sum."""
    sums = ops.sum(queries * keys, axis=-1)[:, :, None]
    return ops.cast(sums, at_least_float32(sums.dtype))


def is_step(left, right):
    """Whether this is a step's matmul, of few queries with keys that get more.

    Their number isn't known then while a graph is traced, and that of queries is.
    """
    count, dtypes = left.shape[2], (left.dtype, right.dtype)
    return (
        count is not None
        and count <= _FEW_QUERIES
        and None in (left.shape[3], right.shape[2])
        and all(keras.backend.standardize_dtype(d) == "float32" for d in dtypes)
    )


def scores_of_step(queries, keys):
    """`plain.scores` by TensorFlow's own matmul."""
    return _own_matmul(queries, keys, adj_y=True)


def weighted_sum_of_step(weights, values):
    """`plain.weighted_sum` by TensorFlow's own matmul."""
    return _own_matmul(weights, values)


def _own_matmul(left, right, **options):
    """Matmuls of heads that TensorFlow doesn't give to oneDNN.

    oneDNN prepares a matmul for each shape that it meets, and TensorFlow keeps a
    thousand of them, 250 kB each. A matmul of several rows copies the matrix on its
    right first: each row has one of its own here.
    """
    import tensorflow as tf

    matmul = functools.partial(tf.raw_ops.BatchMatMulV3, Tout=tf.float32, **options)
    if left.shape[2] == 1:
        return matmul(x=left, y=right)
    return tf.squeeze(matmul(x=left[:, :, :, None], y=right[:, :, None]), 3)
