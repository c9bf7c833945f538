"""A command's translator: a run, a saved translator, or a model of another library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer.cli.library import library
from keras_transformer.run.initial import HELP, find_translator, open_translator

if TYPE_CHECKING:
    from keras_transformer.tasks.translator import Translator

__all__ = ["HELP", "load_translator"]


def load_translator(name: str) -> Translator:
    """The `kt.Translator` that a command is given.

    Args:
        name: Folder of a run or a saved translator; or what `kt.interop.load` takes.

    Raises:
        FileNotFoundError: If there is none; before Keras is imported.
        ValueError: If it can't be read; the file is named.
    """
    find_translator(name)
    library()
    return open_translator(name)
