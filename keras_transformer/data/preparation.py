"""Texts -> a folder of token ids, which `PreparedCorpus` opens."""

import hashlib
import itertools
import os
import pathlib
import reprlib
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_transformer import arguments
from keras_transformer.data.corpus import read_pairs
from keras_transformer.data.encoding import PairEncoder
from keras_transformer.data.filters import Filters, SeenHashes, pair_hash
from keras_transformer.data.folder import finish_folder, start_folder
from keras_transformer.data.prepared import CORPUS_FILE, FORMAT, PreparedCorpus
from keras_transformer.data.process import EncoderPool, can_be_shared
from keras_transformer.data.shards import shard_path, whole_shard, write_shard
from keras_transformer.data.tokenizers import checked_tokenizers

if TYPE_CHECKING:
    from keras_transformer.text.any_tokenizer import AnyTokenizer

# Most tokens of a side, where nothing else is said.
MAX_LENGTH = 256
# Pairs of text in a shard; a shard is done again if its process is killed.
PAIRS_PER_SHARD = 1 << 20
_CHUNK = 2048
# Smaller texts are tokenized before another process has started.
_SMALL_BYTES = 1 << 23
_SECONDS_BETWEEN_NOTES = 10


def prepare(
    source: str | os.PathLike | Iterable[tuple[str, str]],
    target: str | os.PathLike | None = None,
    folder: str | os.PathLike | None = None,
    source_tokenizer: "AnyTokenizer | None" = None,
    target_tokenizer: "AnyTokenizer | None" = None,
    *,
    max_length: int = MAX_LENGTH,
    filters: Any = None,
    columns: Sequence[int | str] | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    keep_texts: bool = False,
    processes: int | None = None,
    pairs_per_shard: int = PAIRS_PER_SHARD,
    verbose: int = 1,
) -> PreparedCorpus:
    """Tokenizes a parallel corpus into a folder, once.

    Text is read as a stream, so memory doesn't grow with it. If the process is killed,
    the same call goes on: shards that are whole stay. Where the corpus is whole
    already, it is compared with the texts and returned.

    Args:
        source: Path, TSV or dataset, as `read_pairs` takes it; or an iterable of pairs
            `(source_text, target_text)`, which must be the same if a call goes on.
        target: Path of the target sentences, unless `source` has both.
        folder: The folder to write. It must be new, or of the same call.
        source_tokenizer: The `Tokenizer` of the source, or a tokenizer of KerasHub.
        target_tokenizer: That of the target; `source_tokenizer` if left out.
        max_length: Most tokens of a side, its end token included; pairs with a longer
            side are left out, and counted.
        filters: The `kt.data.Filters` that say which pairs are left out; by default
            none but those with an empty or too long side. Or an object of your own
            with such a method `reason`. It must be one that can be pickled, and
            its `repr` must say all that its answers depend on.
        columns: The source's and the target's column of a TSV, see `read_pairs`.
        source_language: The source's language in a TMX.
        target_language: The target's language in a TMX.
        keep_texts: Whether to keep the texts beside the ids.
        processes: Number of processes that tokenize. By default one for each core, and
            one for small texts. Tokenizers other than SentencePiece's need one.
        pairs_per_shard: Number of pairs of text in a shard, which is what is done again
            if a process is killed.
        verbose: 1 for a line on standard error every ten seconds, 0 for none.

    Returns:
        The `PreparedCorpus`.

    Raises:
        TypeError: For a source that is no path, and a tokenizer that is none or can't
            be saved.
        FileNotFoundError: If a text isn't there.
        ValueError: For a text with an error in it (file and line are named) or with no
            pair that is kept; and if the folder holds something else, or a corpus of
            other texts or settings, which are named.

    Example:

    >>> corpus = kt.data.prepare(
    ...     "train.en", "train.de", "corpora/en-de", source_tokenizer=tokenizer)
    >>> batches = kt.data.make_batches(corpus)
    """
    tokenizers = checked_tokenizers(source_tokenizer, target_tokenizer)
    max_length = arguments.integer("max_length", max_length, minimum=2)
    pairs_per_shard = arguments.integer("pairs_per_shard", pairs_per_shard)
    if processes is not None:
        processes = arguments.integer("processes", processes)
    return prepare_files(
        source,
        target,
        pathlib.Path(arguments.path("folder", folder)),
        tokenizers,
        max_length,
        saved=tokenizers,
        filters=filters,
        reading={
            "columns": columns,
            "source_language": source_language,
            "target_language": target_language,
        },
        keep_texts=arguments.flag("keep_texts", keep_texts),
        processes=processes,
        pairs_per_shard=pairs_per_shard,
        verbose=arguments.integer("verbose", verbose, minimum=0),
    )


