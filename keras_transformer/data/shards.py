"""The files of a prepared corpus.

A corpus is a folder:

    corpus.json             report, sizes and checksums; written last
    settings.json           what it is made with; written first
    source.spm, target.spm  tokenizers, as their `save` writes them
    order                   all pairs' indexes, sorted by source and target length
    groups.npy              source length, target length, number of pairs
    shards/00000/           the first pairs
        ids                 ids of each source and its target, one after another
        offsets             where each source and each target begins in `ids`
        texts, text_offsets the same of the texts in UTF-8, if they are kept
        shard.json          numbers and checksums

Numbers are little-endian. Ids are uint16 or uint32, the order is uint32 or uint64,
offsets are uint64. Special tokens aren't stored. The lengths of `groups.npy` count
the end token.

Files are read by position and not mapped into memory: pages that are mapped count as
the process's memory, and reading in a random order maps all of them.
"""

import collections
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from keras_transformer.files import file_fingerprint, written_aside
from keras_transformer.reading import read_json

if TYPE_CHECKING:
    from keras_transformer.data.encoding import EncodedPairs

OFFSET = np.dtype("<u8")
SHARDS, SHARD_FILE = "shards", "shard.json"
_MOST_OPEN = 256


def shard_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Path of a shard."""
    return folder / SHARDS / f"{number:05d}"


def write_shard(
    path: pathlib.Path,
    encoded: "Iterable[EncodedPairs]",
    text_digest: Callable[[], str],
    *,
    keep_texts: bool,
) -> dict:
    """Writes a shard, aside first.

    Args:
        path: Its path.
        encoded: Iterable of `EncodedPairs`; each is written before the next is asked
            for.
        text_digest: Function without arguments that is called at the end. It gives a
            checksum of the texts that the shard was made of.
        keep_texts: Whether the pairs have their texts.

    Returns:
        The shard's description, as `whole_shard` reads it.
    """
    pairs, dropped = 0, collections.Counter[str]()
    with written_aside(path) as aside:
        aside.mkdir()
        with contextlib.ExitStack() as stack:
            kinds = [_Items(stack, aside, "ids", "offsets")]
            if keep_texts:
                kinds.append(_Items(stack, aside, "texts", "text_offsets"))
            for chunk in encoded:
                kinds[0].add(chunk.ids, chunk.lengths)
                if keep_texts:
                    kinds[1].add(chunk.texts, chunk.text_lengths)
                pairs += len(chunk.lengths) // 2
                dropped.update(chunk.dropped)
        content = {
            "pairs": pairs,
            "dropped": dropped,
            "files": {name: file for items in kinds for name, file in items.files()},
            "texts": text_digest(),
        }
        write_json(aside / SHARD_FILE, content)
    return content


def whole_shard(path: pathlib.Path) -> dict | None:
    """The description of a shard, or None if it isn't there or isn't whole."""
    try:
        found = read_json(path / SHARD_FILE, "the description of a shard")
        if not {"pairs", "dropped", "files", "texts"} <= found.keys():
            return None
        for name, description in found["files"].items():
            check_file(path / name, description, contents=False)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return found


def write_json(path: pathlib.Path, content: dict) -> None:
    """Writes a file of this format."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


class _Items:
    """Two files that are written at once: items, and where each of them begins."""

    def __init__(self, stack, folder, *names):
        self._names = names
        self._files = [stack.enter_context(open(folder / name, "wb")) for name in names]
        self._digests = [hashlib.sha256() for _ in names]
        self._sizes = [0, 0]
        self._end = 0
        self._write(1, np.zeros(1, OFFSET))

    def add(self, items, lengths):
        """Appends some items."""
        self._write(0, items)
        self._write(1, (self._end + np.cumsum(lengths)).astype(OFFSET))
        self._end += len(items)

    def files(self):
        """Pairs of name, and size and checksum."""
        for name, size, digest in zip(self._names, self._sizes, self._digests):
            yield name, {"bytes": size, "sha256": digest.hexdigest()}

    def _write(self, which, numbers):
        content = numbers.tobytes()
        self._files[which].write(content)
        self._digests[which].update(content)
        self._sizes[which] += len(content)


def describe(path: pathlib.Path) -> dict:
    """Size and checksum of a file."""
    return {"bytes": path.stat().st_size, "sha256": file_fingerprint(path)}


def check_file(path: pathlib.Path, description: dict, *, contents: bool) -> None:
    """Checks that a file is what was written.

    Args:
        path: Its path.
        description: Its size and checksum.
        contents: Whether to look at its contents, or at its size alone.

    Raises:
        ValueError: If it is missing, cut short or altered; it is named.
    """
    if not path.is_file():
        found = "is missing"
    elif (size := path.stat().st_size) != description["bytes"]:
        found = f"has {size:,} bytes and not {description['bytes']:,}"
    elif contents and describe(path) != description:
        found = "has another checksum than when it was written"
    else:
        return
    raise ValueError(
        f"{path} {found}: the prepared corpus is damaged. Copy it again from where it "
        "is whole, or remove the folder and prepare it again."
    )


class OpenFiles:
    """Reads parts of many files, of which only some are open at a time.

    It may be used by several threads.
    """

    def __init__(self) -> None:
        self._open = functools.lru_cache(_MOST_OPEN)(_Descriptor)

    def read(self, path: str, first: int, count: int, dtype: np.dtype) -> np.ndarray:
        """`count` numbers of a file from the `first` on.

        Raises:
            ValueError: If the file ends before them.
        """
        size = dtype.itemsize
        content = self._open(path).read(first * size, count * size)
        if len(content) != count * size:
            raise ValueError(
                f"{path} is cut short: it ends before byte {(first + count) * size:,}. "
                "Copy the corpus again, or prepare it again."
            )
        return np.frombuffer(content, dtype)


class _Descriptor:
    """An open file, closed when nobody uses it any more."""

    def __init__(self, path):
        self._number = None
        self._number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()

    def read(self, position, size):
        if hasattr(os, "pread"):
            return os.pread(self._number, size, position)
        with self._lock:
            os.lseek(self._number, position, os.SEEK_SET)
            return os.read(self._number, size)

    def __del__(self):
        if self._number is not None:
            os.close(self._number)
