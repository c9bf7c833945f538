"""The configuration in a run's folder; read without Keras."""

import json
import os
import pathlib
from typing import Any

from keras_transformer.files import check_not_in_file
from keras_transformer.run.config import RunConfig

CONFIG, CHECKPOINTS = "config.json", "checkpoints"
WAY_OUT = "Correct it or copy it from a backup, or train in another folder."


def check_folder(path: str | os.PathLike) -> None:
    """Raises a ValueError for a run's folder that is a file, or in one."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"folder={str(path)!r} is a file; choose another name.")
    check_not_in_file(path)


def has_checkpoint(folder: str | os.PathLike) -> bool:
    """Whether a run's folder holds a checkpoint, whole or not."""
    return any(pathlib.Path(folder, CHECKPOINTS).glob("step-*.keras"))


def read_config(folder: str | os.PathLike) -> RunConfig:
    """The `RunConfig` of a run's folder.

    Raises:
        FileNotFoundError: If the folder has none.
        ValueError: If the file is broken; it is named.
    """
    path = pathlib.Path(folder) / CONFIG
    if not path.exists():
        raise FileNotFoundError(
            f"folder={str(folder)!r} has no {CONFIG}, which says what its checkpoints "
            "are of. Copy it from a backup, or train in another folder."
        )
    try:
        return RunConfig.from_json(read_json(path, dict))
    except (ValueError, TypeError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error} {WAY_OUT}") from None


def read_json(path: pathlib.Path, kind: type) -> Any:
    """What a run's file holds.

    Raises:
        ValueError: If it is no JSON, or of another kind; the file is named.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}. {WAY_OUT}") from None
    if not isinstance(content, kind):
        raise ValueError(
            f"{path} must hold a {kind.__name__}; received {content!r:.60}. {WAY_OUT}"
        )
    return content
