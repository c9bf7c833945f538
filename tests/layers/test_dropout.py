"""Dropout, on the backend that Keras has: test_backends.py runs this on JAX too."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers.core import Dropout


def dropped_by(layer, shape):
    y = layer(ops.ones(shape), training=True)
    return ops.convert_to_numpy(y).reshape(-1, shape[-1]) == 0


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_keeps_the_mean_and_drops_the_rate(rate):
    y = Dropout(rate, seed=1)(ops.ones((64, 32, 256)), training=True)
    y = ops.convert_to_numpy(y)
    # Five standard deviations of 524,288 draws.
    sigma = np.sqrt(rate * (1 - rate) / y.size)
    assert abs((y == 0).mean() - rate) < 5 * sigma
    kept = y[y != 0]
    assert kept.min() == kept.max()
    np.testing.assert_allclose(kept[0], 1 / (1 - rate), rtol=1e-4)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_places_are_alike_and_independent(rate):
    dropped = dropped_by(Dropout(rate, seed=1), (64, 32, 256))
    for axis in (0, 1):
        bound = 5 * np.sqrt(rate * (1 - rate) / dropped.shape[axis])
        np.testing.assert_allclose(dropped.mean(axis=axis), rate, atol=bound)
    flat = dropped.ravel()
    bound = 8 * np.sqrt(rate * (1 - rate) / flat.size)
    for distance in (1, 2, 3, 4, 8, 16, 255, 256, 257, 8192, 65536):
        both = (flat[distance:] & flat[:-distance]).mean()
        assert abs(both - rate**2) < bound, distance


def test_draws_and_seeds_are_independent():
    rate, shape = 0.3, (64, 256)
    draws = []
    for seed in (0, 1000, 2000, 2**30, 2**30 + 1000):
        layer = Dropout(rate, seed=seed)
        draws += [dropped_by(layer, shape) for _ in range(20)]
    draws = np.array(draws, "float64").reshape(len(draws), -1)
    together = np.corrcoef(draws)[np.triu_indices(len(draws), k=1)]
    # 4,950 correlations of 16,384 places, whose standard deviation is 1 / 128.
    assert np.abs(together).max() < 5.5 / 128
    assert together.std() < 1.1 / 128


def test_draws_anew_and_repeats_with_its_seed():
    x = ops.ones((8, 16))
    first, second = Dropout(0.5, seed=1), Dropout(0.5, seed=1)
    one, two = (ops.convert_to_numpy(first(x, training=True)) for _ in range(2))
    assert np.any(one != two)
    repeated = ops.convert_to_numpy(second(x, training=True))
    np.testing.assert_array_equal(one, repeated)
    unchanged = ops.convert_to_numpy(first(x, training=False))
    np.testing.assert_array_equal(unchanged, ops.convert_to_numpy(x))


def test_of_widths_that_four_does_not_divide():
    y = Dropout(0.5, seed=1)(ops.ones((200, 7)), training=True)
    assert set(np.unique(ops.convert_to_numpy(y))) == {0.0, 2.0}


@pytest.mark.parametrize("rate", [0.0, 1e-7, 1 - 1e-7, 1.0])
def test_rates_too_fine_for_16_bits(rate):
    y = ops.convert_to_numpy(Dropout(rate, seed=1)(ops.ones((4, 8)), training=True))
    # One in ten million is dropped, or kept: here, with this seed, none.
    expected = 0.0 if rate > 0.5 else 1 / (1 - rate)
    np.testing.assert_allclose(y, np.full((4, 8), expected), rtol=1e-6)


def test_noise_of_a_shape_is_kerass():
    y = Dropout(0.5, noise_shape=(4, 1), seed=1)(ops.ones((4, 8)), training=True)
    y = ops.convert_to_numpy(y)
    assert np.all(y == y[:, :1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_keeps_the_dtype(dtype):
    y = Dropout(0.5, seed=1, dtype=dtype)(ops.ones((8, 16), dtype), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    values = np.unique(ops.convert_to_numpy(ops.cast(y, "float32")))
    np.testing.assert_array_equal(values, [0, 2])
