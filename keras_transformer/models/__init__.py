"""Layers assembled into models with the functional API."""

from typing import TYPE_CHECKING

from keras_transformer.lazy_names import lazy_names

_MODULES = {
    "EncoderModel": "encoder_model",
    "LanguageModel": "language_model",
    "PRESETS": "presets",
    "Transformer": "transformer",
}

__getattr__, __dir__, load_names = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)

if TYPE_CHECKING:
    # As type checkers see the names.
    from keras_transformer.models.encoder_model import EncoderModel as EncoderModel
    from keras_transformer.models.language_model import LanguageModel as LanguageModel
    from keras_transformer.models.presets import PRESETS as PRESETS
    from keras_transformer.models.transformer import Transformer as Transformer
