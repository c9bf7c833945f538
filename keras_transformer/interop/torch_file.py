"""PyTorch's checkpoint files, read without PyTorch and without running their code."""

import collections
import io
import os
import pickle
import pickletools
import zipfile

import ml_dtypes
import numpy as np

from keras_transformer.reading import existing, naming

_DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# Names and shapes alone: that of the largest models has some hundred thousand.
_MOST_INDEX_BYTES = 1 << 26
_WHAT = "a checkpoint of PyTorch 1.6 or later"
_REMEDY = "If it is whole, write it anew with torch.save or as safetensors."


def read_torch_file(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the tensors of a `.bin` or `.pt` file that `torch.save` wrote.

    The file holds a pickle. Only what names tensors in it is followed; anything that
    would call other code is refused. Of each storage no more is read than its tensors
    need.

    Args:
        path: Path of the file.

    Returns:
        A dict of NumPy arrays by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, of PyTorch's format before version 1.6, or
            holds something else than tensors.
    """
    with naming(existing(path, _WHAT), _WHAT, _REMEDY):
        with zipfile.ZipFile(path) as archive:
            found = [n for n in archive.namelist() if n.endswith("/data.pkl")]
            if len(found) != 1:
                raise ValueError(f"it has {len(found)} data.pkl, not one")
            index = _read(archive, found[0], _MOST_INDEX_BYTES + 1)
            if len(index) > _MOST_INDEX_BYTES:
                raise ValueError("its data.pkl is larger than any list of tensors")
            _check_memo(index)
            folder = found[0].removesuffix("data.pkl")
            tensors = _Unpickler(index, archive, folder).load()
        if not isinstance(tensors, dict):
            raise ValueError(f"it holds a {type(tensors).__name__}, no named tensors")
        return {n: v for n, v in tensors.items() if isinstance(v, np.ndarray)}


def _read(archive, name, count):
    """The first `count` bytes of a member: what lies behind isn't inflated."""
    with archive.open(name) as file:
        return file.read(count)


def _check_memo(index):
    """Refuses a pickle that reserves memory for more objects than it can have."""
    for opcode, argument, _ in pickletools.genops(index):
        if opcode.name.endswith("PUT") and int(argument or 0) > len(index):
            raise ValueError(f"its data.pkl numbers an object {argument}")


class _Storage:
    """The numbers behind tensors, read as far as a tensor needs them."""

    def __init__(self, archive, name, dtype):
        self._archive, self._name, self._dtype = archive, name, np.dtype(dtype)
        self._numbers = np.empty(0, dtype)

    def numbers(self, count):
        if count > len(self._numbers):
            size = self._dtype.itemsize
            if count * size > self._archive.getinfo(self._name).file_size:
                raise pickle.UnpicklingError("a tensor lies outside of its storage")
            content = _read(self._archive, self._name, count * size)
            if len(content) < count * size:
                raise pickle.UnpicklingError(f"its {self._name} is cut short")
            self._numbers = np.frombuffer(content, self._dtype)
        return self._numbers


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a file of tensors needs."""

    def __init__(self, index, archive, folder):
        super().__init__(io.BytesIO(index))
        self._archive, self._folder, self._storages = archive, folder, {}

    def find_class(self, module, name):
        # Methods, whose attributes a pickle can't set.
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return self._rebuild_parameter
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(
            f"the file wants to run {module}.{name}, which is no tensor; refused"
        )

    def persistent_load(self, saved_id):
        _, kind, key, _, _ = saved_id
        if (kind, key) not in self._storages:
            name = f"{self._folder}data/{key}"
            self._storages[kind, key] = _Storage(self._archive, name, _DTYPES[kind])
        return self._storages[kind, key]

    def _rebuild_tensor(self, storage, offset, size, stride, *_):
        if len(size) != len(stride) or min((0, offset, *size, *stride)) < 0:
            raise pickle.UnpicklingError("a tensor lies outside of its storage")
        if 0 in size:
            return np.empty(size, storage.numbers(0).dtype)
        extent = sum((length - 1) * step for length, step in zip(size, stride))
        numbers = storage.numbers(offset + extent + 1)
        strides = [step * numbers.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(
            numbers[offset:], size, strides, writeable=False
        )

    def _rebuild_parameter(self, tensor, requires_grad, hooks):
        return tensor
