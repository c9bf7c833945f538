"""Sums and matmuls of one row in the way that XLA is fast with.

XLA vectorizes a sum of slices and shares it out to threads. It makes two or three
operations of a sum of more than 32 numbers, and one of the sum of slices that have no
more. Of short sums, starting an operation is what takes long.
"""

import functools
import itertools
import math
import operator

import keras
from keras import ops

from keras_transformer.kernels.dtypes import at_least_float32
from keras_transformer.kernels.packed import PackedWeights
from keras_transformer.kernels.plain import add_bias

# Numbers of float32 in a line of the cache.
_LANES = 16
# More terms of a sum than this take XLA long to compile.
_TERMS = 32
# XLA gives an operation that reads fewer bytes, and computes little, to one thread.
_SHARED_BYTES = 2**19


class TransposedWeights(PackedWeights):
    """A kernel `(K, N)` as `(N, K)`, for matmuls compiled by XLA.

    XLA's own matmul of one row is computed by one thread, and of floats alone. A sum
    of slices, each multiplied with one of the row, is an operation that it vectorizes
    and shares out to threads; a slice is as wide as a line of the cache. Small matmuls
    are shared out too, as a thread that has nothing to do falls asleep, and wakes up
    too late for the next. Of several rows `kernel^T rows^T` is faster than the matmul,
    since XLA copies the rows and columns that it reads, and these lie side by side.

    Args:
        matrix: Float or int8 tensor `(N, K)`. bfloat16 and int8 are converted as they
            are read, or once for matmuls of several rows.
        scale: With int8: N numbers to multiply its rows with.
    """

    def __init__(self, matrix, scale=None):
        self.matrix = ops.convert_to_tensor(matrix)
        self.scale = None if scale is None else ops.reshape(scale, (-1,))
        self._floats = ops.cast(self.matrix, "float32")
        self._stored = self._floats
        dtype = keras.backend.standardize_dtype(self.matrix.dtype)
        if dtype == "int8":
            self._stored = self.matrix
        elif dtype == "bfloat16":
            # XLA takes three times as long to convert bfloat16 as to read float32.
            self._stored = ops.view(self.matrix, "int16")

    def linear(self, rows, bias=None):
        floats = ops.cast(rows, "float32")
        sums = self._of_one if rows.shape[0] == 1 else self._of_several
        outputs = sums(floats)
        if self.scale is not None:
            outputs = outputs * ops.cast(self.scale, "float32")
        return ops.cast(add_bias(outputs, bias), rows.dtype)

    def _of_several(self, rows):
        columns = ops.matmul(self._floats, ops.transpose(rows))
        # A sum, so that XLA doesn't turn the matmul round again.
        return ops.transpose(columns + _hidden_zero(rows))

    def _of_one(self, row):
        factors = _slices(row)
        # Zeros, but XLA doesn't know.
        zeros = factors[0] - factors[0]
        lines = (self._numbers(line, zeros) for line in _slices(self._stored))
        return _sum_of_slices(map(operator.mul, factors, lines))[None]

    def _numbers(self, stored, zeros):
        """A slice of the kernel in float32; the zeros keep it in the loop.

        Otherwise XLA would convert the kernel before the loop. It shares an operation
        out to threads that computes more than it reads bytes, as conversions do.
        """
        dtype = keras.backend.standardize_dtype(stored.dtype)
        if dtype == "float32":
            is_small = 4 * math.prod(self.matrix.shape) < _SHARED_BYTES
            return stored + zeros + zeros + zeros if is_small else stored
        stored = ops.bitwise_xor(stored, ops.cast(zeros, dtype))
        if dtype == "int8":
            return ops.cast(stored, "float32")
        # bfloat16 is the first half of float32.
        return ops.view(ops.left_shift(ops.cast(stored, "int32"), 16), "float32")


def _slices(values):
    """`(..., N)` in slices `(..., M, lanes)`, as many as `_TERMS` at most."""
    size = values.shape[-1]
    lanes = math.gcd(size, _LANES)
    terms = max(n for n in range(1, _TERMS + 1) if size // lanes % n == 0)
    cut = ops.reshape(values, (*values.shape[:-1], -1, terms, lanes))
    return [cut[..., term, :] for term in range(terms)]


def _sum_of_slices(slices):
    """The sum of slices `(..., M, lanes)` and their last two axes."""
    sums = functools.reduce(operator.add, slices)
    return ops.sum(ops.reshape(sums, (*sums.shape[:-2], -1)), axis=-1)


def _hidden_zero(values):
    """Zero, but XLA doesn't know."""
    value = values[0, 0]
    return ops.cast(ops.logical_and(ops.isnan(value), value == value), values.dtype)


def scores_of_one_query(queries, keys):
    """`plain.scores` of one query `(1, H, 1, K)`, in one operation."""
    slices = zip(*(_slices(ops.cast(heads, "float32")) for heads in (queries, keys)))
    sums = _sum_of_slices(itertools.starmap(operator.mul, slices))[:, :, None]
    return ops.cast(sums, at_least_float32(queries.dtype))


def softmax_of_one_query(scores, dtype):
    """`plain.softmax` by its parts."""
    scores = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    return ops.cast(scores / ops.sum(scores, axis=-1, keepdims=True), dtype)


def weighted_sum_of_one_query(weights, values):
    """`plain.weighted_sum` by a sum."""
    return ops.sum(weights[:, :, 0, :, None] * values, axis=2, keepdims=True)
