"""Keras's own layers, with less to do.

Weights, arguments, files and results are Keras's. Most is about TensorFlow, which
computes operation by operation where JAX compiles many into one.
"""

import functools
import math
import zlib

import keras
from keras import ops

from keras_transformer.layers.checked_layer import StaysFloat
from keras_transformer.layers.dtypes import at_least_float32, mean
from keras_transformer.layers.products import by_xla, product, sum_of_products
from keras_transformer.layers.quantization import LoadsInt8, check_mode
from keras_transformer.layers.shapes import known_sizes

_NUMBERS_IN_8_BYTES = {"float32": 2, "bfloat16": 4, "float16": 4}


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dense(LoadsInt8, keras.layers.Dense):
    """A Dense layer that multiplies a matrix of rows.

    Product, bias and activation of two dimensions are one operation in TensorFlow; of
    three they are a dozen, most of them about shapes. In training the gradient is
    written out.
    """

    def call(self, inputs, training=None):
        rows = ops.reshape(inputs, (-1, inputs.shape[-1]))
        if training and keras.backend.backend() == "tensorflow":
            weights = [self.kernel] if self.bias is None else [self.kernel, self.bias]
            outputs = _affine(rows, *(ops.cast(w, self.compute_dtype) for w in weights))
        else:
            outputs = product(rows, self.kernel, self.bias)
        if self.activation is not None:
            outputs = self.activation(outputs)
        return ops.reshape(outputs, (*known_sizes(inputs)[:-1], self.units))

    def quantize(self, mode=None, type_check=True, config=None):
        """Turns the kernel into int8, as Keras's `Dense.quantize` does.

        Args:
            mode: `"int8"`.
            type_check: Of no account; Keras passes it.
            config: None or `keras.quantizers.Int8QuantizationConfig()`.

        Raises:
            ValueError: For another mode or quantizers of its own.
        """
        check_mode(mode, config)
        super().quantize(mode, type_check=False, config=config)


def _affine(rows, kernel, *bias):
    """`rows @ kernel + bias`, whose gradient transposes a float32 kernel beforehand.

    A product with the transposed kernel is up to 1.4 times as fast as one that reads
    the kernel's columns as rows; of bfloat16, which is copied anyway, it isn't.
    """

    @ops.custom_gradient
    def multiply(rows, kernel, *bias):
        def gradient(upstream):
            is_float32 = keras.backend.standardize_dtype(kernel.dtype) == "float32"
            transpose = _transposed_beforehand if is_float32 else ops.transpose
            d_kernel = ops.matmul(ops.transpose(rows), upstream)
            d_bias = [_column_sums(upstream) for _ in bias]
            return ops.matmul(upstream, transpose(kernel)), d_kernel, *d_bias

        return functools.reduce(ops.add, bias, ops.matmul(rows, kernel)), gradient

    return multiply(rows, kernel, *bias)


def _transposed_beforehand(matrix):
    """`ops.transpose(matrix)`, which TensorFlow doesn't make a part of a product."""
    size, width = matrix.shape
    transposed = ops.transpose(ops.reshape(matrix, (size, width, 1)), (1, 0, 2))
    return ops.reshape(transposed, (width, size))


def reorder_axes(values, axes, training):
    """`ops.transpose` that keeps the last axis in its place.

    In training TensorFlow moves 8 bytes at a time, with which it is up to twice as
    fast. That has no gradient but the one written out here, which searches needn't pay
    for.
    """
    width, dtype = values.shape[-1], keras.backend.standardize_dtype(values.dtype)
    if (
        not training
        or keras.backend.backend() != "tensorflow"
        or dtype not in _NUMBERS_IN_8_BYTES
        or width % _NUMBERS_IN_8_BYTES[dtype]
    ):
        return ops.transpose(values, axes)

    back = [axes.index(axis) for axis in range(len(axes))]

    @ops.custom_gradient
    def move(values):
        moved = ops.transpose(ops.view(values, "int64"), axes)
        return ops.view(moved, dtype), lambda dy: reorder_axes(dy, back, training)

    return move(values)


def _column_sums(values):
    """Sums over all axes but the last, by a product where TensorFlow computes them."""
    rows = ops.reshape(values, (-1, values.shape[-1]))
    if keras.backend.backend() != "tensorflow":
        return ops.sum(rows, axis=0)
    return ops.matmul(ops.ones((1, ops.shape(rows)[0]), rows.dtype), rows)[0]


def _means(values, weights):
    """Means over the last axis of `values * weights`, by a product like the sums."""
    if keras.backend.backend() != "tensorflow":
        return ops.mean(values * weights, axis=-1, keepdims=True)
    return ops.matmul(values, ops.reshape(weights / weights.shape[0], (-1, 1)))


