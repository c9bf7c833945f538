"""Tokenizers from the files and folders that their `save` wrote."""

import os
import pathlib
from typing import TYPE_CHECKING

from keras_transformer.text.hub_tokenizer import SETTINGS_FILE, HubTokenizer
from keras_transformer.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

    SavedTokenizer = Tokenizer | HubTokenizer | VocabularyTokenizer


def load_tokenizer(path: str | os.PathLike) -> "SavedTokenizer":
    """A tokenizer of any kind of this package.

    Args:
        path: What a `Tokenizer`, `VocabularyTokenizer` or `HubTokenizer` saved.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is damaged; it is named.

    Example:

    >>> tokenizer.save("en-de.spm")
    >>> tokenizer = kt.text.load_tokenizer("en-de.spm")
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: it is the tokenizer of what is beside it. Copy the "
            "folder again from where it is whole."
        )
    if not path.is_dir():
        return Tokenizer.load(path)
    if (path / SETTINGS_FILE).exists():
        return HubTokenizer.load(path)
    # It needs TensorFlow.
    from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

    return VocabularyTokenizer.load(path)
