"""Layers assembled into models with the functional API."""

from keras_transformer.lazy_names import lazy_names

_MODULES = {
    "EncoderModel": "encoder_model",
    "LanguageModel": "language_model",
    "PRESETS": "presets",
    "Transformer": "transformer",
}

__getattr__, __dir__, load_names = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
