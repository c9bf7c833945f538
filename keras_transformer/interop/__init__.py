"""Other people's checkpoints -> our models, and back."""

from keras_transformer.interop.ctranslate2 import save_ctranslate2
from keras_transformer.interop.loading import load
from keras_transformer.interop.marian import load_marian
from keras_transformer.interop.marian_saving import save_marian

__all__ = ["load", "load_marian", "save_ctranslate2", "save_marian"]
