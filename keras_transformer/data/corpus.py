"""Sentence pairs from files: two aligned files, a TSV, a TMX or a dataset."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

from keras_transformer import arguments
from keras_transformer.data.tmx import read_tmx
from keras_transformer.reading import read_lines

_END = object()


def read_pairs(
    source: str | os.PathLike,
    target: str | os.PathLike | None = None,
    *,
    columns: Sequence[int | str] | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
) -> Iterator[tuple[str, str]]:
    """The sentence pairs of a parallel corpus, one by one.

    Args:
        source: Path of the source sentences, one a line; or, if `target` is None, of a
            TSV or, by its name `.tmx`, a TMX. All may be `.gz`. Or
            `"tfds:NAME:SPLIT:SOURCE:TARGET"`, a dataset of `tensorflow_datasets`, its
            split and two of its features, such as
            `"tfds:ted_hrlr_translate/pt_to_en:train:pt:en"`.
        target: Path of the target sentences, line by line those of `source`.
        columns: The source's and the target's column of a TSV: numbers from 1, the
            first two by default, or names. Names are looked up in the first row, which
            then is no pair.
        source_language: The source's language in a TMX, such as `"en"`, which stands
            for `"en-US"` too.
        target_language: The target's language in a TMX.

    Yields:
        Tuples `(source, target)` of strings. A unit of a TMX without one of the
        languages gives a pair with an empty side.

    Raises:
        TypeError: For a source or a target that is no path, columns that are no
            numbers or names, and languages that are no strings.
        FileNotFoundError: When reading begins, if there is no such file.
        ValueError: For columns without a TSV, for languages without a TMX, and a TMX
            without languages. When reading gets there: a line that isn't UTF-8, a TSV
            row with too few columns, files of different lengths, a `.gz` file that
            isn't whole, XML that isn't well-formed. It names file and line.

    Example:

    >>> for source, target in read_pairs("train.en", "train.de"):
    ...     print(source, "->", target)
    >>> pairs = read_pairs("tatoeba.tsv.gz", columns=(2, 4))
    >>> pairs = read_pairs("memory.tmx", source_language="en", target_language="de")
    """
    paths = {"source": source} | ({} if target is None else {"target": target})
    for name, path in paths.items():
        arguments.path(name, path)
    options_by_corpus(
        [(source, target)],
        columns=columns,
        source_language=source_language,
        target_language=target_language,
    )
    kind = file_kind(source, target)
    if kind == "tmx":
        return read_tmx(source, str(source_language), str(target_language))
    if kind == "tfds":
        return _read_tfds(source)
    if kind == "tsv":
        return _read_tsv(source, checked_columns(columns) or (1, 2))
    return _read_aligned(source, target)


def file_kind(source: str | os.PathLike, target: str | os.PathLike | None) -> str:
    """How `read_pairs` reads a corpus: `"aligned"`, `"tfds"`, `"tmx"` or `"tsv"`."""
    if target is not None:
        return "aligned"
    name = os.fspath(source)
    if name.startswith("tfds:"):
        return "tfds"
    is_tmx = name.lower().removesuffix(".gz").endswith(".tmx")
    return "tmx" if is_tmx else "tsv"


def options_by_corpus(
    paths: Sequence[tuple],
    *,
    columns: Sequence[int | str] | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
) -> list[dict[str, Any]]:
    """Further arguments of `read_pairs` for each of several corpora.

    Columns are for all TSVs among them, languages for all TMXs.

    Args:
        paths: Source and target of each corpus, as `read_pairs` takes them. A source
            that is no path needs no arguments.
        columns: As `read_pairs` takes them.
        source_language: As `read_pairs` takes it.
        target_language: As `read_pairs` takes it.

    Raises:
        TypeError: For an argument of another type.
        ValueError: For one that means nothing, one that no corpus needs, and a TMX
            without languages.
    """
    checked_columns(columns)
    checked_languages(source_language, target_language)
    needed = {
        "columns": ("tsv", columns),
        "source_language": ("tmx", source_language),
        "target_language": ("tmx", target_language),
    }
    kinds = [
        file_kind(source, target) if isinstance(source, (str, os.PathLike)) else None
        for source, target in paths
    ]
    for name, (kind, value) in needed.items():
        if value is not None and kind not in kinds:
            raise ValueError(
                f"{name} is for a {kind.upper()}, and no text is one; received "
                f"{name}={value!r}, texts {paths}."
            )
        if value is None and kind == "tmx" and kind in kinds:
            raise ValueError(
                f"{name} is needed to read a TMX, such as {name}='en'; received "
                f"{name}=None, source={paths[kinds.index(kind)][0]!r}."
            )
    return [
        {
            name: value
            for name, (needed_by, value) in needed.items()
            if kind == needed_by and value is not None
        }
        for kind in kinds
    ]


def checked_columns(columns: Any) -> tuple | None:
    """Two columns of a TSV, numbers from 1 or names; None if there are none.

    Raises:
        TypeError: If they are no numbers or names.
        ValueError: If they aren't two different ones of a kind.
    """
    if columns is None:
        return None
    if isinstance(columns, (str, bytes)) or not isinstance(columns, Sequence):
        raise arguments.ArgumentTypeError(
            "columns must be a pair of numbers, such as (1, 2), or of names; received "
            f"columns={columns!r}."
        )
    names = [isinstance(column, str) for column in columns]
    if len(columns) != 2 or columns[0] == columns[1] or any(names) != all(names):
        raise ValueError(
            "columns must be two different numbers, or two different names, of the "
            f"source's and the target's column; received columns={columns!r}."
        )
    if all(names):
        return tuple(columns)
    return tuple(arguments.integer("columns", column) for column in columns)


def checked_languages(source_language: Any, target_language: Any) -> tuple | None:
    """The languages of a TMX, or None if there are none.

    Raises:
        TypeError: If they are no strings.
        ValueError: If there is one without the other, or they are the same or empty.
    """
    languages = {"source_language": source_language, "target_language": target_language}
    for name, value in languages.items():
        if value is not None and not isinstance(value, str):
            raise arguments.ArgumentTypeError(
                f"{name} must be a string; received {name}={value!r}."
            )
    if source_language is None and target_language is None:
        return None
    if not source_language or not target_language or source_language == target_language:
        raise ValueError(
            "source_language and target_language must be two languages; received "
            f"source_language={source_language!r}, "
            f"target_language={target_language!r}."
        )
    return source_language, target_language


def _read_aligned(source, target):
    pairs = itertools.zip_longest(
        read_lines(source), read_lines(target), fillvalue=_END
    )
    for number, pair in enumerate(pairs):
        if _END in pair:
            shorter, longer = (source, target) if pair[0] is _END else (target, source)
            rest = 1 + sum(1 for _ in pairs)
            raise ValueError(
                "source and target must have the same number of lines, but "
                f"{shorter} has {number} and {longer} has {number + rest}."
            )
        yield pair


def _read_tsv(path, columns):
    rows = enumerate(read_lines(path), start=1)
    if isinstance(columns[0], str):
        columns = _columns_of_names(path, next(rows, (1, ""))[1], columns)
    source, target = (column - 1 for column in columns)
    for number, line in rows:
        cells = line.split("\t")
        if len(cells) < max(columns):
            found = f"{len(cells)} columns" if len(cells) > 1 else "no tab"
            raise ValueError(
                f"{path}, line {number}: {found}. A row of a TSV holds its columns "
                f"with tabs between them, here source and target in columns {columns}; "
                "give two aligned files as source and target."
            )
        yield cells[source], cells[target]


def _columns_of_names(path, header, names):
    """The numbers of the columns that have some names in a TSV's first row."""
    found = header.split("\t")
    for name in names:
        if found.count(name) != 1:
            known = ", ".join(map(repr, found))
            raise ValueError(
                f"{path}, line 1: columns={names!r} must each be the name of one "
                f"column; received {name!r}, and the columns are {known}."
            )
    return tuple(found.index(name) + 1 for name in names)


def _read_tfds(name):
    parts = name.split(":")
    if len(parts) != 5:
        raise ValueError(
            "A dataset must be named tfds:NAME:SPLIT:SOURCE:TARGET; "
            f"received source={name!r}."
        )
    try:
        import tensorflow_datasets
    except ImportError:
        raise ImportError(
            f"{name} needs tensorflow_datasets: pip install tensorflow-datasets"
        ) from None
    _, dataset, split, source, target = parts
    for row in tensorflow_datasets.as_numpy(
        tensorflow_datasets.load(dataset, split=split)
    ):
        yield row[source].decode("utf-8"), row[target].decode("utf-8")
