"""Keras layers, on keras.ops alone: they run on TensorFlow, JAX and PyTorch."""

from keras_transformer.layers.attention import MultiHeadAttention
from keras_transformer.layers.attention_position import (
    AlibiBias,
    RelativePositionEmbedding,
    RotaryEmbedding,
    T5PositionBias,
)
from keras_transformer.layers.blocks import DecoderBlock, EncoderBlock
from keras_transformer.layers.embedding import TokenEmbedding
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.pooling import MaskedPooling
from keras_transformer.layers.position import (
    LearnedPositionalEncoding,
    PositionalEncoding,
    position_shift_matrix,
    sinusoidal_encoding,
)

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
