"""The k best of a vocabulary, against Keras's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_transformer.decoding.search import IMPOSSIBLE, top_k


@pytest.mark.parametrize("size, k", [(9, 9), (2048, 8), (8001, 8), (8001, 1)])
def test_values_and_indices_are_those_of_keras(size, k):
    values = np.random.default_rng(0).normal(size=(3, 4, size)).astype("float32")
    best, indices = top_k(ops.convert_to_tensor(values), k)
    expected, expected_indices = ops.top_k(values, k)
    np.testing.assert_array_equal(best, expected)
    np.testing.assert_array_equal(indices, expected_indices)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(2, 6), st.integers(1536, 1700), st.integers(1, 40), st.integers(0, 9)
)
def test_equal_values_come_lowest_index_first(k, size, levels, seed):
    values = np.random.default_rng(seed).integers(0, levels, (2, size))
    values = values.astype("float32")
    best, indices = top_k(ops.convert_to_tensor(values), k)
    order = np.argsort(-values, axis=-1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(best, np.take_along_axis(values, order, axis=-1))


def test_what_is_impossible_comes_before_what_fills_the_last_piece_up():
    values = np.full((1, 2049), IMPOSSIBLE, "float32")
    values[0, 2048] = 1.5 * IMPOSSIBLE
    values[0, 3] = 1.0
    best, indices = top_k(ops.convert_to_tensor(values), 8)
    assert np.asarray(indices)[0].tolist() == [3, 0, 1, 2, 4, 5, 6, 7]
    assert np.asarray(best)[0].tolist() == [1.0] + 7 * [IMPOSSIBLE]