def prepare_files(
    source: Any,
    target: Any,
    folder: pathlib.Path,
    tokenizers: tuple,
    max_length: int,
    *,
    saved: tuple = (),
    filters: Any = None,
    reading: dict | None = None,
    keep_texts: bool = False,
    processes: int | None = None,
    pairs_per_shard: int = PAIRS_PER_SHARD,
    verbose: int = 1,
) -> PreparedCorpus:
    """`prepare`, with arguments that are checked and tokenizers that may not be saved.

    Args:
        tokenizers: The source's tokenizer and the target's.
        saved: Those of them that are saved, too.
        reading: Further arguments of `read_pairs`.
    """
    pairs = _pairs(source, target, reading or {})
    encoder = PairEncoder(
        *tokenizers,
        max_length=max_length,
        filters=_checked_filters(filters),
        keep_texts=keep_texts,
    )
    if processes is None:
        processes = _default_processes(source, target)
    if not can_be_shared(encoder):
        processes = 1
    settings = {
        "format": FORMAT,
        "max_length": max_length,
        "filters": _description(encoder.filters),
        "keep_texts": keep_texts,
        "pairs_per_shard": pairs_per_shard,
        "ids": encoder.dtype.str,
    }
    start_folder(folder, settings, saved)
    # Opened before the texts are compared with it: damage is no other text.
    whole = PreparedCorpus(folder) if (folder / CORPUS_FILE).exists() else None
    with EncoderPool(encoder, processes) as pool:
        shards = _write_shards(folder, pairs, pool, pairs_per_shard, verbose)
    if whole is not None:
        return whole
    finish_folder(folder, shards, corpus_name(source))
    return PreparedCorpus(folder)


def corpus_name(source: Any) -> str:
    """What a source of pairs is called in messages: its path, or how it begins."""
    if isinstance(source, PreparedCorpus):
        return str(source.folder)
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return reprlib.repr(source)


def _checked_filters(filters):
    if filters is None:
        return Filters()
    if not callable(getattr(filters, "reason", None)):
        raise arguments.ArgumentTypeError(
            "filters must be a kt.data.Filters, or another object with a method "
            f"reason; received filters={filters!r}."
        )
    return filters


def _description(filters):
    """What says whether filters are those of an earlier call."""
    if isinstance(filters, Filters):
        return filters.to_json() or None
    return repr(filters)


def _pairs(source, target, reading):
    """The pairs of texts in files, or of an iterable."""
    is_path = isinstance(source, (str, os.PathLike))
    if is_path or target is not None or isinstance(source, (bytes, dict)):
        pairs = read_pairs(source, target, **reading)
        check_texts(source, target)
        return pairs
    for name, value in reading.items():
        if value is not None:
            raise ValueError(
                f"{name} is for a file; received {name}={value!r} with pairs of texts."
            )
    if not isinstance(source, Iterable):
        raise TypeError(
            "source must be a path or an iterable of pairs of texts; received "
            f"source={source!r}."
        )
    return _checked_pairs(source)


