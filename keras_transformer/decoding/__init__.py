"""From a model to token ids: search inside the graph."""

from keras_transformer.decoding.beam_search import beam_search, length_penalty
from keras_transformer.decoding.generate import generate

__all__ = ["beam_search", "generate", "length_penalty"]
