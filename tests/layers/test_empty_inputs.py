"""Batches of no sequence and sequences of no position have answers of their shapes.

test_backends.py runs a part of this on JAX and PyTorch too.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import layers
from keras_transformer.layers.core import Dense, Dropout, LayerNormalization

SIZES = [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)]
POSITIONS = [None, "rotary", "relative", "t5", "alibi"]


def floats(*shape):
    return np.zeros(shape, "float32")


def check(outputs, *shapes):
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for output, shape in zip(outputs, shapes, strict=True):
        assert tuple(output.shape) == shape
        output = output.detach() if hasattr(output, "detach") else output
        assert np.isfinite(ops.convert_to_numpy(output)).all()


@pytest.mark.parametrize("batch, length, source_length", SIZES)
@pytest.mark.parametrize("position", POSITIONS)
def test_blocks(position, batch, length, source_length):
    x, memory = floats(batch, length, 8), floats(batch, source_length, 8)
    masks = {
        "decoder_sequence_mask": np.ones((batch, length), bool),
        "encoder_sequence_mask": np.ones((batch, source_length), bool),
    }
    block = layers.DecoderBlock(2, 8, position_encoding=position)
    for training in (False, True):
        for given in ({}, masks):
            check(block(x, memory, training=training, **given), x.shape)
    check(
        block(x, memory, return_attention_scores=True),
        x.shape,
        (batch, 2, length, length),
        (batch, 2, length, source_length),
    )
    for max_length in (None, 5):
        cache = block.empty_cache(
            batch, max_length, memory, masks["encoder_sequence_mask"]
        )
        index = None if max_length is None else 0
        output, cache = block(x, cache=cache, cache_index=index)
        kept = (batch, 2, length if max_length is None else max_length, 4)
        check((output, cache["self"]["key"]), x.shape, kept)


@pytest.mark.parametrize("batch, length", [(0, 3), (2, 0), (0, 0)])
def test_the_other_layers(batch, length):
    x = floats(batch, length, 8)
    for layer in (
        layers.PositionalEncoding(),
        layers.LearnedPositionalEncoding(9),
        layers.RotaryEmbedding(),
        layers.FeedForward(8, dropout=0.1),
        Dropout(0.3),
        LayerNormalization(),
        Dense(8),
    ):
        for training in (False, True):
            check(layer(x, training=training), x.shape)
    embedding = layers.TokenEmbedding(9, 8)
    check(embedding(np.zeros((batch, length), "int32")), x.shape)
    check(embedding(x, reverse=True), (batch, length, 9))
    scores = floats(batch, 2, length, 3)
    check(layers.T5PositionBias()(scores), scores.shape)
    check(layers.AlibiBias()(scores), scores.shape)
    heads = floats(batch, 2, length, 4)
    found = layers.RelativePositionEmbedding()(heads, floats(batch, 2, 3, 4))
    check(found, scores.shape)


@pytest.mark.parametrize("pooling", ["mean", "max", "first"])
def test_nothing_pooled_is_zero(pooling):
    layer = layers.MaskedPooling(pooling)
    for batch, length in [(0, 3), (2, 0), (0, 0)]:
        found = ops.convert_to_numpy(layer(floats(batch, length, 8)))
        np.testing.assert_array_equal(found, floats(batch, 8))


def test_the_maximum_is_of_the_positions_that_are_not_padding():
    x = np.array([[[-1e6], [5.0]], [[2.0], [3.0]]], "float32")
    mask = np.array([[True, False], [False, False]])
    found = ops.convert_to_numpy(layers.MaskedPooling("max")(x, mask=mask))
    np.testing.assert_array_equal(found, [[-1e6], [0.0]])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
@pytest.mark.parametrize("position", [None, "relative", "rotary"])
def test_sizes_that_a_graph_learns_when_it_runs(position):
    import tensorflow as tf

    block = layers.DecoderBlock(2, 8, position_encoding=position)
    block.build((None, None, 8), (None, None, 8))
    embedding = layers.TokenEmbedding(9, 8)
    embedding.build()
    pooling = layers.MaskedPooling("first")

    for training in (False, True):

        @tf.function(input_signature=[tf.TensorSpec((None, None, 8))] * 2)
        def call(x, memory, training=training):
            x = block(x, memory, training=training)
            return embedding(x, reverse=True), pooling(x)

        for batch, length, source_length in SIZES:
            x, memory = floats(batch, length, 8), floats(batch, source_length, 8)
            check(tuple(call(x, memory)), (batch, length, 9), (batch, 8))
