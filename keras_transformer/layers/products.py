"""Products with kernels, in the ways that searches are fast with."""

import contextlib
import contextvars
import functools
import math
import operator

import keras
from keras import ops

from keras_transformer.layers.dtypes import matmul

# Kernels with fewer weights aren't worth the operations that cutting them takes.
_LARGE_KERNEL = 2**19
_ALMOST_ZERO = 1e-30
_num_parts = contextvars.ContextVar("num_parts", default=1)

# Numbers of float32 in a line of the cache.
_LANES = 16
# More terms of a sum than this take XLA long to compile.
_TERMS = 32
# XLA gives an operation that reads fewer bytes, and computes little, to one thread.
_SHARED_BYTES = 2**19
_held = contextvars.ContextVar("held", default=({}, False))


@contextlib.contextmanager
def _scope(variable, value):
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def products_in_parts(count):
    """A scope in which a product with a large kernel is a sum of `count` products.

    Nothing connects these, so that TensorFlow computes them at the same time, an
    operation in one thread each. That is for a few rows of float32, whose products take
    as long as reading the kernel does. A row of bfloat16 and a bias are multiplied
    faster as a whole: parts, which have no bias, have their kernels copied first.
    """
    return _scope(_num_parts, count)


class HeldKernel:
    """A kernel `(K, N)` held in another form than a variable's.

    Subclasses have its `matrix` `(N, K)` and `scale`, N numbers to multiply the
    matrix's rows with, or None.
    """

    @property
    def shape(self):
        return tuple(self.matrix.shape[::-1])

    def columns(self, places):
        """The kernel's columns at some places, of any shape: `(..., K)`, in float."""
        found = ops.take(self.matrix, places, axis=0)
        if self.scale is None:
            return found
        scale = ops.take(self.scale, places, axis=0)[..., None]
        return ops.cast(found, scale.dtype) * scale

    def product(self, rows, bias=None):
        """`rows @ kernel + bias`, `(R, K)` -> `(R, N)`, in the rows' dtype."""
        raise NotImplementedError


class TransposedKernel(HeldKernel):
    """A kernel `(K, N)` held as `(N, K)`, for products compiled by XLA.

    XLA's own product of one row is computed by one thread, and of floats alone. A sum
    of slices, each multiplied with one of the row, is an operation that it vectorizes
    and shares out to threads; a slice is as wide as a line of the cache. Small products
    are shared out too, as a thread that has nothing to do falls asleep, and wakes up
    too late for the next. Of several rows `kernel^T rows^T` is faster than the product,
    since XLA copies the rows and columns that it reads, and these lie side by side.

    Args:
        matrix: Float or int8 tensor `(N, K)`. bfloat16 and int8 are converted as they
            are read, or once for products of several rows.
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

    def product(self, rows, bias=None):
        floats = ops.cast(rows, "float32")
        sums = self._of_one if rows.shape[0] == 1 else self._of_several
        products = sums(floats)
        if self.scale is not None:
            products = products * ops.cast(self.scale, "float32")
        return ops.cast(plus(products, bias), rows.dtype)

    def _of_several(self, rows):
        columns = ops.matmul(self._floats, ops.transpose(rows))
        # A sum, so that XLA doesn't turn the product round again.
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


def kernels_held(kernels, by_xla=False):
    """A scope in which products use these kernels in place of variables.

    Args:
        kernels: Pairs `(variable, HeldKernel)`.
        by_xla: Whether XLA compiles what is in the scope.
    """
    by_variable = {id(variable): kernel for variable, kernel in kernels}
    return _scope(_held, (by_variable, by_xla))


def held_kernel(variable):
    """What the scope of `kernels_held` holds for a variable, or None."""
    return _held.get()[0].get(id(variable))


def by_xla():
    """Whether this is in a scope of `kernels_held` that XLA compiles."""
    return _held.get()[1]


def sum_of_products(*factors):
    """`ops.sum(a * b, axis=-1)`, in one operation where `by_xla`.

    XLA makes two or three operations of a sum of more than 32 numbers, and one of the
    sum of slices that have no more. Of short sums, starting an operation is what takes
    long.

    Args:
        *factors: Float tensors `(..., N)`, of fixed shapes.
    """
    if not by_xla():
        return ops.sum(functools.reduce(operator.mul, factors), axis=-1)
    slices = zip(*(_slices(ops.cast(factor, "float32")) for factor in factors))
    sums = _sum_of_slices(functools.reduce(operator.mul, each) for each in slices)
    return ops.cast(sums, factors[0].dtype)


def plus(products, bias):
    """Products `(R, N)` and a bias of N numbers, which may be None."""
    return products if bias is None else products + ops.cast(bias, products.dtype)


def product(rows, kernel, bias=None):
    """`rows @ kernel + bias`, in the way that the scopes above ask for."""
    kernel = held_kernel(kernel) or kernel
    if isinstance(kernel, HeldKernel):
        return kernel.product(rows, bias)
    size, width = kernel.shape
    is_float32 = keras.backend.standardize_dtype(kernel.dtype) == "float32"
    is_large = size * width >= _LARGE_KERNEL
    if is_float32 and is_large and size >= _num_parts.get() > 1:
        return plus(_in_parts(rows, kernel, _num_parts.get()), bias)
    is_bare_row = rows.shape[0] == 1 and bias is None and not is_float32
    if is_bare_row and keras.backend.backend() == "tensorflow":
        # Without a bias TensorFlow copies the kernel first; it leaves zeros out.
        bias = ops.full((width,), _ALMOST_ZERO)
    return plus(matmul(rows, kernel), bias)


def _in_parts(rows, kernel, count):
    cuts = [kernel.shape[0] * i // count for i in range(count + 1)]
    parts = [
        ops.matmul(rows[:, start:end], kernel[start:end])
        for start, end in zip(cuts, cuts[1:])
    ]
    return functools.reduce(operator.add, parts)
