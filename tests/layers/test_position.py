import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from keras import ops

from keras_transformer.layers import (
    LearnedPositionalEncoding,
    PositionalEncoding,
    position_shift_matrix,
    sinusoidal_encoding,
)


def exact(positions, width, layout="interleaved"):
    """Section 3.5 in float64, word by word."""
    i = np.arange(width) // 2
    angles = np.asarray(positions)[:, None] / 10_000.0 ** (2 * i / width)
    encoding = np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles))
    if layout == "concatenated":
        encoding = np.concatenate([encoding[:, ::2], encoding[:, 1::2]], axis=1)
    return encoding


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 40),
    st.integers(1, 65),
    st.integers(0, 9_000),
    st.sampled_from(["interleaved", "concatenated"]),
)
def test_is_the_paper_s_formula_at_any_length_width_and_start(
    length, width, start, layout
):
    layer = PositionalEncoding(layout=layout)
    found = layer(np.zeros((1, length, width), "float32"), start_index=start)
    expected = exact(np.arange(start, start + length), width, layout)
    np.testing.assert_allclose(found[0], expected, atol=2e-6)


def test_is_added_to_the_input():
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    layer = PositionalEncoding()
    np.testing.assert_allclose(layer(x), x + layer(np.zeros_like(x)), atol=1e-6)


@pytest.mark.parametrize("dtype, bits", [("bfloat16", 8), ("float16", 11)])
def test_half_precision_keeps_ten_thousand_positions_apart(dtype, bits):
    layer = PositionalEncoding(dtype=f"mixed_{dtype}")
    found = layer(np.zeros((1, 10_001, 512), "float32"))[0]
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    expected = exact(np.arange(10_001), 512)
    # Half a unit in the last place of the result, and float32's own error.
    assert np.all(np.abs(found - expected) <= np.abs(expected) * 2.0**-bits + 2e-6)
    assert len(np.unique(found, axis=0)) == 10_001


def test_works_with_a_length_unknown_until_run_time():
    inputs = keras.Input((None, 6))
    model = keras.Model(inputs, PositionalEncoding()(inputs))
    for length in (3, 7):
        found = model.predict(np.zeros((1, length, 6)), verbose=0)
        np.testing.assert_allclose(found[0], exact(np.arange(length), 6), atol=1e-6)


def test_wavelengths_are_a_geometric_progression_from_2_pi_to_10000_times_2_pi():
    hidden_dim = 512
    wavelengths = 2 * np.pi * 10_000.0 ** (np.arange(0, hidden_dim, 2) / hidden_dim)
    np.testing.assert_allclose(wavelengths[1:] / wavelengths[:-1], 10_000 ** (2 / 512))
    assert wavelengths[0] == pytest.approx(2 * np.pi)
    # The progression's next term would be the paper's 10000 * 2 pi.
    assert wavelengths[-1] * 10_000 ** (2 / 512) == pytest.approx(10_000 * 2 * np.pi)
    # Each pair of dimensions comes back after its wavelength, and not after half.
    for pair in (0, 100, 255):
        places = np.array([3.0, 3.0 + wavelengths[pair], 3.0 + wavelengths[pair] / 2])
        encoding = ops.convert_to_numpy(sinusoidal_encoding(places, hidden_dim))
        start, once, half = encoding[:, 2 * pair : 2 * pair + 2]
        np.testing.assert_allclose(once, start, atol=2e-3)
        np.testing.assert_allclose(half, -start, atol=2e-3)


def test_every_one_of_10000_positions_is_unique():
    encoding = ops.convert_to_numpy(sinusoidal_encoding(np.arange(10_000), 512))
    nearest = np.inf
    for start in range(0, 10_000, 500):
        rows = encoding[start : start + 500].astype("float64")
        squares = 512 - 2 * rows @ encoding.T.astype("float64")
        squares[np.arange(len(rows)), start + np.arange(len(rows))] = np.inf
        nearest = min(nearest, squares.min())
    # |PE|^2 is 256, so squares are 512 - 2 PE PE'. docs/position_encodings.md has it.
    assert np.sqrt(nearest) == pytest.approx(3.714, abs=1e-3)


@pytest.mark.parametrize("layout", ["interleaved", "concatenated"])
@pytest.mark.parametrize("offset", [-40, 1, 17, 5000])
def test_one_linear_map_moves_every_position_by_an_offset(layout, offset):
    positions = np.array([40, 41, 100, 777, 5000])
    encoding, moved = (
        ops.convert_to_numpy(sinusoidal_encoding(p, 64, layout=layout))
        for p in (positions, positions + offset)
    )
    matrix = position_shift_matrix(offset, 64, layout=layout)
    np.testing.assert_allclose(encoding @ matrix.T, moved, atol=1e-5)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(64), atol=1e-6)


def test_no_linear_map_for_a_sine_without_its_cosine():
    with pytest.raises(ValueError, match="hidden_dim=5"):
        position_shift_matrix(1, 5)


def test_dot_products_depend_on_the_distance_only():
    encoding = ops.convert_to_numpy(sinusoidal_encoding(np.arange(3000), 64))
    for distance in (0, 1, 10, 500):
        products = (encoding[:2500] * encoding[distance : 2500 + distance]).sum(-1)
        np.testing.assert_allclose(products, products[0], atol=1e-4)


def test_learned_positions_are_a_table_of_length_times_width():
    layer = LearnedPositionalEncoding(max_length=20)
    x = np.zeros((2, 5, 8), "float32")
    table = layer(np.zeros((1, 20, 8), "float32"))[0]
    assert layer.count_params() == 20 * 8
    assert PositionalEncoding()(x).shape == x.shape
    np.testing.assert_array_equal(layer(x, start_index=3)[1], table[3:8])
    starts = layer(x, start_index=ops.convert_to_tensor([0, 15]))
    np.testing.assert_array_equal(starts, ops.stack([table[:5], table[15:]]))


def test_learned_positions_beyond_the_table_are_an_error():
    layer = LearnedPositionalEncoding(max_length=20)
    with pytest.raises(ValueError, match="max_length=20.*position 20"):
        layer(np.zeros((1, 21, 8), "float32"))
    with pytest.raises(ValueError, match="position 24"):
        layer(np.zeros((1, 5, 8), "float32"), start_index=20)
    graph = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 8))])
    assert graph(np.zeros((1, 20, 8), "float32")).shape == (1, 20, 8)
    with pytest.raises(Exception, match="positions_must_be_below_max_length"):
        graph(np.zeros((1, 21, 8), "float32"))


def test_learned_table_is_stretched_by_interpolation():
    short, long = LearnedPositionalEncoding(4), LearnedPositionalEncoding(7)
    for layer in (short, long):
        layer.build((None, None, 2))
    short.embeddings.assign([[0.0, 3.0], [2.0, 2.0], [4.0, 1.0], [6.0, 0.0]])
    long.interpolate_from(short)
    expected = np.stack([np.arange(7.0), np.linspace(3, 0, 7)], axis=1)
    np.testing.assert_allclose(long.embeddings, expected, atol=1e-6)
    other = LearnedPositionalEncoding(4)
    other.build((None, None, 3))
    with pytest.raises(ValueError, match=r"\(4, 3\)"):
        long.interpolate_from(other)
