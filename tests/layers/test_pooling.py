"""Pooling over the positions that aren't padding."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers.pooling import MaskedPooling

STATES = np.array(
    [[[1, -2], [3, -8], [50, 60]], [[-5, -6], [70, 80], [90, 99]]], "float32"
)
MASK = np.array([[True, True, False], [True, False, False]])
POOLED = {"mean": [[2, -5], [-5, -6]], "max": [[3, -2], [-5, -6]]}


def pooled(pooling, states=STATES, **options):
    return ops.convert_to_numpy(MaskedPooling(pooling)(states, **options))


@pytest.mark.parametrize("pooling", POOLED)
def test_padding_is_left_out(pooling):
    np.testing.assert_allclose(pooled(pooling, mask=MASK), POOLED[pooling])
    padded = np.pad(STATES, ((0, 0), (0, 4), (0, 0)), constant_values=7)
    mask = np.pad(MASK, ((0, 0), (0, 4)))
    np.testing.assert_allclose(pooled(pooling, padded, mask=mask), POOLED[pooling])


@pytest.mark.parametrize("pooling", POOLED)
def test_without_a_mask_all_positions_count(pooling):
    expected = getattr(STATES, pooling)(axis=1)
    np.testing.assert_allclose(pooled(pooling), expected, rtol=1e-6)


@pytest.mark.parametrize("pooling", POOLED)
def test_a_row_of_padding_alone_gives_zeros(pooling):
    mask = np.array([[False] * 3, [True] * 3])
    np.testing.assert_array_equal(pooled(pooling, mask=mask)[0], [0, 0])


def test_first_is_the_first_position_whatever_the_mask():
    np.testing.assert_array_equal(pooled("first", mask=~MASK), STATES[:, 0])


def test_the_mask_of_an_embedding_is_heeded_and_ends_here():
    inputs = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(9, 2, mask_zero=True)
    outputs = MaskedPooling("mean")(embedding(inputs))
    model = keras.Model(inputs, outputs)
    found = ops.convert_to_numpy(model(np.array([[5, 7, 0, 0]])))
    expected = ops.convert_to_numpy(embedding.embeddings)[[5, 7]].mean(axis=0)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert getattr(outputs, "_keras_mask", None) is None


def test_means_in_half_precision_are_summed_in_float32():
    states = np.full((1, 4000, 1), 1.001, "float32")
    layer = MaskedPooling("mean", dtype="bfloat16")
    (found,) = ops.convert_to_numpy(ops.cast(layer(states), "float32"))
    assert found[0] == pytest.approx(1.0, abs=1e-2)


def test_its_configuration_gives_it_back():
    layer = MaskedPooling("max")
    assert MaskedPooling.from_config(layer.get_config()).pooling == "max"
    with pytest.raises(ValueError, match="pooling='sum'"):
        MaskedPooling("sum")
