"""The Transformer of "Attention Is All You Need" for Keras 3 and TensorFlow."""

import importlib
import importlib.metadata

__version__ = "0.1.0"

_NAMES = {
    "Translator": "keras_transformer.translator",
    "TextGenerator": "keras_transformer.text_generator",
    "TextEncoder": "keras_transformer.text_encoder",
    "RunConfig": "keras_transformer.run",
    "train": "keras_transformer.run",
}
_MODULES = ("evaluation", "interop", "plotting", "serving", "text")


def _refuse_namesake():
    """An abandoned package of 2022 installs its files under the same import name."""
    try:
        importlib.metadata.distribution("keras-transformer")
    except importlib.metadata.PackageNotFoundError:
        return
    raise ImportError(
        "The abandoned package keras-transformer is installed too, under the same "
        "import name, and the two overwrite each other's files. Run: "
        "pip uninstall keras-transformer && "
        "pip install --force-reinstall --no-deps keras-transformer-kit"
    )


_refuse_namesake()

# Imported at once, so that saved models find the layers' classes.
from keras_transformer import decoding, layers, models, training  # noqa: E402
from keras_transformer.models import (  # noqa: E402
    EncoderModel,
    LanguageModel,
    Transformer,
)

__all__ = [
    "EncoderModel",
    "LanguageModel",
    "Transformer",
    *_NAMES,
    "decoding",
    "layers",
    "models",
    "training",
    *_MODULES,
]


def __getattr__(name):
    # Loaded on first use: these need TensorFlow, the layers any backend of Keras.
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"keras_transformer.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
