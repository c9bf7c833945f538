"""Wrong arguments are refused at once, with the argument's name and what it got."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import layers
from keras_transformer.layers.core import Dense

B, T, S, D = 2, 3, 4, 8


def floats(*shape, dtype="float32"):
    return np.ones(shape, dtype)


def symbolic(*shape, dtype="float32"):
    return keras.KerasTensor(shape, dtype)


x, memory = floats(B, T, D), floats(B, S, D)
ids = np.array([[1, 2, 0], [3, 0, 0]])
real = ids > 0
additive = np.where(real, 0.0, -1e9).astype("float32")


@functools.cache
def encoder():
    block = layers.EncoderBlock(2, 16)
    block(x)
    return block


@functools.cache
def decoder(cross=True):
    block = layers.DecoderBlock(2, 16)
    block(x, memory if cross else None)
    return block


@functools.cache
def attention(cross=False):
    layer = layers.MultiHeadAttention(2)
    layer(x, memory if cross else None)
    return layer


@functools.cache
def embedding():
    layer = layers.TokenEmbedding(9, D)
    layer.build()
    return layer


def learned():
    return layers.LearnedPositionalEncoding(5)


def cached(**arguments):
    block = decoder()
    cache = block.empty_cache(B, 5, memory)
    return block(x[:, :1], cache=cache, **arguments)


def attend(value=None, cross=False, **arguments):
    return attention(cross or value is not None)(x, value, **arguments)


# Each: what is done, the error, and words of its message: the argument and its value.
CONSTRUCTORS = [
    (lambda: layers.MultiHeadAttention(0), ["num_heads", "0"]),
    (lambda: layers.MultiHeadAttention("8"), ["num_heads", "'8'"]),
    (lambda: layers.MultiHeadAttention(2.0), ["num_heads", "2.0"]),
    (lambda: layers.MultiHeadAttention(True), ["num_heads", "True"]),
    (lambda: layers.MultiHeadAttention(None), ["num_heads", "None"]),
    (lambda: layers.MultiHeadAttention(np.int64(-4)), ["num_heads", "-4"]),
    (lambda: layers.MultiHeadAttention(2, head_dim=0), ["head_dim", "0"]),
    (lambda: layers.MultiHeadAttention(2, dropout=1.5), ["dropout", "1.5"]),
    (lambda: layers.MultiHeadAttention(2, dropout="0.1"), ["dropout", "'0.1'"]),
    (lambda: layers.MultiHeadAttention(2, dropout=None), ["dropout", "None"]),
    (lambda: layers.MultiHeadAttention(2, use_bias="no"), ["use_bias", "'no'"]),
    (lambda: layers.MultiHeadAttention(2, seed=0.5), ["seed", "0.5"]),
    (
        lambda: layers.MultiHeadAttention(2, kernel_initializer="zero_ish"),
        ["kernel_initializer", "zero_ish"],
    ),
    (
        lambda: layers.MultiHeadAttention(2, position_encoding=["rotary"]),
        ["position_encoding", "['rotary']"],
    ),
    (lambda: layers.EncoderBlock("50", 16), ["num_heads", "'50'"]),
    (lambda: layers.EncoderBlock(2, "50"), ["intermediate_dim", "'50'"]),
    (lambda: layers.EncoderBlock(2, 16, dropout=-0.1), ["dropout", "-0.1"]),
    (lambda: layers.EncoderBlock(2, 16, dropout=np.nan), ["dropout", "nan"]),
    (
        lambda: layers.EncoderBlock(2, 16, attention_dropout=1),
        ["attention_dropout", "1"],
    ),
    (
        lambda: layers.DecoderBlock(2, 16, intermediate_dropout=True),
        ["intermediate_dropout", "True"],
    ),
    (
        lambda: layers.DecoderBlock(2, 16, layer_norm_epsilon=-1.0),
        ["layer_norm_epsilon", "-1.0"],
    ),
    (lambda: layers.EncoderBlock(2, 16, norm_first="pre"), ["norm_first", "'pre'"]),
    (lambda: layers.EncoderBlock(2, 16, activation="glu"), ["activation", "glu"]),
    (lambda: layers.FeedForward(-1), ["intermediate_dim", "-1"]),
    (lambda: layers.FeedForward(8, activation="glu"), ["glu", "(1, 8)", "(1, 4)"]),
    (lambda: layers.FeedForward(8, activation="rellu"), ["activation", "rellu"]),
    (lambda: layers.FeedForward(8, activation=ops.sum), ["activation", "()"]),
    (lambda: layers.FeedForward(8, activation=keras.layers.ReLU), ["activation"]),
    (lambda: layers.FeedForward(8, activation=5), ["activation", "5"]),
    (lambda: layers.TokenEmbedding("50", 8), ["vocabulary_size", "'50'"]),
    (lambda: layers.TokenEmbedding(50, 0), ["hidden_dim", "0"]),
    (lambda: layers.TokenEmbedding(50, 8, mask_zero=2), ["mask_zero", "2"]),
    (
        lambda: layers.TokenEmbedding(50, 8, embeddings_initializer="x"),
        ["embeddings_initializer", "x"],
    ),
    (lambda: layers.PositionalEncoding(layout="spiral"), ["layout", "spiral"]),
    (lambda: layers.PositionalEncoding("1e4"), ["max_wavelength", "'1e4'"]),
    (lambda: layers.RotaryEmbedding(0), ["max_wavelength", "0"]),
    (lambda: layers.LearnedPositionalEncoding(0), ["max_length", "0"]),
    (lambda: layers.RelativePositionEmbedding("16"), ["max_distance", "'16'"]),
    (lambda: layers.T5PositionBias(2), ["num_buckets", "2"]),
    (lambda: layers.T5PositionBias(bidirectional=0), ["bidirectional", "0"]),
    (lambda: layers.MaskedPooling("average"), ["pooling", "average"]),
    (lambda: layers.sinusoidal_encoding(np.arange(3), 0), ["hidden_dim", "0"]),
    (
        lambda: layers.sinusoidal_encoding(np.arange(3), 8, layout="spiral"),
        ["layout", "spiral"],
    ),
    (lambda: layers.position_shift_matrix(1, 7), ["hidden_dim", "7"]),
    (lambda: layers.position_shift_matrix(1, 8, -1), ["max_wavelength", "-1"]),
    (lambda: learned().interpolate_from(5), ["other", "5"]),
    # The nearest known name.
    (lambda: layers.EncoderBlock(2, 16, dropuot=0.1), ["dropuot", "'dropout'"]),
    (lambda: layers.FeedForward(intermediate=8), ["intermediate", "_dim'"]),
    (lambda: layers.MultiHeadAttention(head=2), ["head=2", "'head_dim'"]),
    (lambda: layers.TokenEmbedding(9, 8, mask_zeros=True), ["'mask_zero'"]),
    (lambda: layers.MaskedPooling(nam="x"), ["nam='x'", "'name'"]),
]
SHAPES = [
    (lambda: layers.EncoderBlock(2, 16)(ids), ["inputs", "(B, S, D)", "(2, 3)"]),
    (lambda: layers.EncoderBlock(2, 16)(floats(2, 5)), ["inputs", "(2, 5)"]),
    (lambda: layers.EncoderBlock(2, 16)(floats(1, 2, 3, 8)), ["(1, 2, 3, 8)"]),
    (lambda: layers.EncoderBlock(2, 16)(symbolic(None, 8)), ["inputs", "(None, 8)"]),
    (lambda: layers.EncoderBlock(2, 16)(symbolic(2, 5, None)), ["(2, 5, None)"]),
    (lambda: layers.EncoderBlock(2, 16)(ids[..., None]), ["inputs", "int"]),
    (lambda: layers.EncoderBlock(3, 16)(x), ["num_heads=3", "hidden_dim=8"]),
    (lambda: layers.EncoderBlock(2, 16).build((None, 8)), ["input_shape"]),
    (lambda: encoder()(floats(B, T, 6)), ["inputs", "D=8", "(2, 3, 6)"]),
    (lambda: encoder()(x, mask=real[:, :2]), ["mask", "S=3", "(2, 2)"]),
    (lambda: encoder()(x, mask=real[:1]), ["mask", "B=2", "(1, 3)"]),
    (lambda: encoder()(x, mask=real[0]), ["mask", "(B, S)", "(3,)"]),
    (
        lambda: encoder()(x, attention_mask=np.ones((T, S), bool)),
        ["attention_mask", "(3, 4)"],
    ),
    (
        lambda: encoder()(x, attention_mask=np.ones((B, 3, T, T), bool)),
        ["attention_mask", "H=2", "(2, 3, 3, 3)"],
    ),
    (lambda: encoder()(x, use_causal_mask="yes"), ["use_causal_mask", "'yes'"]),
    (lambda: decoder()(x, floats(5, S, D)), ["encoder_sequence", "B=2", "(5, 4, 8)"]),
    (lambda: decoder()(x, floats(1, S, D)), ["encoder_sequence", "B=2", "(1, 4, 8)"]),
    (lambda: decoder()(x, floats(B, S, 6)), ["encoder_sequence", "De=8"]),
    (lambda: decoder()(x, floats(S, D)), ["encoder_sequence", "(4, 8)"]),
    (lambda: decoder()(x), ["encoder_sequence=None"]),
    (lambda: decoder(False)(x, memory), ["encoder_sequence"]),
    (
        lambda: decoder(False)(x, encoder_attention_mask=np.ones((T, S), bool)),
        ["encoder_attention_mask", "(3, 4)"],
    ),
    (
        lambda: decoder()(x, memory, encoder_sequence_mask=real),
        ["encoder_sequence_mask", "S=4", "(2, 3)"],
    ),
    (
        lambda: decoder()(x, memory, decoder_sequence_mask=np.ones((B, S), bool)),
        ["decoder_sequence_mask", "T=3", "(2, 4)"],
    ),
    (
        lambda: decoder()(x, memory, encoder_attention_mask=np.ones((S, T), bool)),
        ["encoder_attention_mask", "(4, 3)"],
    ),
    (lambda: attention()(floats(T, D)), ["query", "(B, T, D)", "(3, 8)"]),
    (lambda: attention()(floats(B, 2, T, D)), ["query", "(2, 2, 3, 8)"]),
    (lambda: attend(floats(5, S, D)), ["value", "B=2", "(5, 4, 8)"]),
    (lambda: attend(memory, key=floats(B, 6, D)), ["key", "S=4", "(2, 6, 8)"]),
    (lambda: attend(query_mask=real.T), ["query_mask", "(B, T)", "(3, 2)"]),
    (lambda: attend(memory, value_mask=real), ["value_mask", "(2, 3)"]),
    (lambda: attend(value_mask=real), ["value_mask", "(2, 3)"]),
    (lambda: attend(memory, key_mask=np.ones((B, S), bool)), ["key_mask"]),
    (lambda: attend(attention_mask=real[0]), ["attention_mask", "(3,)"]),
    (
        lambda: attention(True).project_value(memory, value_mask=real),
        ["value_mask", "(2, 3)"],
    ),
    (lambda: attention().empty_cache(B, -1), ["max_length", "-1"]),
    (lambda: attention()(x, cache={}), ["cache", "'key'"]),
    (lambda: attention()(x, cache=attention().empty_cache(5)), ["cache['key']", "5"]),
    (lambda: attention()(x, cache_index=0), ["cache_index", "0"]),
    (
        lambda: attention()(x, cache=attention().empty_cache(B, 5), cache_index=4),
        ["cache_index", "4"],
    ),
    (lambda: attention()(x, num_hypotheses=2), ["num_hypotheses", "2"]),
    (lambda: cached(encoder_sequence=memory), ["encoder_sequence", "(2, 4, 8)"]),
    (lambda: cached(cache_index=1.5), ["cache_index", "1.5"]),
    (
        lambda: cached(cache_index=0, decoder_sequence_mask=real),
        ["decoder_sequence_mask", "(2, 3)"],
    ),
    (lambda: decoder()(x, memory, cache_index=0), ["cache_index", "0"]),
    (lambda: decoder()(x, cache=[1]), ["cache", "list"]),
    (lambda: decoder().empty_cache(B), ["encoder_sequence=None"]),
    (lambda: layers.DecoderBlock(2, 16).empty_cache(B), ["must be built"]),
    (lambda: layers.FeedForward(8)(floats(8)), ["inputs", "(8,)"]),
    (lambda: layers.FeedForward(8)(ids), ["inputs", "int"]),
    (lambda: layers.PositionalEncoding()(floats(8)), ["inputs", "(8,)"]),
    (lambda: layers.PositionalEncoding()(ids), ["inputs", "int"]),
    (lambda: layers.PositionalEncoding()(x, start_index=0.5), ["start_index", "0.5"]),
    (
        lambda: layers.PositionalEncoding()(x, start_index=np.arange(3)),
        ["start_index", "B=2", "(3,)"],
    ),
    (lambda: learned()(x, start_index=3), ["max_length=5", "position 5"]),
    (lambda: learned()(x, start_index=np.int64(3)), ["max_length=5", "position 5"]),
    (lambda: learned()(x, start_index=np.array([0, 3])), ["max_length=5"]),
    (lambda: learned()(x, start_index=-1), ["start_index", "-1"]),
    (lambda: layers.RotaryEmbedding()(floats(2, 3, 7)), ["head_dim=7"]),
    (lambda: layers.RotaryEmbedding()(floats(8)), ["inputs", "(8,)"]),
    (lambda: layers.T5PositionBias()(x), ["scores", "(B, H, T, S)", "(2, 3, 8)"]),
    (
        lambda: layers.RelativePositionEmbedding()(
            floats(1, 2, 3, 4), floats(1, 2, 3, 6)
        ),
        ["keys", "K=4", "(1, 2, 3, 6)"],
    ),
    (lambda: layers.MaskedPooling()(floats(2, 8)), ["inputs", "(2, 8)"]),
    (lambda: layers.MaskedPooling()(x, mask=real.T), ["mask", "(3, 2)"]),
    (lambda: embedding()(np.array([[1, 9]])), ["inputs", "0 to 8", "9"]),
    (lambda: embedding()(np.array([[-1]])), ["inputs", "-1"]),
    (lambda: embedding()(np.array([[0.5]])), ["inputs", "0.5"]),
    (lambda: embedding()(np.array([["dog"]])), ["inputs", "<U3"]),
    (lambda: embedding()(real), ["inputs", "bool"]),
    (lambda: embedding()(floats(B, T, 6), reverse=True), ["inputs", "D=8", "6)"]),
    (lambda: embedding()(ids, reverse=True), ["inputs", "int64"]),
    (lambda: embedding()(ids, reverse="yes"), ["reverse", "'yes'"]),
    (
        lambda: layers.TokenEmbedding(500, 8)(symbolic(2, 3, dtype="bfloat16")),
        ["inputs", "bfloat16", "256"],
    ),
    (lambda: Dense(4).quantize("int8"), ["not built"]),
]
ADDITIVE = [
    (lambda: encoder()(x, mask=additive), ["mask", "-1000000000.0"]),
    (lambda: encoder()(x, mask=(real * 2).astype("int32")), ["mask", "2.0"]),
    (lambda: encoder()(x, attention_mask=additive[:, None]), ["attention_mask"]),
    (lambda: encoder()(x, attention_mask=floats(T, T) * 0.5), ["0.5"]),
    (
        lambda: encoder()(x, attention_mask=symbolic(T, T)),
        ["attention_mask", "float32"],
    ),
    (lambda: decoder()(x, memory, decoder_sequence_mask=additive), ["-1000000000.0"]),
    (
        lambda: decoder()(x, memory, encoder_attention_mask=floats(T, S) * -1),
        ["encoder_attention_mask", "-1.0"],
    ),
    (lambda: decoder().empty_cache(B, 5, memory, floats(B, S) - 2), ["-1.0"]),
    (lambda: attend(query_mask=additive), ["query_mask", "-1000000000.0"]),
    (lambda: attend(memory, value_mask=floats(B, S) * -1e9), ["value_mask"]),
    (lambda: attend(memory, key=memory, key_mask=floats(B, S) * 3), ["key_mask"]),
    (lambda: attend(attention_mask=np.full((T, T), "a")), ["attention_mask", "<U1"]),
    (
        lambda: attention(True).project_value(memory, value_mask=floats(B, S) * 2),
        ["value_mask", "2.0"],
    ),
    (lambda: layers.MaskedPooling()(x, mask=additive), ["mask", "-1000000000.0"]),
]
TYPES = [
    (lambda: encoder()(x.tolist()), ["inputs", "list", "(2, 3, 8)"]),
    (lambda: encoder()([x, memory]), ["inputs", "[(2, 3, 8), (2, 4, 8)]"]),
    (lambda: encoder()(None), ["inputs", "None"]),
    (lambda: encoder()("a text"), ["inputs", "'a text'"]),
    (lambda: encoder()(x, mask=real.tolist()), ["mask", "list", "(2, 3)"]),
    (lambda: decoder()([x, memory]), ["decoder_sequence", "[(2, 3, 8), (2, 4, 8)]"]),
    (lambda: decoder()(x, memory.tolist()), ["encoder_sequence", "list"]),
    (lambda: layers.DecoderBlock(2, 16)([symbolic(2, 3, 8)] * 2), ["(2, 3, 8)"]),
    (lambda: attention()([x, x]), ["query", "list"]),
    (lambda: attend(attention_mask=[[True]]), ["attention_mask", "(1, 1)"]),
    (lambda: layers.FeedForward(8)([[1.0, 2.0]]), ["inputs", "(1, 2)"]),
    (lambda: layers.PositionalEncoding()([x]), ["inputs", "list"]),
    (lambda: layers.MaskedPooling()(x.tolist()), ["inputs", "list"]),
    (lambda: embedding()([[1, 2]]), ["inputs", "list", "(1, 2)"]),
    (lambda: embedding()("dog"), ["inputs", "'dog'"]),
    (lambda: encoder()(x, maks=real), ["maks", "'mask'"]),
    (lambda: attend(use_causal=True), ["use_causal", "'use_causal_mask'"]),
]


@pytest.mark.parametrize("wrong, words", CONSTRUCTORS + SHAPES + ADDITIVE)
def test_wrong_values_and_shapes_are_named(wrong, words):
    with pytest.raises(ValueError) as error:
        wrong()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("wrong, words", TYPES)
def test_wrong_types_are_named(wrong, words):
    with pytest.raises(TypeError) as error:
        wrong()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8])
def test_sizes_may_be_numpy_s_integers(integer):
    size = integer(8)
    for layer in (
        layers.MultiHeadAttention(size, head_dim=size),
        layers.EncoderBlock(size, size),
        layers.FeedForward(size),
        layers.TokenEmbedding(size, size),
        layers.LearnedPositionalEncoding(size),
        layers.RelativePositionEmbedding(size),
        layers.T5PositionBias(size),
    ):
        config = keras.saving.serialize_keras_object(layer)
        again = keras.saving.deserialize_keras_object(config)
        sizes = [v for v in again.get_config().values() if v == 8]
        assert sizes and all(type(value) is int for value in sizes)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
def test_masks_of_0_and_1_are_those_of_booleans(dtype):
    mask = real.astype(dtype)
    for layer in (encoder(), layers.MaskedPooling("mean")):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(layer(x * ids[..., None], mask=mask)),
            ops.convert_to_numpy(layer(x * ids[..., None], mask=real)),
        )


def test_axes_of_1_broadcast_in_attention_masks():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(B, T, D)).astype("float32")
    mask = real[:, None, None, :]
    full = np.broadcast_to(mask, (B, 2, T, T))
    np.testing.assert_allclose(
        ops.convert_to_numpy(encoder()(values, attention_mask=mask)),
        ops.convert_to_numpy(encoder()(values, attention_mask=full)),
        atol=1e-6,
    )


def test_a_user_s_subclass_has_arguments_of_its_own():
    class Block(layers.FeedForward):
        def __init__(self, width, **kwargs):
            self.factor = kwargs.pop("factor")
            super().__init__(width, **kwargs)

        def call(self, inputs, shift, training=None):
            return super().call(inputs * self.factor + shift, training=training)

    assert Block(4, factor=2.0, name="mine")(x, shift=x).shape == x.shape


def test_a_position_layer_is_shared_by_attentions_of_the_same_heads_only():
    for kind, name in (("t5", "num_heads"), ("relative", "head_dim")):
        first = layers.MultiHeadAttention(2, position_encoding=kind)
        first(x)
        position = first.position_encoding
        with pytest.raises(ValueError, match=f"{name}="):
            layers.MultiHeadAttention(4, position_encoding=position)(x)
