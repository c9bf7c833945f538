"""Imports Keras, TensorFlow and what saved models need: quietly, and no more of it."""

import contextlib
import importlib
import importlib.util
import sys
import warnings

from keras_transformer.cli import notes

_KNOWN_WARNINGS = (
    # Its batches are in order already.
    "`shuffle=True` was passed, but will be ignored",
    # What a sentence of one token does in attention.
    "You are using a softmax over axis",
)


def library():
    """Makes the process one in which all of `keras_transformer` can be imported.

    TensorFlow imports JAX, and Keras imports matplotlib, wherever they are installed,
    and a command needs neither for that: together they are a third of the time.
    """
    if "keras" not in sys.modules:
        notes.keep_off_the_screen()
        _warn_in_one_line()
        if importlib.util.find_spec("tensorflow"):
            with _without("jax"):
                importlib.import_module("tensorflow")
        with _without("matplotlib"):
            importlib.import_module("keras")
    from keras_transformer import load_library

    load_library()


@contextlib.contextmanager
def _without(name):
    """A scope in which a module can't be imported, as if it weren't installed."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None
    try:
        yield
    finally:
        del sys.modules[name]


def _warn_in_one_line():
    for message in _KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message)
    warnings.showwarning = _show


def _show(message, category, filename, lineno, file=None, line=None):
    words = " ".join(str(message).split())
    print(f"keras-transformer: warning: {words}", file=file or sys.stderr)


def quiet():
    """Keeps warnings off the screen, too."""
    warnings.simplefilter("ignore")


def progress_on_standard_error():
    """A scope in which what libraries print goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr)
