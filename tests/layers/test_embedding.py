"""Masks and ranks of ids and vectors. test_backends.py runs this on JAX and PyTorch."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import layers

IDS = np.array([[5, 7, 0, 0], [3, 0, 0, 0]])


def numbers(tensor):
    if hasattr(tensor, "detach"):
        tensor = tensor.detach()
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "uint8"])
@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [lambda: keras.Input((None,))],
        [lambda: keras.Input((None,), dtype="int32")],
    ],
    ids=["none", "float32", "int32"],
)
def test_padding_changes_nothing_in_a_sequential_model(inputs, dtype):
    model = keras.Sequential(
        [
            *(make() for make in inputs),
            layers.TokenEmbedding(50, 8),
            layers.PositionalEncoding(),
            layers.EncoderBlock(2, 16),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    padded, short = IDS[:1].astype(dtype), IDS[:1, :2].astype(dtype)
    for answer in (model, lambda ids: model.predict(ids, verbose=0)):
        np.testing.assert_allclose(
            numbers(answer(padded)), numbers(answer(short)), atol=1e-5
        )


def test_ids_make_a_mask_and_vectors_hand_theirs_on_whatever_their_dtype():
    layer = layers.TokenEmbedding(50, 8)
    for dtype in ("int32", "float32"):
        ids = IDS.astype(dtype)
        np.testing.assert_array_equal(numbers(layer.compute_mask(ids)), IDS != 0)
        vectors = layer(ids)
        np.testing.assert_array_equal(numbers(vectors._keras_mask), IDS != 0)
        logits = layer(vectors, reverse=True)
        np.testing.assert_array_equal(numbers(logits._keras_mask), IDS != 0)
    unmasked = ops.convert_to_tensor(numbers(vectors))
    assert getattr(layer(unmasked, reverse=True), "_keras_mask", None) is None
    unmasked = layers.TokenEmbedding(50, 8, mask_zero=False)(IDS)
    assert getattr(unmasked, "_keras_mask", None) is None


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    "shape", [(8,), (3, 8), (2, 3, 8), (2, 3, 4, 8), (2, 1, 3, 4, 8), (0, 3, 8)]
)
def test_logits_of_any_rank_are_products_with_the_table(shape, use_bias):
    layer, rng = layers.TokenEmbedding(50, 8, use_bias=use_bias), np.random
    layer.build()
    x = rng.default_rng(0).normal(size=shape).astype("float32")
    if use_bias:
        layer.bias.assign(np.arange(50))
    expected = x @ numbers(layer.embeddings).T + np.arange(50) * use_bias
    np.testing.assert_allclose(numbers(layer(x, reverse=True)), expected, atol=1e-4)
    spec = layer(keras.KerasTensor(shape), reverse=True)
    assert spec.shape == (*shape[:-1], 50)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (2, 0)])
def test_ids_of_any_rank_are_looked_up(shape):
    layer = layers.TokenEmbedding(50, 8, scale=False)
    layer.build()
    ids = np.random.default_rng(0).integers(0, 50, shape)
    found = numbers(layer(np.asarray(ids)))
    np.testing.assert_array_equal(found, numbers(layer.embeddings)[ids])


@pytest.mark.parametrize(
    "layer", [layers.PositionalEncoding, layers.LearnedPositionalEncoding]
)
def test_starts_of_sequences_are_those_of_the_first_axis(layer):
    x, starts = np.zeros((2, 2, 4, 8), "float32"), np.array([1, 5])
    layer = layer()
    found = numbers(layer(x, start_index=starts))
    for row, start in zip(found, starts):
        for sequence in row:
            expected = numbers(layer(x[0, 0], start_index=int(start)))
            np.testing.assert_allclose(sequence, expected, atol=1e-6)
