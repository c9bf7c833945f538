"""From a model to token ids: search inside the graph."""

from keras_transformer.decoding.beam_search import BeamSearch, length_penalty
from keras_transformer.decoding.explain import explain
from keras_transformer.decoding.generate import generate
from keras_transformer.decoding.options import SearchOptions
from keras_transformer.decoding.sampling import Sampling
from keras_transformer.decoding.search import search

__all__ = [
    "BeamSearch",
    "Sampling",
    "SearchOptions",
    "explain",
    "generate",
    "length_penalty",
    "search",
]
