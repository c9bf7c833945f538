"""The Transformer of "Attention Is All You Need" for Keras 3 and TensorFlow."""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# Imported on first use: some of them need TensorFlow, the layers any backend.
_NAMES = {
    "EncoderModel": "keras_transformer.models",
    "LanguageModel": "keras_transformer.models",
    "Transformer": "keras_transformer.models",
    "Translator": "keras_transformer.tasks.translator",
    "TextGenerator": "keras_transformer.tasks.text_generator",
    "TextEncoder": "keras_transformer.tasks.text_encoder",
    "RunConfig": "keras_transformer.run",
    "distill": "keras_transformer.run",
    "train": "keras_transformer.run",
}
_MODULES = (
    "data",
    "decoding",
    "evaluation",
    "interop",
    "layers",
    "models",
    "plotting",
    "serving",
    "tasks",
    "text",
    "training",
)


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


def _is_command_line():
    """Whether this process is `keras-transformer` or `python -m keras_transformer`.

    Or one that tokenizes for another, which needs neither Keras nor TensorFlow.

    Its help and its errors of use shall come at once, so it imports Keras and
    TensorFlow only for a command that needs them, by `load_library`. Anybody else
    gets the classes with the import, so that `keras.models.load_model` finds them.
    """
    program = os.path.basename((getattr(sys, "argv", None) or [""])[0])
    if program == "-m":
        # The module is looked for. Its name stands before its arguments.
        names = ("keras_transformer", "keras_transformer.data.process")
        return sys.orig_argv[-len(sys.argv)].endswith(names)
    scripts = ("keras-transformer", "keras-transformer.exe")
    return program in (*scripts, "keras-transformer-script.py")


def load_library() -> None:
    """Imports what saved models need: the registered classes of layers and models.

    `import keras_transformer` does so itself, but in a process of the command line.

    Raises:
        ImportError: If Keras isn't Keras 3.
    """
    _refuse_keras_2()
    from keras_transformer import decoding, layers, models, training  # noqa: F401

    for package in (decoding, models, training):
        package.load_names()


_refuse_namesake()
if not _is_command_line():
    load_library()

__all__ = sorted([*_NAMES, *_MODULES])

if TYPE_CHECKING:
    # As type checkers see the names.
    from keras_transformer import data as data
    from keras_transformer import decoding as decoding
    from keras_transformer import evaluation as evaluation
    from keras_transformer import interop as interop
    from keras_transformer import layers as layers
    from keras_transformer import models as models
    from keras_transformer import plotting as plotting
    from keras_transformer import serving as serving
    from keras_transformer import tasks as tasks
    from keras_transformer import text as text
    from keras_transformer import training as training
    from keras_transformer.models import EncoderModel as EncoderModel
    from keras_transformer.models import LanguageModel as LanguageModel
    from keras_transformer.models import Transformer as Transformer
    from keras_transformer.run import RunConfig as RunConfig
    from keras_transformer.run import distill as distill
    from keras_transformer.run import train as train
    from keras_transformer.tasks.text_encoder import TextEncoder as TextEncoder
    from keras_transformer.tasks.text_generator import TextGenerator as TextGenerator
    from keras_transformer.tasks.translator import Translator as Translator


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"keras_transformer.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
