"""What is computed in pieces of a vocabulary, against the plain way."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_transformer.kernels import (
    best_tokens,
    log_normalizer,
    with_packed_weights,
)
from keras_transformer.kernels.impossible import IMPOSSIBLE


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def plain_best(logits, k, scores=0.0, banned_ids=()):
    """By a stable sort of all sums."""
    sums = logits + np.float32(scores)
    sums[..., list(banned_ids)] += np.float32(IMPOSSIBLE)
    flat = sums.reshape(len(logits), -1)
    order = np.argsort(-flat, axis=-1, kind="stable")[:, :k]
    values = np.take_along_axis(flat, order, axis=-1)
    size = logits.shape[-1]
    return values, order // size, order % size


def all_ways(function, logits):
    """What a function gives for a fixed number of rows, by XLA, and for one unknown."""
    yield function(ops.convert_to_tensor(logits))
    with with_packed_weights([], compiled_by_xla=True):
        yield function(ops.convert_to_tensor(logits))
    spec = tf.TensorSpec([None, *logits.shape[1:]])
    yield tf.function(function, input_signature=[spec])(logits)


def assert_best(logits, k, **options):
    expected = plain_best(logits, k, **options)
    for found in all_ways(lambda rows: best_tokens(rows, k, **options), logits):
        for part, values in zip(found, expected):
            np.testing.assert_allclose(part, values, rtol=1e-6)


@pytest.mark.parametrize("banned_ids", [(), (0, 2), (5, 63, 64, 700)])
@pytest.mark.parametrize("width, size, k", [(1, 800, 1), (4, 1024, 8), (4, 901, 8)])
def test_the_best_tokens_are_those_of_a_sort(width, size, k, banned_ids):
    logits, scores = random(3, width, size), random(3, width, 1, seed=1)
    # The banned would win otherwise.
    logits[..., list(banned_ids)] += 9.0
    assert_best(logits, k, scores=scores, banned_ids=banned_ids)
    assert_best(logits, k, banned_ids=banned_ids)
    assert_best(logits[:1], k, banned_ids=banned_ids)


def test_a_small_vocabulary_needs_no_pieces():
    assert_best(random(2, 3, 9), 27, scores=random(2, 3, 1), banned_ids=(0, 4))


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 3),
    st.integers(1536, 1700),
    st.integers(1, 6),
    st.integers(1, 40),
    st.integers(0, 9),
)
def test_of_equal_values_the_first_comes_first(width, size, k, levels, seed):
    generator = np.random.default_rng(seed)
    logits = generator.integers(0, levels, (2, width, size)).astype("float32")
    assert_best(logits, k, banned_ids=(3, 70))


def test_what_is_impossible_comes_before_what_fills_the_last_piece_up():
    logits = np.full((1, 1, 2049), IMPOSSIBLE, "float32")
    logits[0, 0, 2048] = 1.5 * IMPOSSIBLE
    logits[0, 0, 3] = 1.0
    for some in (logits, np.tile(logits, (2, 1, 1))):
        for best, _, tokens in all_ways(lambda rows: best_tokens(rows, 8), some):
            assert np.asarray(tokens)[0].tolist() == [3, 0, 1, 2, 4, 5, 6, 7]
            assert np.asarray(best)[0].tolist() == [1.0] + 7 * [IMPOSSIBLE]


@pytest.mark.parametrize("size", [5, 64, 130, 8000])
@pytest.mark.parametrize("scale", [0.0, 1.0, 300.0])
def test_the_normalizer_is_that_of_keras(size, scale):
    logits = scale * random(3, 2, size)
    expected = ops.logsumexp(logits, axis=-1, keepdims=True)
    for found in all_ways(log_normalizer, logits):
        assert found.shape == (3, 2, 1)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    one_row = log_normalizer(ops.convert_to_tensor(logits[:1, :1]))
    np.testing.assert_allclose(one_row, expected[:1, :1], rtol=1e-6, atol=1e-5)
