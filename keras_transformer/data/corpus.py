"""Sentence pairs from files: two aligned files, a TSV or a dataset."""

import itertools
import os
from collections.abc import Iterator

from keras_transformer.reading import read_lines

_END = object()


def read_pairs(
    source: str | os.PathLike, target: str | os.PathLike | None = None
) -> Iterator[tuple[str, str]]:
    """The sentence pairs of a parallel corpus, one by one.

    Args:
        source: Path of the source sentences, one a line; or of a TSV with source
            and target in its first two columns, if `target` is None. Plain or `.gz`.
            Or `"tfds:NAME:SPLIT:SOURCE:TARGET"`, a dataset of
            `tensorflow_datasets`, its split and two of its features, such as
            `"tfds:ted_hrlr_translate/pt_to_en:train:pt:en"`.
        target: Path of the target sentences, line by line those of `source`.

    Yields:
        Tuples `(source, target)` of strings.

    Raises:
        TypeError: For a source or a target that is no path.
        FileNotFoundError: When reading begins, if there is no such file.
        ValueError: When reading gets there: a line that isn't UTF-8, a TSV row
            without a tab, files of different lengths, a `.gz` file that isn't whole.
            It names file and line.

    Example:

    >>> for source, target in read_pairs("train.en", "train.de"):
    ...     print(source, "->", target)
    """
    paths = {"source": source} | ({} if target is None else {"target": target})
    for name, path in paths.items():
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"{name} must be a path; received {name}={path!r}.")
    if target is None and str(source).startswith("tfds:"):
        return _read_tfds(source)
    if target is None:
        return _read_tsv(source)
    return _read_aligned(source, target)


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


def _read_tsv(path):
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise ValueError(
                f"{path}, line {number}: no tab. A row of a TSV holds the source, a "
                "tab and the target; give two aligned files as source and target."
            )
        yield columns[0], columns[1]


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
