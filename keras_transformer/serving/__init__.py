"""From a Translator to TF Serving."""

from keras_transformer.serving.export import export_saved_model

__all__ = ["export_saved_model"]
