"""The translator that a run or a command starts from, wherever it is from."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import re
import typing
import zipfile

from keras_transformer.files import file_fingerprint, whole
from keras_transformer.reading import naming
from keras_transformer.run.config_file import has_checkpoint

if typing.TYPE_CHECKING:
    from keras_transformer.tasks.translator import Translator

HELP = (
    "a run, a saved translator, a Marian folder, or a Marian model's name on the "
    "Hugging Face Hub"
)
_SETTINGS = "translator.json"
# What a translator is made of, in its own folder or in another library's.
_SUFFIXES = (".json", ".keras", ".spm", ".model", ".safetensors", ".bin")
# What differs between two saved copies of one model.
_NAMES = ("name", "shared_object_id")
_MADE_ANEW = re.compile(r"^optimizer/|random_state|seed_generator")


def find_translator(name: str | os.PathLike) -> pathlib.Path | None:
    """The folder of a saved translator, or None for what `kt.interop.load` takes.

    It needs no Keras.

    Args:
        name: Folder of a run or a saved translator; or what `kt.interop.load` takes.

    Raises:
        FileNotFoundError: If there is none.
    """
    name = os.fspath(name)
    folder = whole(pathlib.Path(name))
    inside = whole(folder / "translator")
    own = inside if inside.exists() else folder
    if (own / _SETTINGS).exists():
        return own
    if not folder.exists() and name.count("/") != 1:
        raise FileNotFoundError(
            f"folder={name!r} isn't there, so it holds no Translator. Give {HELP}."
        )
    config = folder / "config.json"
    if has_checkpoint(folder) or (config.exists() and _is_run(config)):
        raise FileNotFoundError(
            f"folder={name!r} is a run that hasn't ended, so it has no translator "
            f"yet: keras-transformer train {name} goes on with it, and "
            f"keras-transformer average {name} TO makes one of its checkpoints."
        )
    if folder.exists() and not config.exists():
        raise FileNotFoundError(
            f"folder={name!r} holds no Translator: neither translator.json nor "
            f"config.json is in it. Give {HELP}."
        )
    return None


def open_translator(name: str | os.PathLike) -> Translator:
    """The translator of a folder or a name, see `find_translator`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it can't be read; the file is named.
    """
    own = find_translator(name)
    if own is not None:
        from keras_transformer.tasks.translator import Translator

        return Translator.load(own)
    from keras_transformer.interop import load

    return load(name)


def initial_model(name: str | os.PathLike) -> typing.Any:
    """The model that a run starts from, neither compiled nor frozen, with no LoRA.

    Its dropout is seeded anew, so that a run depends on its own seed.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it can't be read, or is in int8.
    """
    from keras_transformer.layers.lora import base_weights, without_lora
    from keras_transformer.layers.quantization import check_not_quantized

    model = open_translator(name).model
    check_not_quantized(model, f"initial={os.fspath(name)!r}: a run")
    model = without_lora(model)
    fresh = type(model).from_config({**model.get_config(), "trainable": True})
    for old, new in zip(base_weights(model), fresh.weights, strict=True):
        new.assign(old)
    return fresh


def initial_fingerprint(name: str | os.PathLike) -> str | None:
    """SHA-256 of a translator's files, wherever they lie; of a hub's model its name.

    None for a folder that isn't there any more: a run holds all that it needs of it.
    """
    try:
        own = find_translator(name)
    except FileNotFoundError:
        return None
    folder = pathlib.Path(name) if own is None else own
    return folder_fingerprint(folder) if folder.exists() else os.fspath(name)


def folder_fingerprint(folder: pathlib.Path) -> str:
    """SHA-256 of what is in a folder of models or tokenizers."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _SUFFIXES:
            digest.update(path.relative_to(folder).as_posix().encode())
            is_model = path.suffix == ".keras"
            print_of = _model_fingerprint if is_model else file_fingerprint
            digest.update(print_of(path).encode())
    return digest.hexdigest()


def _model_fingerprint(path):
    """SHA-256 of a saved model's configuration and weights.

    When it was saved and what its layers were called isn't counted, nor are the
    optimizer's moments and the states of dropout, which a run makes anew.
    """
    import h5py

    with naming(path, "a model that Keras saved"), zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json")).get("config")
        digest = hashlib.sha256(json.dumps(_without_names(config)).encode())
        weights = io.BytesIO(archive.read("model.weights.h5"))

    def add(name, entry):
        if isinstance(entry, h5py.Dataset) and not _MADE_ANEW.search(name):
            digest.update(f"{name} {entry.dtype} {entry.shape}".encode())
            digest.update(entry[()].tobytes())

    with h5py.File(weights) as file:
        file.visititems(add)
    return digest.hexdigest()


def _without_names(config):
    # Keras numbers names within a process.
    if isinstance(config, dict):
        kept = sorted(config.items())
        return {k: _without_names(v) for k, v in kept if k not in _NAMES}
    return config


def _is_run(path):
    """Whether a `config.json` is that of a run, which other models' aren't."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(config, dict) and "source" in config
