"""Products of int8 in a graph of TensorFlow, as oneDNN computes them."""

import functools

import numpy as np
import tensorflow as tf

from keras_transformer.layers.products import HeldKernel

# Rows become whole numbers from -127 to 127, and uint8 by a shift.
_MOST, _SHIFT = 127, 128
# Rows whose values are all smaller count as zeros.
_LEAST = 1e-30


class Int8Kernel(HeldKernel):
    """A kernel `(K, N)` of int8 held as `(N, K)`, whose products multiply int8.

    Each row is quantized by its own greatest value, so that rows don't depend on their
    neighbours. oneDNN puts a kernel in an order of its own: once if it is a constant of
    the graph; of a variable at each product, which takes several times as long.

    Args:
        matrix: int8 tensor or variable `(N, K)`.
        scale: N numbers to multiply its rows with.

    Raises:
        RuntimeError: Where TensorFlow or the processor has no such products.

    Reference: [Integer quantization](https://arxiv.org/abs/2004.09602), section 3.
    """

    def __init__(self, matrix, scale):
        check_int8_products()
        self._matrix = matrix
        self._kernel = np.transpose(matrix.numpy())
        self._scale = np.asarray(scale, "float32").reshape(-1)
        rows = tf.TensorSpec([None, len(self._kernel)], tf.float32)
        # A function, so that all graphs that use it share the constant.
        self._product = tf.function(
            self._multiply, input_signature=[rows], autograph=False
        )

    def columns(self, places):
        scale = tf.gather(self._scale, places)[..., None]
        return tf.cast(tf.gather(self._matrix, places), tf.float32) * scale

    def product(self, rows):
        products = self._product(tf.cast(rows, tf.float32))
        return tf.cast(products, rows.dtype)

    def _multiply(self, rows):
        greatest = tf.reduce_max(tf.abs(rows), axis=1, keepdims=True)
        greatest = tf.maximum(greatest, _LEAST)
        # Conversion cuts off, so that this rounds.
        whole = tf.cast(rows * (_MOST / greatest) + (_SHIFT + 0.5), tf.uint8)
        return _sums(whole, self._kernel) * self._scale * (greatest / _MOST)


def _sums(whole, kernel):
    """`(whole - _SHIFT) @ kernel`, float32, of uint8 `(R, K)` and int8 `(K, N)`."""
    shift = -_SHIFT * kernel.sum(axis=0, dtype="int32")
    return tf.raw_ops.QuantizedMatMulWithBiasAndDequantize(
        a=tf.bitcast(whole, tf.quint8),
        b=tf.constant(kernel.view(tf.qint8.as_numpy_dtype), tf.qint8),
        bias=tf.constant(shift, tf.float32),
        min_a=0.0,
        max_a=255.0,
        min_b=-127.0,
        max_b=127.0,
        min_freezed_output=0.0,
        max_freezed_output=1.0,
        Toutput=tf.float32,
        input_quant_mode="SCALED",
    )


@functools.cache
def check_int8_products():
    """Raises a RuntimeError where products of int8 fail or their sums overflow."""
    row, kernel = np.full((1, 64), 255, "uint8"), np.full((64, 16), 127, "int8")
    try:
        sums = tf.function(lambda row: _sums(row, kernel), autograph=False)(row)
    except tf.errors.OpError:
        sums = None
    if not np.array_equal(sums, np.full((1, 16), 64.0 * (255 - _SHIFT) * 127)):
        raise RuntimeError(
            "weights='int8_products' needs a processor with int8 instructions "
            "(AVX-512 VNNI, AVX-VNNI or AMX) and oneDNN, which "
            "TF_ENABLE_ONEDNN_OPTS=0 turns off. Choose weights='int8', which runs "
            "everywhere."
        )