def check_texts(source: Any, target: Any) -> None:
    """Checks that the files of a corpus are there.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder.
    """
    for name, path in (("source", source), ("target", target)):
        if path is None or str(path).startswith("tfds:"):
            continue
        if not os.path.exists(path):
            raise FileNotFoundError(f"{name}={str(path)!r} isn't there.")
        if os.path.isdir(path):
            raise ValueError(
                f"{name} must be a file; received {name}={str(path)!r}, a folder."
            )


def _checked_pairs(pairs):
    for number, pair in enumerate(pairs):
        sides = list(pair) if isinstance(pair, (tuple, list)) else []
        if len(sides) != 2 or not all(isinstance(side, str) for side in sides):
            raise TypeError(
                f"source must give pairs of texts; received {pair!r} as pair {number}."
            )
        try:
            "".join(sides).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"source must give texts that UTF-8 can hold; received {pair!r} as "
                f"pair {number} ({error.reason})."
            ) from None
        yield sides[0], sides[1]


def _default_processes(source, target):
    """One for each core that this process may use; one for small files."""
    paths = [path for path in (source, target) if isinstance(path, (str, os.PathLike))]
    sizes = [os.path.getsize(path) for path in paths if os.path.exists(path)]
    if not paths or (sizes and sum(sizes) < _SMALL_BYTES):
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write_shards(folder, pairs, pool, pairs_per_shard, verbose):
    """Writes the shards that aren't there; returns the descriptions of all."""
    shards, notes = [], _Notes(verbose)
    seen = SeenHashes() if pool.encoder.hashes else None
    for number in itertools.count():
        path = shard_path(folder, number)
        texts = _Texts(itertools.islice(pairs, pairs_per_shard), notes)
        first = next(texts, None)
        if first is None:
            if path.exists():
                raise _other_texts(folder)
            return shards
        chunks = itertools.chain([first], texts)
        if found := whole_shard(path):
            _remember(chunks, seen)
            if found["texts"] != texts.digest():
                raise _other_texts(folder)
        elif (folder / CORPUS_FILE).exists():
            raise _other_texts(folder)
        else:
            encoded = pool.encoded(chunks)
            if seen is not None:
                encoded = (chunk.without_duplicates(seen) for chunk in encoded)
            found = write_shard(
                path, encoded, texts.digest, keep_texts=pool.encoder.keep_texts
            )
        shards.append(found)


def _remember(chunks, seen):
    """Reads the texts of a shard that is there, for duplicates in later ones.

    Pairs that were left out count, too: so will be the same pair when it comes again.
    """
    for chunk in chunks:
        if seen is not None:
            seen.add(np.array([pair_hash(*pair) for pair in chunk], np.uint64))


class _Texts:
    """An iterator of chunks of pairs that knows the checksum of what it gave."""

    def __init__(self, pairs, notes):
        self._pairs = pairs
        self._notes = notes
        self._digest = hashlib.sha256()

    def __iter__(self):
        return self

    def __next__(self):
        chunk = list(itertools.islice(self._pairs, _CHUNK))
        if not chunk:
            raise StopIteration
        text = "".join(f"{source}\t{target}\n" for source, target in chunk)
        self._digest.update(text.encode("utf-8"))
        self._notes.add(len(chunk))
        return chunk

    def digest(self):
        """The checksum."""
        return self._digest.hexdigest()


class _Notes:
    """Lines on standard error that say how far it is."""

    def __init__(self, verbose):
        self._verbose = verbose
        self._began = self._noted = time.monotonic()
        self._pairs = 0

    def add(self, pairs):
        """Counts pairs that were read."""
        self._pairs += pairs
        now = time.monotonic()
        if self._verbose and now - self._noted >= _SECONDS_BETWEEN_NOTES:
            self._noted = now
            speed = self._pairs / (now - self._began) * 60
            print(
                f"{self._pairs:,} pairs, {speed:,.0f} a minute",
                file=sys.stderr,
                flush=True,
            )


def _other_texts(folder):
    return ValueError(
        f"folder={str(folder)!r} holds a corpus of other texts, or they have changed "
        "since. Use another folder, or remove this one."
    )
