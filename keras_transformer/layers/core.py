"""Keras's own layers, with less to do for TensorFlow.

Weights, arguments, files and results are Keras's; other backends compile operations
into one and use Keras's as they are.
"""

import contextlib
import contextvars
import functools
import math
import operator

import keras
from keras import ops

# Kernels with fewer weights aren't worth the operations that cutting them takes.
_LARGE_KERNEL = 2**19
_num_parts = contextvars.ContextVar("num_parts", default=1)

# Bytes in a line of the cache.
_LINE = 64
# More terms of a sum than this take XLA long to compile.
_TERMS = 32
_transposed = contextvars.ContextVar("transposed", default=None)


@contextlib.contextmanager
def products_in_parts(count):
    """A scope in which a product with a large kernel is a sum of `count` products.

    Nothing connects these, so that TensorFlow computes them at the same time, an
    operation in one thread each. That is for a few rows, whose products take as long as
    reading the kernel does.
    """
    token = _num_parts.set(count)
    try:
        yield
    finally:
        _num_parts.reset(token)


class TransposedKernel:
    """A kernel `(K, N)` held as `(N, K)`, for products of one row compiled by XLA.

    XLA's own product of one row is computed by one thread, and of floats alone. Sums of
    slices times slices are operations that it vectorizes and shares out to threads. A
    slice is as wide as a line of the cache.

    Args:
        matrix: Float or int8 tensor `(N, K)`. int8 is converted as it is read.
        scale: With int8: N numbers to multiply its rows with.
    """

    def __init__(self, matrix, scale=None):
        self.matrix = ops.convert_to_tensor(matrix)
        self.scale = None if scale is None else ops.reshape(scale, (-1,))
        self._is_integer = keras.backend.is_int_dtype(matrix.dtype)
        # XLA converts bfloat16 in three times the time that reading float32 takes.
        self._lines = (
            self.matrix if self._is_integer else ops.cast(self.matrix, "float32")
        )

    @property
    def shape(self):
        return tuple(reversed(self.matrix.shape))

    def rows(self, places):
        """The kernel's columns at some places, in float."""
        found = ops.take(self.matrix, places, axis=0)
        if self.scale is None:
            return found
        scale = ops.take(self.scale, places, axis=0)[..., None]
        return ops.cast(found, scale.dtype) * scale

    def product(self, row):
        """`row @ kernel`, `(1, K)` -> `(1, N)`."""
        size, width = self.shape
        lanes = math.gcd(size, _LINE if self._is_integer else _LINE // 4)
        terms = max(n for n in range(1, _TERMS + 1) if size // lanes % n == 0)
        lines = self._lines
        if self._is_integer:
            # Zero, but XLA doesn't know: it would convert all before the loop.
            zero = ops.cast(ops.isnan(row[0, 0]), lines.dtype)
            lines = ops.bitwise_xor(lines, zero)
        lines = ops.reshape(lines, (width, -1, terms, lanes))
        factors = ops.reshape(ops.cast(row, "float32"), (1, -1, terms, lanes))
        sums = functools.reduce(
            operator.add,
            (
                factors[:, :, term] * ops.cast(lines[:, :, term], "float32")
                for term in range(terms)
            ),
        )
        sums = ops.sum(ops.reshape(sums, (width, -1)), axis=-1)
        if self.scale is not None:
            sums = sums * ops.cast(self.scale, "float32")
        return ops.cast(sums[None], row.dtype)


@contextlib.contextmanager
def kernels_transposed(kernels):
    """A scope in which products of one row use these kernels in place of variables.

    Args:
        kernels: Pairs `(variable, TransposedKernel)`.
    """
    token = _transposed.set({id(variable): kernel for variable, kernel in kernels})
    try:
        yield
    finally:
        _transposed.reset(token)


def transposed_kernel(variable):
    """What the scope of `kernels_transposed` holds for a variable, or None."""
    return (_transposed.get() or {}).get(id(variable))


def product(rows, kernel):
    """`rows @ kernel`, in the way that the scopes above ask for."""
    if isinstance(kernel, TransposedKernel):
        return kernel.product(rows)
    if rows.shape[0] == 1 and (transposed := transposed_kernel(kernel)):
        return transposed.product(rows)
    count, (size, width) = _num_parts.get(), kernel.shape
    if count == 1 or size * width < _LARGE_KERNEL or size < count:
        return ops.matmul(rows, kernel)
    cuts = [size * i // count for i in range(count + 1)]
    parts = [
        ops.matmul(rows[:, start:end], kernel[start:end])
        for start, end in zip(cuts, cuts[1:])
    ]
    return functools.reduce(operator.add, parts)


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dense(keras.layers.Dense):
    """A Dense layer that multiplies a matrix of rows.

    Product, bias and activation of two dimensions are one operation in TensorFlow; of
    three they are a dozen, most of them about shapes.
    """

    def call(self, inputs, training=None):
        rows = ops.reshape(inputs, (-1, inputs.shape[-1]))
        outputs = product(rows, self.kernel)
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        if self.activation is not None:
            outputs = self.activation(outputs)
        shape = [-1 if size is None else size for size in inputs.shape[:-1]]
        if shape.count(-1) > 1:
            shape = ops.shape(inputs)[:-1]
        return ops.reshape(outputs, (*shape, self.units))


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dropout(keras.layers.Dropout):
    """Dropout whose mask takes 16 random bits a value, where Keras draws a float."""

    def call(self, inputs, training=False):
        width = inputs.shape[-1]
        dropped = round(self.rate * 2**16)
        if (
            not training
            or not 0 < dropped < 2**16
            or self.noise_shape is not None
            or keras.backend.backend() != "tensorflow"
            or width is None
            or width % 4
        ):
            return super().call(inputs, training=training)
        shape = (*ops.shape(inputs)[:-1], width // 4)
        numbers = keras.random.randint(
            shape, -(2**63), 2**63 - 1, dtype="int64", seed=self.seed_generator
        )
        kept = ops.view(numbers, "int16") >= dropped - 2**15
        scale = 2**16 / (2**16 - dropped)
        return inputs * (ops.cast(kept, inputs.dtype) * scale)


@keras.saving.register_keras_serializable(package="keras_transformer")
class LayerNormalization(keras.layers.LayerNormalization):
    """Normalization over the last axis whose gradient is written out.

    With `n = (x - mean) / deviation` and `h = gamma * dy` it is
    `dx = (h - mean(h) - n mean(h n)) / deviation`: half of the passes over the data
    that the derivatives of all steps make.
    """

    def call(self, inputs, training=None):
        if (
            not training
            or keras.backend.backend() != "tensorflow"
            or not (self.center and self.scale)
        ):
            return super().call(inputs)
        outputs = _layer_normalization(
            ops.cast(inputs, "float32"),
            ops.cast(self.gamma, "float32"),
            ops.cast(self.beta, "float32"),
            self.epsilon,
        )
        return ops.cast(outputs, self.compute_dtype)


def _layer_normalization(x, gamma, beta, epsilon):
    @ops.custom_gradient
    def normalize(x, gamma, beta):
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + epsilon)
        normal = centred * scale

        def gradient(dy):
            axes = tuple(range(len(dy.shape) - 1))
            d_gamma = ops.sum(dy * normal, axis=axes)
            d_beta = ops.sum(dy, axis=axes)
            h = dy * gamma
            mean = ops.mean(h, axis=-1, keepdims=True)
            along = ops.mean(h * normal, axis=-1, keepdims=True)
            return (h - (mean + normal * along)) * scale, d_gamma, d_beta

        return normal * gamma + beta, gradient

    return normalize(x, gamma, beta)
