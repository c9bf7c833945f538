"""A checkpoint's files: from a folder or the Hugging Face Hub, whole or in shards."""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import safetensors.numpy

from keras_transformer.interop.torch_file import read_torch_file
from keras_transformer.reading import existing, field, naming, read_json

WEIGHTS = "model.safetensors", "pytorch_model.bin"
_INDEX = ".index.json"
_SHARDS = "model-*.safetensors", "pytorch_model-*.bin"
_REMEDY = "Download it again."


def local_folder(folder: str | os.PathLike, patterns: Iterable[str]) -> pathlib.Path:
    """The path of a checkpoint's folder, downloaded if it is a name on the Hub.

    Args:
        folder: Path of a folder, or a name on the Hugging Face Hub.
        patterns: Names of the files to download beside the weights.

    Raises:
        FileNotFoundError: If the folder isn't there and can't be downloaded.
    """
    path = pathlib.Path(folder)
    if path.is_dir():
        return path
    patterns = [*patterns, *WEIGHTS, *(name + _INDEX for name in WEIGHTS), *_SHARDS]
    wanted = (
        f"Download the repository's files ({', '.join(patterns)}) on a machine with a "
        "network, put them into one folder and pass its path."
    )
    if path.exists():
        raise FileNotFoundError(f"folder={str(folder)!r} is a file. {wanted}")
    if str(folder).count("/") != 1 or path.is_absolute():
        raise FileNotFoundError(f"folder={str(folder)!r} isn't there. {wanted}")
    try:
        import huggingface_hub
    except ImportError:
        raise FileNotFoundError(
            f"folder={str(folder)!r} isn't there, and to download it from the Hugging "
            "Face Hub huggingface_hub is missing: pip install "
            f"keras-transformer-kit[hub]. Or: {wanted}"
        ) from None
    try:
        found = huggingface_hub.snapshot_download(str(folder), allow_patterns=patterns)
    except Exception as error:
        raise FileNotFoundError(
            f"{folder} can't be downloaded from the Hugging Face Hub: "
            f"{str(error).rstrip('. ')}. {wanted}"
        ) from error
    return pathlib.Path(found)


def read_tensors(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, np.ndarray]]:
    """The tensors of a checkpoint, from one file or from the shards of an index.

    Returns:
        A tuple of the path of the weights, for messages, and a dict of NumPy arrays by
        name.

    Raises:
        FileNotFoundError: If there are no weights, or a shard is missing.
        ValueError: If a file is cut short, damaged, or not what its name says.
    """
    for name in WEIGHTS:
        path, index = folder / name, folder / (name + _INDEX)
        if path.exists():
            return path, _read_file(path)
        if index.exists():
            return index, _read_shards(index)
    names = [name + end for name in WEIGHTS for end in ("", _INDEX)]
    raise FileNotFoundError(f"{folder} holds no weights: none of {', '.join(names)}.")


def _read_file(path):
    existing(path, "the weights of a checkpoint")
    if path.suffix == ".bin":
        return read_torch_file(path)
    with naming(path, "safetensors, it may be truncated", _REMEDY):
        return safetensors.numpy.load_file(path)


def _read_shards(index):
    """The tensors of all files that an index names, each from the file it names."""
    names = field(
        read_json(index, "the index of a checkpoint"), "weight_map", index, dict
    )
    shards, tensors = {}, {}
    for tensor, file in names.items():
        # A plain name: no file outside of the folder is read.
        if not isinstance(file, str) or pathlib.PurePath(file).name != file:
            raise ValueError(
                f"{index}: weight_map must name files beside it; received {file!r} for "
                f"{tensor!r}."
            )
        if file not in shards:
            shards[file] = _read_file(index.with_name(file))
        if tensor not in shards[file]:
            raise ValueError(
                f"{index.with_name(file)} has no tensor {tensor!r}, which {index.name} "
                f"says it has. {_REMEDY}"
            )
        tensors[tensor] = shards[file][tensor]
    return tensors


class Tensors:
    """The tensors of a checkpoint, taken one by one, each checked.

    Args:
        path: Path of the weights, for messages.
        tensors: Dict of NumPy arrays by name.
        config: Name of the file that the shapes follow from.
    """

    def __init__(
        self, path: pathlib.Path, tensors: Mapping[str, np.ndarray], config: str
    ) -> None:
        self._path, self._left, self._config = path, dict(tensors), config

    def __contains__(self, name):
        return name in self._left

    def take(self, name: str, shape: Iterable[int]) -> np.ndarray:
        """A tensor as float32 of this shape.

        Raises:
            ValueError: If it is missing, of another shape, not of floats, or has
                values that aren't finite.
        """
        if name not in self._left:
            raise ValueError(
                f"{self._path} has no tensor {name!r}, which the model needs."
            )
        tensor, shape = self._left.pop(name), tuple(shape)
        if tensor.shape != shape:
            raise ValueError(
                f"{self._path}: tensor {name!r} has the shape {tensor.shape}, but "
                f"{self._config} asks for {shape}."
            )
        # bfloat16 is no subtype of NumPy's own.
        if not (np.issubdtype(tensor.dtype, np.floating) or tensor.dtype.kind == "V"):
            raise ValueError(
                f"{self._path}: tensor {name!r} must be of floats; received dtype "
                f"{tensor.dtype}."
            )
        tensor = tensor.astype("float32")
        if not np.isfinite(tensor).all():
            raise ValueError(
                f"{self._path}: tensor {name!r} has values that aren't finite. "
                f"{_REMEDY}"
            )
        return tensor

    def check_all_taken(self, but: Callable[[str], bool] = lambda name: False) -> None:
        """Raises a ValueError if tensors are left that no part of the model takes."""
        if left := sorted(name for name in self._left if not but(name)):
            raise ValueError(
                f"{self._path} has tensors that no part of the model takes: "
                f"{left[:5]}. {self._config} may be another model's."
            )
