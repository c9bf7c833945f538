"""PyTorch's checkpoint files, read without PyTorch and without running their code."""

import collections
import pickle
import zipfile

import ml_dtypes
import numpy as np

_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "BoolStorage": np.bool_,
}


def read_torch_file(path):
    """Reads the tensors of a `.bin` or `.pt` file that `torch.save` wrote.

    The file holds a pickle. Only what names tensors in it is followed; anything that
    would call other code is refused.

    Args:
        path: Path of the file.

    Returns:
        A dict of NumPy arrays by name.

    Raises:
        ValueError: If the file is truncated, of PyTorch's format before version 1.6, or
            holds something else than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (index,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
            folder = index.removesuffix("data.pkl")
            with archive.open(index) as file:
                tensors = _Unpickler(file, archive, folder).load()
    except (zipfile.BadZipFile, EOFError, KeyError, OSError) as error:
        raise ValueError(
            f"{path} can't be read as a checkpoint of PyTorch 1.6 or later: {error}. "
            "If it is whole, write it anew with torch.save or as safetensors."
        ) from None
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(tensors, dict):
        raise ValueError(f"{path} holds a {type(tensors).__name__}, not named tensors.")
    return {n: v for n, v in tensors.items() if isinstance(v, np.ndarray)}


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a file of tensors needs."""

    def __init__(self, file, archive, folder):
        super().__init__(file)
        self._archive, self._folder = archive, folder

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, requires_grad, hooks: tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(
            f"the file wants to run {module}.{name}, which is no tensor; refused"
        )

    def persistent_load(self, saved_id):
        _, dtype, key, _, _ = saved_id
        return np.frombuffer(self._archive.read(f"{self._folder}data/{key}"), dtype)


def _rebuild_tensor(storage, offset, size, stride, *_):
    extent = sum((length - 1) * step for length, step in zip(size, stride))
    if min((0, offset, *size, *stride)) < 0 or offset + extent >= max(storage.size, 1):
        raise pickle.UnpicklingError("a tensor lies outside of its storage")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(
        storage[offset:], size, strides, writeable=False
    )
