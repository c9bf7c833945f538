"""Imports Keras, TensorFlow and what saved models need: quietly, and no more of it."""

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import pathlib
import sys
import warnings

from keras_transformer.cli import notes

_KNOWN_WARNINGS = (
    # Its batches are in order already.
    "`shuffle=True` was passed, but will be ignored",
)


def library() -> None:
    """Makes the process one in which all of `keras_transformer` can be imported.

    TensorFlow imports JAX and SciPy, and Keras imports matplotlib, wherever they are
    installed. A command needs none of them for that: together they are a third of the
    time. The garbage collector takes a quarter of the rest.
    """
    if "keras" not in sys.modules:
        notes.keep_off_the_screen()
        _warn_in_one_line()
        needless = ["matplotlib"]
        if _backend() != "jax":
            needless += ["jax", "scipy"]
        with _without(needless), _without_collecting_garbage():
            # The one imports the other, where both are installed.
            if importlib.util.find_spec("tensorflow"):
                importlib.import_module("tensorflow")
            importlib.import_module("keras")
    from keras_transformer import load_library

    load_library()


@contextlib.contextmanager
def _without(names):
    """A scope in which modules can't be imported, as if they weren't installed."""
    names = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextlib.contextmanager
def _without_collecting_garbage():
    """A scope without garbage collection, which looks at all that is imported.

    None of it is ever garbage, so that it isn't looked at later, either.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _backend():
    """The backend that Keras is going to use, by its variable or its file."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    home = pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        settings = json.loads(home.joinpath("keras.json").read_text(encoding="utf-8"))
        return settings.get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"


def _warn_in_one_line():
    for message in _KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message)
    warnings.showwarning = _show


def _show(message, category, filename, lineno, file=None, line=None):
    words = " ".join(str(message).split())
    print(f"keras-transformer: warning: {words}", file=file or sys.stderr)


def quiet() -> None:
    """Keeps warnings off the screen, too."""
    warnings.simplefilter("ignore")


def progress_on_standard_error() -> contextlib.AbstractContextManager:
    """A scope in which what libraries print goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr)
