"""From a model to token ids: search inside the graph."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    # As type checkers see the names.
    from keras_transformer.decoding.beam_search import BeamSearch as BeamSearch
    from keras_transformer.decoding.beam_search import length_penalty as length_penalty
    from keras_transformer.decoding.explain import explain as explain
    from keras_transformer.decoding.generate import generate as generate
    from keras_transformer.decoding.options import SearchOptions as SearchOptions
    from keras_transformer.decoding.sampling import Sampling as Sampling
    from keras_transformer.decoding.search import search as search
