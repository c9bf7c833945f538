"""A command's translator: a run, a saved translator, or a model of another library."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING

from keras_transformer.cli.library import library
from keras_transformer.files import whole
from keras_transformer.run.config_file import has_checkpoint

if TYPE_CHECKING:
    from keras_transformer.tasks.translator import Translator

HELP = (
    "a run, a saved translator, a Marian folder, or a Marian model's name on the "
    "Hugging Face Hub"
)


def load_translator(name: str) -> Translator:
    """The `kt.Translator` that a command is given.

    Args:
        name: Folder of a run or a saved translator; or what `kt.interop.load` takes.

    Raises:
        FileNotFoundError: If there is none; before Keras is imported.
        ValueError: If it can't be read; the file is named.
    """
    folder = whole(pathlib.Path(name))
    inside = whole(folder / "translator")
    own = inside if inside.exists() else folder
    is_own = (own / "translator.json").exists()
    if not is_own:
        _check_foreign(name, folder)
    library()
    if is_own:
        from keras_transformer.tasks.translator import Translator

        return Translator.load(own)
    from keras_transformer.interop import load

    return load(name)


def _check_foreign(name, folder):
    """Raises a FileNotFoundError for what can't be another library's model."""
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


def _is_run(path):
    """Whether a `config.json` is that of a run, which other models' aren't."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(config, dict) and "source" in config
