"""Products of int8 in a graph of TensorFlow, as oneDNN computes them."""

import functools

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import op_def_library

from keras_transformer.layers.products import HeldKernel

_MOST = 127.0
# Rows whose values are all smaller count as zeros.
_LEAST = 1e-30


class Int8Kernel(HeldKernel):
    """A kernel `(K, N)` of int8 held as `(N, K)`, whose products multiply int8.

    Each row is quantized by its own greatest value, so that rows don't depend on their
    neighbours.

    Args:
        matrix: int8 variable `(N, K)`. It is read at the first product in a graph, and
            kept in an order that oneDNN is fast with: later changes have no effect.
        scale: N numbers to multiply its rows with.
        transposed: Whether the matrix is `(K, N)` instead.

    Raises:
        RuntimeError: Where TensorFlow or the processor has no such products.

    Reference: [Integer quantization](https://arxiv.org/abs/2004.09602), section 3.
    """

    def __init__(self, matrix, scale, transposed=False):
        check_int8_products()
        self._stored, self._transposed = matrix, transposed
        self.scale = np.asarray(scale, "float32").reshape(-1)

    @property
    def matrix(self):
        # Rows looked up in a variable make TensorFlow copy it wherever it is read.
        matrix = tf.convert_to_tensor(self._stored)
        return tf.transpose(matrix) if self._transposed else matrix

    def product(self, rows):
        floats = tf.cast(rows, tf.float32)
        # Two reductions take less time than all absolute values.
        most = tf.reduce_max(floats, axis=1, keepdims=True)
        least = tf.reduce_min(floats, axis=1, keepdims=True)
        greatest = tf.maximum(tf.maximum(most, -least), _LEAST)
        whole = tf.cast(tf.round(floats * (_MOST / greatest)), tf.int8)
        products = _product(whole, self._stored, self.scale, not self._transposed)
        return tf.cast(products * (greatest / _MOST), rows.dtype)


def _product(whole, kernel, scale, transposed):
    """`whole @ kernel * scale` in float32, of int8 `(R, K)` and `(K, N)`."""
    found = op_def_library.apply_op(
        "_QuantizedMatMul",
        name="product",
        device_inputs=[
            tf.bitcast(whole, tf.qint8),
            tf.bitcast(kernel, tf.qint8),
            tf.zeros(scale.shape),
        ],
        # What 127 and -127 stand for, among the rows' numbers and the kernel's.
        host_inputs=[-_MOST, _MOST, -_MOST * scale, _MOST * scale],
        fused_ops=["BiasAdd", "Dequantize"],
        transpose_a=False,
        transpose_b=transposed,
        is_weight_const=True,
        is_bias_const=True,
        input_quant_mode="SCALED",
        output_quant_mode="SCALED",
        leakyrelu_alpha=0.0,
        T1=tf.qint8,
        T2=tf.qint8,
        Tbias=tf.float32,
        U=tf.float32,
        Tout=tf.float32,
        Tdevice_outputs=[tf.float32],
        Thost_outputs=[],
    )
    products = tf.nest.flatten(found)[0]
    # The operation says nothing about its shape.
    return tf.ensure_shape(products, [whole.shape[0], scale.size])


@functools.cache
def check_int8_products():
    """Raises a RuntimeError where products of int8 fail or their sums overflow."""
    row, kernel = np.full((1, 64), 127, "int8"), np.full((64, 16), 127, "int8")

    @functools.partial(tf.function, autograph=False)
    def sums():
        return _product(row, kernel, np.ones(16, "float32"), False)

    try:
        found = sums().numpy()
    except (tf.errors.OpError, RuntimeError):
        found = None
    if not np.array_equal(found, np.full((1, 16), 64.0 * 127 * 127)):
        raise RuntimeError(
            "weights='int8_products' needs a TensorFlow with oneDNN, and a processor "
            "whose instructions multiply int8 (AVX-512 VNNI, AVX-VNNI or AMX). Choose "
            "weights='int8', which runs everywhere."
        )
