import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from keras import ops

from keras_transformer.layers import PositionalEncoding


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
