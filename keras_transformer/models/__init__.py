"""Layers assembled into models with the functional API."""

from keras_transformer.models.encoder_model import EncoderModel
from keras_transformer.models.language_model import LanguageModel
from keras_transformer.models.presets import PRESETS
from keras_transformer.models.transformer import Transformer

__all__ = ["EncoderModel", "LanguageModel", "PRESETS", "Transformer"]
