"""The Transformer of "Attention Is All You Need" for Keras 3 and TensorFlow."""

import importlib
import importlib.metadata
import importlib.util
import os

__version__ = "0.1.0"

_NAMES = {
    "Translator": "keras_transformer.tasks.translator",
    "TextGenerator": "keras_transformer.tasks.text_generator",
    "TextEncoder": "keras_transformer.tasks.text_encoder",
    "RunConfig": "keras_transformer.run",
    "train": "keras_transformer.run",
}
_MODULES = ("data", "evaluation", "interop", "plotting", "serving", "tasks", "text")


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


def _refuse_keras_2():
    """Layers of Keras 3 are none of Keras 2, whose errors don't say so."""
    import keras

    if int(keras.__version__.split(".")[0]) < 3:
        raise ImportError(
            f"keras-transformer-kit needs Keras 3; found Keras {keras.__version__}. "
            "Run: pip install --upgrade keras"
        )
    legacy = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True")
    found = importlib.util.find_spec
    if legacy and found("tensorflow") and not found("tf_keras"):
        raise ImportError(
            "The variable TF_USE_LEGACY_KERAS makes TensorFlow look for Keras 2, the "
            "package tf_keras, which isn't installed. This package needs Keras 3. "
            "Unset the variable before you start Python: unset TF_USE_LEGACY_KERAS"
        )


_refuse_namesake()
_refuse_keras_2()

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
