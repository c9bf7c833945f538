"""Starts and finishes the folder of a prepared corpus."""

import collections
import dataclasses
import pathlib
import tempfile

import numpy as np

from keras_transformer.data.prepared import (
    CHECKSUM,
    CORPUS_FILE,
    FORMAT,
    GROUPS,
    ORDER,
    SETTINGS_FILE,
    TOKENIZERS,
    PreparedCorpus,
    checksum,
    shard_lengths,
)
from keras_transformer.data.report import CorpusReport, left_out
from keras_transformer.data.shards import (
    SHARD_FILE,
    SHARDS,
    check_file,
    describe,
    write_json,
)
from keras_transformer.files import check_not_in_file, remove, written_aside
from keras_transformer.reading import read_json

_BITS = 32


def start_folder(folder: pathlib.Path, settings: dict, tokenizers: tuple) -> None:
    """Writes what a corpus is made with, or compares it with what is there.

    Args:
        folder: The corpus's folder.
        settings: Dict of what its ids depend on, the texts and tokenizers aside.
        tokenizers: The source's tokenizer and the target's, or none, for a corpus that
            is used at once.

    Raises:
        TypeError: If a tokenizer can't be saved.
        ValueError: If the folder holds something else, or a corpus with other settings.
    """
    settings = {**settings, "tokenizers": _tokenizer_files(tokenizers)}
    path = folder / SETTINGS_FILE
    check_folder(folder)
    if path.exists():
        before = read_json(path, "the settings of a prepared corpus")
        if before == settings or is_begun(folder):
            _compare(folder, before, settings)
            for name, description in settings["tokenizers"].items():
                check_file(folder / name, description, contents=True)
            return
        remove(folder)
    with written_aside(folder) as aside:
        aside.mkdir()
        _save_tokenizers(aside, tokenizers)
        write_json(aside / SETTINGS_FILE, settings)


def check_folder(folder: pathlib.Path) -> None:
    """Checks that a corpus can be written in a folder.

    Raises:
        ValueError: If it is a file, is in a file, or holds something else.
    """
    if (folder / SETTINGS_FILE).exists():
        return
    check_not_in_file(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"folder={str(folder)!r} holds something else than a prepared corpus; "
            "choose another folder."
        )


def is_begun(folder: pathlib.Path) -> bool:
    """Whether a folder has a part of a corpus; without one it binds to nothing."""
    shards = (folder / SHARDS).glob(f"*/{SHARD_FILE}")
    return (folder / CORPUS_FILE).exists() or any(shards)


def finish_folder(folder: pathlib.Path, shards: list[dict], source: str) -> None:
    """Sorts the pairs by length and writes the description of the whole corpus.

    Args:
        folder: The corpus's folder.
        shards: What each shard says of itself.
        source: The texts' name, for the words of an error.

    Raises:
        ValueError: If no pair is kept.
    """
    settings = read_json(folder / SETTINGS_FILE, "the settings of a prepared corpus")
    dropped: collections.Counter[str] = collections.Counter()
    for shard in shards:
        dropped.update(shard["dropped"])
    pairs = sum(shard["pairs"] for shard in shards)
    if not pairs:
        # So that the same folder takes a call with other settings.
        remove(folder / SHARDS)
        raise ValueError(
            f"source={source!r} holds no pair to train on: "
            f"{left_out(dropped, _too_long(settings))}."
        )
    groups = _groups(folder, len(shards))
    with written_aside(folder / GROUPS) as aside:
        with open(aside, "wb") as file:
            np.save(file, groups)
    dtype = np.dtype("<u4" if pairs < 1 << 32 else "<u8")
    with written_aside(folder / ORDER) as aside:
        _write_order(aside, folder, len(shards), groups, dtype)
    names = [ORDER, GROUPS, *settings["tokenizers"]]
    report = CorpusReport(
        pairs=pairs,
        longest=int(groups[:, :2].max()),
        source_tokens=int(groups[:, 0] @ groups[:, 2]),
        target_tokens=int(groups[:, 1] @ groups[:, 2]),
        dropped=dict(dropped),
    )
    content = {
        "format": FORMAT,
        "report": dataclasses.asdict(report),
        "max_length": settings["max_length"],
        "has_texts": settings["keep_texts"],
        "ids": settings["ids"],
        "order": dtype.str,
        "files": {name: describe(folder / name) for name in names},
        "shards": [
            {name: shard[name] for name in ("pairs", "files")} for shard in shards
        ],
    }
    with written_aside(folder / CORPUS_FILE) as aside:
        write_json(aside, {**content, CHECKSUM: checksum(content)})


