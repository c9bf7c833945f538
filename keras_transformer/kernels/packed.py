"""Weights in another form than variables', and matmuls that a search is fast with."""

import functools
import operator

import keras
from keras import ops

from keras_transformer.kernels.dtypes import matmul
from keras_transformer.kernels.plain import add_bias
from keras_transformer.kernels.scopes import num_parts, packed_weights

# Kernels with fewer weights aren't worth the operations that cutting them takes.
_LARGE_KERNEL = 2**19
_ALMOST_ZERO = 1e-30


class PackedWeights:
    """A kernel `(K, N)` in another form than a variable's.

    Subclasses have its `matrix` `(N, K)` and `scale`, N numbers to multiply the
    matrix's rows with, or None.
    """

    @property
    def shape(self):
        """The kernel's shape, `(K, N)`."""
        return tuple(self.matrix.shape[::-1])

    def columns(self, indices):
        """The kernel's columns at some indices, of any shape: `(..., K)`, in float."""
        found = ops.take(self.matrix, indices, axis=0)
        if self.scale is None:
            return found
        scale = ops.take(self.scale, indices, axis=0)[..., None]
        return ops.cast(found, scale.dtype) * scale

    def linear(self, rows, bias=None):
        """`rows @ kernel + bias`, `(R, K)` -> `(R, N)`, in the rows' dtype."""
        raise NotImplementedError


class Int8Table(PackedWeights):
    """A table of int8 whose rows are multiplied with rows quantized to int8 too.

    Args:
        matrix: int8 tensor `(N, K)`.
        scale: N numbers that the matrix's rows are divided by, as Keras's scales are.
    """

    def __init__(self, matrix, scale):
        self.matrix = ops.convert_to_tensor(matrix)
        self.scale = 1 / ops.convert_to_tensor(scale)

    def linear(self, rows, bias=None):
        whole, row_scale = keras.quantizers.AbsMaxQuantizer(axis=-1)(rows)
        sums = ops.cast(ops.matmul(whole, ops.transpose(self.matrix)), rows.dtype)
        return add_bias(sums * ops.cast(self.scale, rows.dtype) / row_scale, bias)


def has_packed(rows, kernel, bias=None):
    """Whether a scope of `with_packed_weights` has a kernel's weights."""
    return packed_weights(kernel) is not None


def linear_of_packed(rows, kernel, bias=None):
    """`plain.linear` with the packed weights of a kernel."""
    return packed_weights(kernel).linear(rows, bias)


def is_cut(rows, kernel, bias=None):
    """Whether `linear_in_parts` is asked for and worth it."""
    size, width = kernel.shape
    is_large = size * width >= _LARGE_KERNEL
    return _is_float32(kernel) and is_large and size >= num_parts() > 1


def linear_in_parts(rows, kernel, bias=None):
    """`plain.linear` as a sum of matmuls, see `with_matmuls_in_parts`."""
    count = num_parts()
    cuts = [kernel.shape[0] * i // count for i in range(count + 1)]
    parts = [
        ops.matmul(rows[:, start:end], kernel[start:end])
        for start, end in zip(cuts, cuts[1:])
    ]
    return add_bias(functools.reduce(operator.add, parts), bias)


def is_bare_row(rows, kernel, bias=None):
    """Whether it is a row of half precision without a bias."""
    return rows.shape[0] == 1 and bias is None and not _is_float32(kernel)


def linear_of_bare_row(rows, kernel, bias=None):
    """`plain.linear` with a bias that adds nothing.

    Without one TensorFlow copies the kernel first; it leaves zeros out.
    """
    return add_bias(matmul(rows, kernel), ops.full((kernel.shape[1],), _ALMOST_ZERO))


def _is_float32(kernel):
    return keras.backend.standardize_dtype(kernel.dtype) == "float32"
