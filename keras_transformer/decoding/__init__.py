"""From a model to token ids: search inside the graph."""

from keras_transformer.lazy_names import lazy_names

_MODULES = {
    "BeamSearch": "beam_search",
    "Sampling": "sampling",
    "SearchOptions": "options",
    "explain": "explain",
    "generate": "generate",
    "length_penalty": "beam_search",
    "search": "search",
}

__getattr__, __dir__, load_names = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
