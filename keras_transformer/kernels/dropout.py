"""Dropout whose mask is cheap: Keras draws a float for each value."""

import math

import keras
from keras import ops

from keras_transformer.kernels.hashing import mixed


def _threshold(rate, bits):
    """Of the numbers of so many bits, how many stand for a value that is dropped."""
    return round(rate * 2**bits)


def can_draw_bits(values, rate, seed_generator, noise_shape=None):
    """Whether `drop_by_16_bits` can drop that way."""
    width = values.shape[-1]
    fits = width and width % 4 == 0 and noise_shape is None
    return bool(fits) and 0 < _threshold(rate, 16) < 2**16


def drop_by_16_bits(values, rate, seed_generator, noise_shape=None):
    """On TensorFlow: 16 random bits decide about a value, 64 are drawn at a time."""
    shape = (*ops.shape(values)[:-1], values.shape[-1] // 4)
    drawn = keras.random.randint(
        shape, -(2**63), 2**63 - 1, dtype="int64", seed=seed_generator
    )
    return _drop(values, rate, ops.view(drawn, "int16"), 16)


def can_hash(values, rate, seed_generator, noise_shape=None):
    """Whether `drop_by_hash` can drop that way."""
    return noise_shape is None and 0 < _threshold(rate, 32) < 2**32


def drop_by_hash(values, rate, seed_generator, noise_shape=None):
    """On JAX: a hash of each value's index, which XLA fuses with what uses the mask.

    A counter-based generator ([Salmon et al.](https://doi.org/10.1145/2063384.2063405))
    with two rounds of MurmurHash3's finalizer for a cipher.
    """
    seed, step = ops.unstack(ops.view(seed_generator.next(), "int32"))
    indices = ops.arange(math.prod(values.shape), dtype="int32")
    numbers = mixed(mixed(indices ^ seed) ^ step)
    return _drop(values, rate, ops.reshape(numbers, values.shape), 32)


def _drop(values, rate, numbers, bits):
    dropped = _threshold(rate, bits)
    kept = numbers >= dropped - 2 ** (bits - 1)
    scale = 2**bits / (2**bits - dropped)
    return values * (ops.cast(kept, values.dtype) * scale)