def part_seed(seed, name):
    """A seed of its own for a part: equal seeds drop the same values in all of them.

    It has 31 bits, as PyTorch's seeds are of int32.
    """
    return None if seed is None else zlib.crc32(f"{seed} {name}".encode()) >> 1


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dropout(StaysFloat, keras.layers.Dropout):
    """Dropout whose mask is cheap.

    Keras draws a float for each value. In TensorFlow this draws 16 bits; on JAX it
    hashes the value's place, which XLA fuses with what uses the mask.
    """

    def call(self, inputs, training=False):
        width, draw, bits = inputs.shape[-1], None, 16
        if keras.backend.backend() == "jax":
            draw, bits = _hashed, 32
        elif keras.backend.backend() == "tensorflow" and width and width % 4 == 0:
            draw = _drawn
        dropped = round(self.rate * 2**bits)
        can_draw = draw and self.noise_shape is None and 0 < dropped < 2**bits
        if not (training and can_draw):
            return super().call(inputs, training=training)
        kept = draw(inputs, self.seed_generator) >= dropped - 2 ** (bits - 1)
        scale = 2**bits / (2**bits - dropped)
        return inputs * (ops.cast(kept, inputs.dtype) * scale)


def _drawn(values, seed_generator):
    """A random int16 for each value, whose last axis is a multiple of 4."""
    shape = (*ops.shape(values)[:-1], values.shape[-1] // 4)
    return ops.view(
        keras.random.randint(
            shape, -(2**63), 2**63 - 1, dtype="int64", seed=seed_generator
        ),
        "int16",
    )


def _hashed(values, seed_generator):
    """An int32 for each value: its place and the seed's two uint32, mixed.

    A counter-based generator ([Salmon et al.](https://doi.org/10.1145/2063384.2063405))
    with two rounds of MurmurHash3's finalizer for a cipher.
    """
    seed, step = ops.unstack(seed_generator.next())
    places = ops.arange(math.prod(values.shape), dtype="uint32")
    numbers = _mixed(_mixed(places ^ seed) ^ step)
    return ops.reshape(ops.view(numbers, "int32"), values.shape)


def _mixed(numbers):
    """MurmurHash3's finalizer: each bit of uint32 flips half of the others."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        numbers = numbers ^ (numbers >> shift)
        numbers = numbers * ops.convert_to_tensor(factor, "uint32")
    return numbers ^ (numbers >> 16)


@keras.saving.register_keras_serializable(package="keras_transformer")
class LayerNormalization(StaysFloat, keras.layers.LayerNormalization):
    """Normalization over the last axis whose gradient is written out.

    With `n = (x - mean) / deviation` and `h = gamma * dy` it is
    `dx = (h - mean(h) - n mean(h n)) / deviation`: half of the passes over the data
    that the derivatives of all steps make. That is for TensorFlow: JAX, which compiles
    the steps into one, differentiates them forwards too. Without training, TensorFlow
    normalizes in fewer operations than Keras's, and XLA a single row in fewer still.
    """

    def call(self, inputs, training=None):
        normalize = None
        if by_xla() and inputs.shape[:-1] == (1, 1):
            normalize = _normalize_row
        elif keras.backend.backend() == "tensorflow":
            normalize = _normalize_with_gradient if training else _normalize
        elif self.compute_dtype == "float64":
            # Keras's own computes in float32 on JAX.
            normalize = _normalize
        is_last_axis = self.axis in ([-1], [len(inputs.shape) - 1])
        if not (normalize and self.center and self.scale and is_last_axis):
            return super().call(inputs)
        dtype = at_least_float32(self.compute_dtype)
        values = (ops.cast(x, dtype) for x in (inputs, self.gamma, self.beta))
        outputs = normalize(*values, self.epsilon)
        return ops.cast(outputs, self.compute_dtype)


def _normalize_row(x, gamma, beta, epsilon):
    """In the fewest operations, see `sum_of_products`."""
    centred = x - sum_of_products(x)[..., None] / x.shape[-1]
    variance = sum_of_products(centred, centred)[..., None] / x.shape[-1]
    return centred * ops.rsqrt(variance + epsilon) * gamma + beta


def _normalize(x, gamma, beta, epsilon):
    normal, _ = _standardized(x, epsilon)
    return normal * gamma + beta


def _standardized(x, epsilon):
    """`(x - mean) / deviation` and `1 / deviation`, over the last axis."""
    centred = x - mean(x)
    variance = mean(ops.square(centred))
    scale = ops.rsqrt(variance + epsilon)
    return centred * scale, scale


def _normalize_with_gradient(x, gamma, beta, epsilon):
    @ops.custom_gradient
    def normalize(x, gamma, beta):
        normal, scale = _standardized(x, epsilon)

        def gradient(dy):
            along_normal = dy * normal
            d_gamma, d_beta = _column_sums(along_normal), _column_sums(dy)
            mean, along = _means(dy, gamma), _means(along_normal, gamma)
            return (dy * gamma - (mean + normal * along)) * scale, d_gamma, d_beta

        return normal * gamma + beta, gradient

    return normalize(x, gamma, beta)
