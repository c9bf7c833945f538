"""A corpus that is tokenized already, in a folder."""

import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_transformer import arguments
from keras_transformer.data.report import CorpusReport
from keras_transformer.data.shards import OFFSET, OpenFiles, check_file, shard_path
from keras_transformer.reading import field, naming, read_json
from keras_transformer.text.loading import load_tokenizer

if TYPE_CHECKING:
    from keras_transformer.text.loading import SavedTokenizer

FORMAT = 1
CORPUS_FILE, SETTINGS_FILE = "corpus.json", "settings.json"
# In the description: the checksum of its other values.
CHECKSUM = "checksum"
ORDER, GROUPS = "order", "groups.npy"
TOKENIZERS = ("source.spm", "target.spm")
_WHAT = "the description of a prepared corpus"
# Larger corpora's contents are checked by `verify`: it takes seconds a gigabyte.
_CHECKED_BYTES = 1 << 28


class PreparedCorpus(Sequence):
    """The pairs of a folder that `kt.data.prepare` wrote, as ids.

    Pair `i` is a tuple of its source's and its target's ids, two int32 arrays without
    special tokens. Pairs are in the order of the texts, those aside that were left
    out. Nothing is held in memory: each pair is read when it is asked for.

    When it is opened, each file's size is checked, and its contents too in corpora of
    up to 256 MB; `verify` checks them in any.

    Args:
        folder: Path of the folder.

    Attributes:
        folder: The path.
        report: The `CorpusReport`.
        max_length: Most tokens of a side that it was prepared with.
        fingerprint: A checksum of all ids and tokenizers.
        has_texts: Whether the texts are kept, too.
        groups: Source length, target length and number of pairs, int64 (n, 3), of the
            pairs sorted by length. End tokens are counted.

    Raises:
        TypeError: If `folder` is no path.
        FileNotFoundError: If the folder holds no such corpus.
        ValueError: If it isn't whole, or a file of it is damaged; it is named.

    Example:

    >>> pairs = [("a dog", "ein Hund"), ("a cat", "eine Katze")]
    >>> corpus = kt.data.prepare(pairs, folder="pets", source_tokenizer=tokenizer)
    >>> corpus = kt.data.PreparedCorpus("pets")
    >>> source_ids, target_ids = corpus[1]
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = pathlib.Path(arguments.path("folder", folder))
        path = self.folder / CORPUS_FILE
        if not path.is_file():
            raise _no_corpus(self.folder)
        self._description = read_json(path, _WHAT)
        version = field(self._description, "format", path, int)
        if version != FORMAT:
            raise ValueError(
                f"{path} must be of format {FORMAT}; received format={version}. It was "
                "written by another version of keras_transformer: install that one, or "
                "prepare the corpus again."
            )
        if self._description.pop(CHECKSUM, None) != checksum(self._description):
            raise ValueError(
                f"{path} isn't what was written: the prepared corpus is damaged. Copy "
                "it again from where it is whole, or prepare it again."
            )
        with naming(path, _WHAT):
            self._read_description()
        self._check_files(self._size <= _CHECKED_BYTES)
        self.groups = np.load(self.folder / GROUPS).astype(np.int64)
        self._files = OpenFiles()

    def _read_description(self):
        content = self._description
        self.report = CorpusReport(**content["report"])
        self.max_length = int(content["max_length"])
        self.has_texts = bool(content["has_texts"])
        self.fingerprint = fingerprint(content)
        self._dtype = np.dtype(content["ids"])
        self._order_dtype = np.dtype(content["order"])
        sizes = [int(shard["pairs"]) for shard in content["shards"]]
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._shards = [
            str(shard_path(self.folder, i)) + os.sep for i in range(len(sizes))
        ]
        self._size = sum(file["bytes"] for _, file in self._all_files())

    def _all_files(self):
        """Yields paths, and sizes with checksums."""
        for name, description in self._description["files"].items():
            yield self.folder / name, description
        for number, shard in enumerate(self._description["shards"]):
            for name, description in shard["files"].items():
                yield shard_path(self.folder, number) / name, description

    def _check_files(self, contents):
        for path, description in self._all_files():
            check_file(path, description, contents=contents)

    def verify(self) -> None:
        """Reads all files and compares their checksums.

        Raises:
            ValueError: If one is damaged; it is named.
        """
        self._check_files(contents=True)

    def __len__(self) -> int:
        return self.report.pairs

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._pair(i) for i in range(len(self))[index]]
        return self._pair(self._checked(index))

    def texts(self, index: int) -> tuple[str, str]:
        """Source and target of a pair as texts.

        Raises:
            ValueError: If the corpus was prepared without `keep_texts`.
        """
        if not self.has_texts:
            raise ValueError(
                f"{self.folder} holds no texts: prepare it with keep_texts=True."
            )
        files = "texts", "text_offsets", np.dtype("u1")
        source, target = self._items(self._checked(index), *files)
        return source.tobytes().decode("utf-8"), target.tobytes().decode("utf-8")

    def lengths(self) -> np.ndarray:
        """Number of ids of each source and its target, int64 (len(self), 2)."""
        parts = [self.shard_lengths(i) for i in range(len(self._shards))]
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)

    def shard_lengths(self, number: int) -> np.ndarray:
        """The lengths of one shard's pairs."""
        return shard_lengths(self.folder, number)

    def indexes_at(self, positions: Iterable[int]) -> np.ndarray:
        """Indexes of the pairs at some positions of the order by length, int64."""
        path = str(self.folder / ORDER)
        read = self._files.read
        found = [read(path, int(i), 1, self._order_dtype)[0] for i in positions]
        return np.array(found, np.int64)

    def read(self, positions: Iterable[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The pairs at some positions of the order by length."""
        return [self._pair(int(index)) for index in self.indexes_at(positions)]

    @functools.cached_property
    def source_tokenizer(self) -> "SavedTokenizer":
        """The tokenizer of the source."""
        return load_tokenizer(self.folder / TOKENIZERS[0])

    @functools.cached_property
    def target_tokenizer(self) -> "SavedTokenizer":
        """The tokenizer of the target, which may be that of the source."""
        path = self.folder / TOKENIZERS[1]
        return load_tokenizer(path) if path.exists() else self.source_tokenizer

    def __repr__(self) -> str:
        return f"PreparedCorpus({str(self.folder)!r})"

    def __reduce__(self):
        return PreparedCorpus, (self.folder,)

    def _checked(self, index):
        found = range(len(self))
        try:
            return found[arguments.integer("index", index, minimum=None)]
        except IndexError:
            raise IndexError(
                f"index must be less than the {len(self):,} pairs of {self.folder}; "
                f"received {index}."
            ) from None

    def _pair(self, index):
        source, target = self._items(index, "ids", "offsets", self._dtype)
        return source.astype(np.int32), target.astype(np.int32)

    def _items(self, index, items, offsets, dtype):
        number = int(np.searchsorted(self._ends, index, "right"))
        shard = self._shards[number]
        first = 2 * (index - (int(self._ends[number - 1]) if number else 0))
        start, middle, end = self._files.read(
            shard + offsets, first, 3, OFFSET
        ).tolist()
        both = self._files.read(shard + items, start, end - start, dtype)
        return both[: middle - start], both[middle - start :]


def load(folder: str | os.PathLike) -> PreparedCorpus:
    """Opens a prepared corpus.

    Args:
        folder: The folder that `kt.data.prepare` wrote.

    Raises:
        FileNotFoundError: If the folder holds no such corpus.
        ValueError: If it isn't whole, or a file of it is damaged; it is named.

    Example:

    >>> corpus = kt.data.prepare("train.en", "train.de", "corpora/1", tokenizer)
    >>> len(kt.data.load("corpora/1")) == len(corpus)
    True
    """
    return PreparedCorpus(folder)


def shard_lengths(folder: pathlib.Path, number: int) -> np.ndarray:
    """Number of ids of each source and its target in a shard, int64 (n, 2)."""
    path = shard_path(folder, number) / "offsets"
    return np.diff(np.fromfile(path, OFFSET).astype(np.int64)).reshape(-1, 2)


def fingerprint(description: dict) -> str:
    """A checksum of what a corpus holds, wherever and whenever it was prepared."""
    files = [shard["files"] for shard in description["shards"]]
    tokenizers = [
        (name, file)
        for name, file in sorted(description["files"].items())
        if name not in (ORDER, GROUPS)
    ]
    return checksum([FORMAT, tokenizers, files])


def checksum(content: Any) -> str:
    """SHA-256 of a value that JSON can express."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _no_corpus(folder):
    if (folder / SETTINGS_FILE).exists():
        return ValueError(
            f"folder={str(folder)!r} holds a corpus that isn't wholly prepared. The "
            "same call of kt.data.prepare, or the same command, goes on with it."
        )
    return FileNotFoundError(
        f"folder={str(folder)!r} holds no prepared corpus: no {CORPUS_FILE} in it."
    )
