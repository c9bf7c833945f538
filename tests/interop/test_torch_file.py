"""PyTorch's files: no more is read than is needed, and nothing of them is run."""

import io
import pickle
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from keras_transformer.interop.torch_file import read_torch_file


class Storage:
    """What a pickle names by its id: so many numbers of a member of the archive."""

    def __init__(self, key, count, kind="FloatStorage"):
        self.saved = ("storage", Name("torch", kind), key, "cpu", count)


class Name:
    """A global of a pickle."""

    def __init__(self, module, name):
        self.text = (module, name)


class Call:
    """A call of a global in a pickle."""

    def __init__(self, module, name, *arguments):
        self.name, self.arguments = Name(module, name), arguments


class Pickler(pickle._Pickler):
    def persistent_id(self, value):
        return value.saved if isinstance(value, Storage) else None

    def save(self, value, *args, **kwargs):
        if isinstance(value, Name):
            self.write(b"c" + "\n".join(value.text).encode() + b"\n")
        elif isinstance(value, Call):
            self.save(value.name)
            self.save(tuple(value.arguments))
            self.write(pickle.REDUCE)
        else:
            super().save(value, *args, **kwargs)


def tensor(storage, offset=0, size=(4,), stride=(1,)):
    arguments = (storage, offset, size, stride, False, None)
    return Call("torch._utils", "_rebuild_tensor_v2", *arguments)


def write(path, tensors, members, compression=zipfile.ZIP_STORED, index=None):
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(tensors)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x/data.pkl", buffer.getvalue() if index is None else index)
        for key, content in members.items():
            archive.writestr(f"x/data/{key}", content)
    return path


NUMBERS = np.arange(16, dtype="float32")


def test_tensors_are_views_of_their_storages(tmp_path):
    tensors = {
        "all": tensor(Storage("0", 16), size=(4, 4), stride=(4, 1)),
        "turned": tensor(Storage("0", 16), size=(4, 4), stride=(1, 4)),
        "last": tensor(Storage("0", 16), offset=15, size=(), stride=()),
        "none": tensor(Storage("1", 0), size=(0, 3), stride=(3, 1)),
        "half": tensor(Storage("2", 4, "HalfStorage")),
    }
    halves = NUMBERS[:4].astype("float16").tobytes()
    members = {"0": NUMBERS.tobytes(), "1": b"", "2": halves}
    found = read_torch_file(write(tmp_path / "x.bin", tensors, members))
    np.testing.assert_array_equal(found["all"], NUMBERS.reshape(4, 4))
    np.testing.assert_array_equal(found["turned"], NUMBERS.reshape(4, 4).T)
    assert found["last"] == 15 and found["none"].shape == (0, 3)
    np.testing.assert_array_equal(found["half"], [0, 1, 2, 3])


@pytest.mark.parametrize(
    "wrong",
    [
        tensor(Storage("empty", 0), size=(1,)),
        tensor(Storage("empty", 0), size=(), stride=()),
        tensor(Storage("0", 16), size=(17,)),
        tensor(Storage("0", 1 << 40), size=(1 << 40,)),
        tensor(Storage("0", 16), offset=16, size=(1,)),
        tensor(Storage("0", 16), offset=-1),
        tensor(Storage("0", 16), stride=(-1,)),
        tensor(Storage("0", 16), stride=(1, 1)),
        tensor(Storage("0", 16), size=("x",)),
        tensor(Storage("nowhere", 16)),
        tensor("no storage"),
        tensor(Storage("0", 16, "ComplexFloatStorage")),
        Call("builtins", "eval", "1/0"),
        Call("torch", "FloatStorage", 7),
        Call("numpy", "load", "x"),
    ],
)
def test_what_is_no_tensor_within_its_storage_is_named(tmp_path, wrong):
    members = {"0": NUMBERS.tobytes(), "empty": b""}
    path = write(tmp_path / "x.bin", {"a": wrong}, members)
    with pytest.raises(ValueError, match="x.bin"):
        read_torch_file(path)


def test_no_more_of_a_storage_is_inflated_than_is_needed(tmp_path):
    # 1 GB of zeros takes 1 MB in an archive; made without holding it.
    path = write(
        tmp_path / "x.bin",
        {"a": tensor(Storage("0", 1 << 28), size=(16,))},
        {"0": b"\0" * (1 << 26)},
        zipfile.ZIP_DEFLATED,
    )
    tracemalloc.start()
    found = read_torch_file(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(found["a"], np.zeros(16))
    assert most < 1 << 22


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"not a pickle",
        b"\x80\x02}r\xff\xff\xff\x7f.",
        b"\x80\x02]q\x00.",
        pickle.dumps({"a": zlib.compress(b"x")})[:-3],
        b"\x80\x04\x8d" + b"\xff" * 8,
        b"(" * 1000 + b".",
    ],
)
def test_a_damaged_index_is_named(tmp_path, index):
    path = write(tmp_path / "x.bin", {}, {}, index=index)
    with pytest.raises(ValueError, match="x.bin"):
        read_torch_file(path)


def test_a_pickle_changes_nothing_of_ours(tmp_path):
    """BUILD would set attributes of what a name stands for."""
    index = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
        b"N}X\x0c\x00\x00\x00__defaults__)s\x86b."
    )
    path = write(tmp_path / "x.bin", {}, {}, index=index)
    with pytest.raises(ValueError, match="x.bin"):
        read_torch_file(path)
    right = {"a": tensor(Storage("0", 16))}
    path = write(tmp_path / "y.bin", right, {"0": NUMBERS.tobytes()})
    assert read_torch_file(path)["a"].shape == (4,)
