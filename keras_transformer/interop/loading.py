"""Checkpoints of any family that can be read."""

import os

import keras

from keras_transformer.interop.files import local_folder
from keras_transformer.interop.marian import CONFIG, FILES, load_marian
from keras_transformer.reading import field, read_json
from keras_transformer.tasks.translator import Translator

# A checkpoint's `model_type` -> what reads it, and the files it needs.
_FAMILIES = {"marian": (load_marian, FILES)}


def load(
    folder: str | os.PathLike, dtype: str | keras.DTypePolicy | None = None
) -> Translator:
    """Reads a translator of another library, whatever its family.

    Args:
        folder: Folder of a checkpoint in Hugging Face's format, or its name on the
            Hugging Face Hub. Its `config.json` says by `model_type` what it is:
            `"marian"`, see `load_marian`.
        dtype: Dtype or dtype policy of the model, such as `"mixed_bfloat16"`.

    Returns:
        A `kt.Translator`.

    Raises:
        FileNotFoundError: If a file is missing or can't be downloaded.
        ValueError: For a family that can't be read, or a file with an error in it.

    Example:

    >>> translator = kt.interop.load("Helsinki-NLP/opus-mt-en-de")
    """
    files = dict.fromkeys(name for _, names in _FAMILIES.values() for name in names)
    path = local_folder(folder, list(files))
    config = path / CONFIG
    kind = field(
        read_json(config, "a checkpoint's configuration"), "model_type", config, str
    )
    if kind not in _FAMILIES:
        raise ValueError(
            f"{config}: model_type must be one of {sorted(_FAMILIES)}; received "
            f"model_type={kind!r}."
        )
    read, _ = _FAMILIES[kind]
    return read(path, dtype=dtype)
