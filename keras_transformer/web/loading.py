"""Which models a folder holds: exports, a run, a translator, a Marian folder."""

import os
import pathlib
import re
from typing import Any

from keras_transformer.files import whole
from keras_transformer.interop import load
from keras_transformer.serving.checks.folders import version_number
from keras_transformer.tasks.text_encoder import TextEncoder
from keras_transformer.tasks.text_generator import TextGenerator
from keras_transformer.tasks.translator import Translator

_TEXT_MODELS = Translator, TextGenerator, TextEncoder
_GRAPHS = "saved_model.pb", "saved_model.pbtxt"


def find_exports(folder: str | os.PathLike) -> dict[str, pathlib.Path]:
    """The folders of exported models in a folder, by the models' names.

    Args:
        folder: A folder of models (`saved_models`), the folder of one model's
            versions, or one version.

    Returns:
        A dict of folders by name, empty if there are none. One version is a folder
        that holds a graph itself.
    """
    folder = pathlib.Path(folder).absolute()
    if holds_graph(folder):
        is_version = version_number(folder.name) is not None
        return {(folder.parent if is_version else folder).name: folder}
    if versions_in(folder):
        return {folder.name: folder}
    children = sorted(child for child in folder.iterdir() if child.is_dir())
    return {child.name: child for child in children if versions_in(child)}


def holds_graph(folder: pathlib.Path) -> bool:
    """Whether a folder is a SavedModel."""
    return any((folder / name).is_file() for name in _GRAPHS)


def versions_in(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The folders of a model's versions by number, whole ones and others."""
    try:
        children = [child for child in folder.iterdir() if child.is_dir()]
    except OSError:
        return {}
    numbers = ((version_number(child.name), child) for child in children)
    return dict(sorted((n, child) for n, child in numbers if n is not None))


def load_text_model(folder: str | os.PathLike) -> Any:
    """A run's translator, a saved text model, a Marian folder, or one of the Hub.

    Args:
        folder: A folder, or a name on the Hugging Face Hub such as
            `"Helsinki-NLP/opus-mt-en-de"`.

    Returns:
        A `kt.Translator`, `kt.TextGenerator` or `kt.TextEncoder`.

    Raises:
        FileNotFoundError: If there is no model; it says what was looked for.
    """
    path = pathlib.Path(folder)
    for place in (whole(path / "translator"), whole(path)):
        for kind in _TEXT_MODELS:
            if (place / kind.settings_file).exists():
                return kind.load(place)
    if [*path.glob("checkpoints/step-*.keras")]:
        raise FileNotFoundError(
            f"folder={str(folder)!r} is a run that hasn't ended, so it has no "
            f"translator yet: keras-transformer train {folder} goes on with it."
        )
    if (path / "config.json").exists() or _is_hub_name(path, str(folder)):
        return load(str(folder))
    raise FileNotFoundError(
        f"folder={str(folder)!r} holds nothing to serve: no SavedModel, no run, no "
        "translator, text generator or encoder, and no Marian checkpoint."
        if path.exists()
        else f"folder={str(folder)!r} doesn't exist, and is no name on the Hugging "
        "Face Hub, such as Helsinki-NLP/opus-mt-en-de."
    )


def _is_hub_name(path, name):
    is_name = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name)
    return bool(is_name) and not path.exists() and not path.parent.exists()
