"""Products with kernels by operations of oneDNN's, which put a kernel in order once.

TensorFlow's own product copies a kernel into the order that the processor multiplies
fast with at each call, which takes a few rows longer than multiplying does. These keep
the copy. They are in TensorFlow wherever it is built with oneDNN, but have no names in
Python.
"""

import functools
import os
import subprocess
import sys
from typing import Any, Self

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2
from tensorflow.python.framework import op_def_library

from keras_transformer.kernels import PackedWeights, add_bias
from keras_transformer.serving.weights import FORMATS

_MOST = 127.0
# Rows whose values are all smaller count as zeros.
_LEAST = 1e-30


class OneDnnKernel(PackedWeights):
    """A kernel `(K, N)` whose products keep it in oneDNN's order.

    Args:
        stored: Variable `(K, N)`. It is read at the first product in a graph: later
            changes have no effect.
        scale: N numbers to multiply the kernel's columns with, or None.
        transposed: Whether the variable is `(N, K)` instead.
    """

    def __init__(
        self, stored: Any, scale: Any = None, *, transposed: bool = False
    ) -> None:
        self._stored, self._transposed = stored, transposed
        self.scale = None
        if scale is not None:
            self.scale = np.asarray(scale, "float32").reshape(-1)

    def read(self) -> Self:
        """The same of the variable's value, for a loop that would read it each time."""
        return type(self)(
            tf.convert_to_tensor(self._stored),
            self.scale,
            transposed=self._transposed,
        )

    @property
    def matrix(self) -> tf.Tensor:
        """The kernel as it was given, (D, K), of the dtype that it is stored in."""
        # Rows looked up in a variable make TensorFlow copy it wherever it is read.
        stored = tf.convert_to_tensor(self._stored)
        return stored if self._transposed else tf.transpose(stored)

    @property
    def shape(self) -> tuple[int, int]:
        return tuple(self._stored.shape[:: -1 if self._transposed else 1])


class PackedKernel(OneDnnKernel):
    """A kernel of bfloat16."""

    def linear(self, rows: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        bias = tf.zeros(self.shape[1]) if bias is None else bias
        inputs, kernel, bias = (
            tf.cast(each, tf.bfloat16) for each in (rows, self._stored, bias)
        )
        product = _packed_product(inputs, kernel, bias, self._transposed)
        return tf.cast(product, rows.dtype)


class Int8Kernel(OneDnnKernel):
    """A kernel of int8, whose products multiply int8.

    Each row is quantized by its own greatest value, so that rows don't depend on their
    neighbours.

    Reference: [Integer quantization](https://arxiv.org/abs/2004.09602), section 3.
    """

    def linear(self, rows: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        floats = tf.cast(rows, tf.float32)
        # Two reductions take less time than all absolute values.
        most = tf.reduce_max(floats, axis=1, keepdims=True)
        least = tf.reduce_min(floats, axis=1, keepdims=True)
        greatest = tf.maximum(tf.maximum(most, -least), _LEAST)
        whole = tf.cast(tf.round(floats * (_MOST / greatest)), tf.int8)
        products = _int8_product(whole, self._stored, self.scale, self._transposed)
        # The operation says nothing about its shape.
        products = tf.ensure_shape(products, [rows.shape[0], self.shape[1]])
        return add_bias(tf.cast(products * (greatest / _MOST), rows.dtype), bias)


def _packed_product(rows, kernel, bias, transposed):
    """`rows @ kernel + bias`, all of bfloat16."""
    products = op_def_library.apply_op(
        "_MklNativeFusedMatMul",
        name="product",
        a=rows,
        b=kernel,
        args=[bias],
        is_filter_const=True,
        transpose_a=False,
        transpose_b=transposed,
        fused_ops=["BiasAdd"],
        epsilon=0.0,
        leakyrelu_alpha=0.0,
    )
    # As TensorFlow marks those that it puts in the place of its own.
    label = attr_value_pb2.AttrValue(s=b"MklNameChangeOp")
    products.op._set_attr("_kernel", label)
    return products


def _int8_product(whole, kernel, scale, transposed):
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
    return tf.nest.flatten(found)[0]


@functools.cache
def check_products(weights: str) -> None:
    """Checks that this machine computes the products of an export.

    Args:
        weights: Of those in `weights.ONEDNN_FORMATS`.

    Raises:
        RuntimeError: Where they fail, or int8's sums overflow.
    """
    # In a process of its own: what isn't there ends the process.
    code = f"from {__name__} import try_products; try_products({weights!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        chosen = FORMATS[weights]
        raise RuntimeError(
            f"weights={weights!r} needs a TensorFlow with oneDNN, and a processor with "
            f"{chosen.processor}. Choose weights={chosen.instead!r}, which runs "
            "everywhere."
        ) from RuntimeError(done.stderr[-2000:])


def try_products(weights: str) -> None:
    """Computes products as an export with these weights does.

    Raises:
        AssertionError: If they are wrong. The process may end instead.
    """
    row, kernel = np.full((1, 64), 127.0, "float32"), np.full((64, 16), 127, "int8")
    kernels: list[OneDnnKernel] = [PackedKernel(tf.constant(kernel, tf.bfloat16))]
    if FORMATS[weights].in_int8:
        kernels.append(Int8Kernel(tf.constant(kernel), np.ones(16)))
    for held in kernels:
        found = tf.function(held.linear, autograph=False)(row)
        np.testing.assert_allclose(found, np.full((1, 16), 64 * 127 * 127), rtol=1e-3)
