"""Keras layers, on keras.ops alone: they run on TensorFlow, JAX and PyTorch."""

from keras_transformer.layers.attention import MultiHeadAttention
from keras_transformer.layers.decoder_block import DecoderBlock
from keras_transformer.layers.distance_bias import AlibiBias, T5PositionBias
from keras_transformer.layers.embedding import TokenEmbedding
from keras_transformer.layers.encoder_block import EncoderBlock
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.pooling import MaskedPooling
from keras_transformer.layers.position import (
    LearnedPositionalEncoding,
    PositionalEncoding,
    position_shift_matrix,
    sinusoidal_encoding,
)
from keras_transformer.layers.relative_position import RelativePositionEmbedding
from keras_transformer.layers.rotary_embedding import RotaryEmbedding

__all__ = [
    "AlibiBias",
    "DecoderBlock",
    "EncoderBlock",
    "FeedForward",
    "LearnedPositionalEncoding",
    "MaskedPooling",
    "MultiHeadAttention",
    "PositionalEncoding",
    "RelativePositionEmbedding",
    "RotaryEmbedding",
    "T5PositionBias",
    "TokenEmbedding",
    "position_shift_matrix",
    "sinusoidal_encoding",
]