def check_tokenizers(corpus: PreparedCorpus, tokenizers: tuple) -> None:
    """Checks that tokenizers are those that a `PreparedCorpus` was made with.

    Raises:
        ValueError: If they are others.
    """
    path = corpus.folder / SETTINGS_FILE
    settings = read_json(path, "the settings of a prepared corpus")
    if settings.get("tokenizers") != _tokenizer_files(tokenizers):
        raise ValueError(
            "source_tokenizer and target_tokenizer must be those that the corpus was "
            f"prepared with; received others for {corpus.folder}. Leave them out."
        )


def _too_long(settings):
    return f"longer than max_length={settings['max_length']} tokens"


def _tokenizer_files(tokenizers):
    """Sizes and checksums of the files that tokenizers are saved to."""
    with tempfile.TemporaryDirectory() as scratch:
        return _save_tokenizers(pathlib.Path(scratch), tokenizers)


def _save_tokenizers(folder, tokenizers):
    """Saves tokenizers; returns the sizes and checksums of their files."""
    if tokenizers and tokenizers[0] is tokenizers[-1]:
        tokenizers = tokenizers[:1]
    for name, tokenizer in zip(TOKENIZERS, tokenizers):
        if not hasattr(tokenizer, "save"):
            raise TypeError(
                f"{name.removesuffix('.spm')}_tokenizer must be one that can be saved; "
                f"received {tokenizer!r}, which has no save."
            )
        tokenizer.save(folder / name)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): describe(path) for path in paths}


def _compare(folder, before, now):
    changed = [
        f"{name}: {before.get(name)!r} before, {value!r} now"
        if name != "tokenizers"
        else "tokenizers"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if changed:
        raise ValueError(
            f"folder={str(folder)!r} holds a corpus that was prepared with other "
            f"settings. Use another folder, or remove this one. Different are "
            f"{'; '.join(changed)}."
        )


def _groups(folder, shards):
    """Source length, target length and number of pairs, sorted; int64 (n, 3)."""
    counts = collections.Counter()
    for number in range(shards):
        found = np.unique(_keys(shard_lengths(folder, number) + 1), return_counts=True)
        counts.update(dict(zip(*(part.tolist() for part in found))))
    keys = np.array(sorted(counts), np.int64)
    numbers = [counts[key] for key in keys.tolist()]
    return np.stack([keys >> _BITS, keys & ((1 << _BITS) - 1), numbers], axis=1)


def _write_order(path, folder, shards, groups, dtype):
    """Writes the pairs' indexes, sorted by length, those of a group by index."""
    keys = _keys(groups)
    free = np.cumsum(groups[:, 2]) - groups[:, 2]
    order = np.memmap(path, dtype, "w+", shape=int(groups[:, 2].sum()))
    first = 0
    for number in range(shards):
        own = np.searchsorted(keys, _keys(shard_lengths(folder, number) + 1))
        by_group = np.argsort(own, kind="stable")
        counts = np.bincount(own, minlength=len(keys))
        begins = np.cumsum(counts) - counts
        within = np.arange(len(own)) - np.repeat(begins, counts)
        order[np.repeat(free, counts) + within] = first + by_group
        free += counts
        first += len(own)
    order.flush()


def _keys(lengths):
    """Both lengths of pairs in one number, which sorts as they do."""
    return lengths[:, 0] << _BITS | lengths[:, 1]
