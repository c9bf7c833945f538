"""Which pairs are in which batch: a pure function of the seed and the batch's number.

The pairs of a corpus are put into cells. All pairs of a cell have about the same source
length and the same target length, so they share a batch's shape. A cell's pairs are
permuted anew in each epoch, and so are the batches of all cells. Cells are as large as
the corpus lets them be, so each epoch has the same number of batches, and batch n of a
run is found without those before it.

What makes batches takes any `Order`, such as one that mixes several corpora.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from keras_transformer.data.permutation import Permutation

if TYPE_CHECKING:
    from keras_transformer.data.prepared import PreparedCorpus

# A cell narrower than its bucket needs so many batches, or such a share of all of them.
_LEAST_BATCHES, _LEAST_SHARE = 2, 0.002
# The most by which a batch's rest gets wider to join the next bucket.
WIDEST_STEP = 1.5
# What a permutation is of: all batches, or the cell of that index.
_BATCHES = -2
# Columns of spans.
_START, _COUNT, _SOURCE, _TARGET = range(4)


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a batch, before their ids are read.

    Attributes:
        corpus: Index of each row's corpus among the order's `corpora`, int64 (B,).
        positions: Where that corpus's own order by length has it, int64 (B,); what
            `PreparedCorpus.read` and `PreparedCorpus.indexes_at` take.
        source_lengths: Tokens of each source, its end token included, int64 (B,).
        target_lengths: Those of each target.
        source_width: Length that the sources are padded to.
        target_width: That of the targets.
        epoch: Number of the epoch.
    """

    corpus: np.ndarray
    positions: np.ndarray
    source_lengths: np.ndarray
    target_lengths: np.ndarray
    source_width: int
    target_width: int
    epoch: int

    def __len__(self) -> int:
        return len(self.positions)


class Order:
    """What batches are made from: cells of pairs whose batches share a shape.

    Subclasses set `corpora`, `pairs`, `shares`, and by `_set` the cells.

    Attributes:
        corpora: Tuple of `PreparedCorpus`.
        batches_per_epoch: Number of batches of an epoch, the same for all epochs.
        pairs: Number of pairs of an epoch.
        shares: The share of them that each corpus has.
    """

    corpora: "tuple[PreparedCorpus, ...]"
    batches_per_epoch: int
    pairs: int
    shares: list[float]

    def _set(self, cells, seed):
        self._cells, self._seed = cells, seed
        self._ends = np.cumsum([cell.batches for cell in cells], dtype=np.int64)
        self.batches_per_epoch = int(self._ends[-1]) if cells else 0

    @property
    def padding_share(self) -> float:
        """Share of an epoch's ids that are padding."""
        ids = sum(
            cell.size * (cell.source_width + cell.target_width) for cell in self._cells
        )
        return 1 - sum(cell.tokens for cell in self._cells) / max(ids, 1)

    def rows(self, number: int) -> Rows:
        """The rows of batch `number`, counted from the start over all epochs.

        They don't depend on what was asked before.
        """
        size = self.batches_per_epoch
        epoch, index = divmod(number, size)
        if self._seed is not None:
            index = int(Permutation(size, self._seed, epoch, _BATCHES)([index])[0])
        which = int(np.searchsorted(self._ends, index, "right"))
        cell = self._cells[which]
        first = (index - (int(self._ends[which]) - cell.batches)) * cell.rows
        ranks = range(first, min(first + cell.rows, cell.size))
        corpus, positions, source, target = self._rows_of(which, ranks, epoch)
        widths = cell.source_width, cell.target_width
        return Rows(corpus, positions, source, target, *widths, epoch)

    def _rows_of(self, which, ranks, epoch):
        """Corpora, positions and both lengths of some of a cell's rows of an epoch."""
        raise NotImplementedError


class CorpusOrder(Order):
    """The batches of one corpus.

    Args:
        corpus: A `PreparedCorpus`.
        tokens_per_batch: Most tokens of a batch on either side, padding included.
        max_length: Most tokens of a side; longer pairs are left out.
        seed: Seed of the order, or None for the same order in each epoch, by length.
        groups: The corpus's `groups`, with the lengths that batches need space for;
            its own if left out.

    Attributes:
        pairs: Number of pairs of an epoch.
    """

    def __init__(
        self,
        corpus: "PreparedCorpus",
        tokens_per_batch: int,
        max_length: int,
        seed: int | None = 0,
        groups: np.ndarray | None = None,
    ) -> None:
        self.corpora = (corpus,)
        self.shares = [1.0]
        spans = _spans(corpus.groups if groups is None else groups)
        spans = spans[spans[:, _SOURCE:].max(axis=1, initial=0) <= max_length]
        self.pairs = int(spans[:, _COUNT].sum())
        longest = int(spans[:, _SOURCE:].max(initial=0))
        boundaries = bucket_lengths(min(max_length, longest), tokens_per_batch)
        self._set(_cells(spans, np.array(boundaries), tokens_per_batch), seed)

    def _rows_of(self, which, ranks, epoch):
        cell, chosen = self._cells[which], np.array(ranks)
        if self._seed is not None:
            chosen = Permutation(cell.size, self._seed, epoch, which)(chosen)
        return np.zeros(len(chosen), np.int64), *cell.lookup(chosen)


class _Cell:
    """Pairs that share the shape of their batches."""

    def __init__(self, spans, source_width, target_width, rows):
        self.source_width, self.target_width = int(source_width), int(target_width)
        self.rows = int(rows)
        self._spans = spans
        self._ends = np.cumsum(spans[:, _COUNT])
        self.size = int(self._ends[-1])
        self.batches = -(-self.size // self.rows)
        self.tokens = int((spans[:, _COUNT, None] * spans[:, _SOURCE:]).sum())

    def lookup(self, chosen):
        """Positions in the corpus, source lengths and target lengths of its pairs."""
        which = np.searchsorted(self._ends, chosen, "right")
        start, count, source, target = self._spans[which].T
        return start + chosen - (self._ends[which] - count), source, target


def _spans(groups):
    """Start, count, source and target length of runs of pairs that are alike."""
    counts = groups[:, 2].astype(np.int64)
    starts = np.cumsum(counts) - counts
    return np.stack([starts, counts, groups[:, 0], groups[:, 1]], 1).astype(np.int64)


def _cells(spans, boundaries, tokens_per_batch):
    """The cells of an epoch, from the shortest bucket to the longest."""
    rows = tokens_per_batch // boundaries
    widths = np.searchsorted(boundaries, spans[:, _SOURCE:])
    buckets = widths.max(axis=1, initial=0)
    expected = (spans[:, _COUNT] / rows[buckets]).sum()
    least = least_batches(expected)
    populated = np.unique(buckets)
    cells, rest = [], spans[:0]
    for i, bucket in enumerate(populated):
        inside = buckets == bucket
        narrow, wide = _narrow_cells(
            spans[inside], widths[inside], bucket, boundaries, rows[bucket], least
        )
        cells += narrow
        wide = np.concatenate([rest, wide])
        following = populated[i + 1 : i + 2]
        own = _size(wide)
        left = own % rows[bucket]
        if (
            following.size
            and 2 * left < rows[bucket]
            and boundaries[following[0]] <= WIDEST_STEP * boundaries[bucket]
        ):
            own -= left
        wide, rest = _split(wide, own)
        if own:
            width = boundaries[bucket]
            cells.append(_Cell(wide, width, width, rows[bucket]))
    return cells


def _narrow_cells(spans, widths, bucket, boundaries, rows, least):
    """Cells of a bucket's pairs with one side much shorter, and the other pairs.

    They hold whole batches. What is left over goes to the next wider cell.
    """
    cells, others = [], []
    for side in (0, 1):
        left = spans[:0]
        is_short = widths[:, side] < bucket
        for width in np.unique(widths[is_short, side]):
            left = np.concatenate([left, spans[widths[:, side] == width]])
            whole = _size(left) // rows
            if whole >= least:
                sides = [boundaries[bucket], boundaries[bucket]]
                sides[side] = boundaries[width]
                own, left = _split(left, whole * rows)
                cells.append(_Cell(own, *sides, rows))
        others.append(left)
    both = spans[(widths == bucket).all(axis=1)]
    return cells, np.concatenate([*others, both])


def _size(spans):
    return int(spans[:, _COUNT].sum())


def _split(spans, size):
    """The first `size` pairs of some spans, and the others."""
    ends = np.cumsum(spans[:, _COUNT])
    cut = int(np.searchsorted(ends, size))
    first, others = spans[: cut + 1].copy(), spans[cut:].copy()
    if len(others):
        taken = size - (int(ends[cut]) - int(spans[cut, _COUNT]))
        first[-1, _COUNT] = taken
        others[0, _START] += taken
        others[0, _COUNT] -= taken
    return tuple(part[part[:, _COUNT] > 0] for part in (first, others))


def least_batches(expected: float) -> float:
    """Fewest batches that a shape of its own must have: each is compiled once.

    Args:
        expected: Number of all batches of an epoch.
    """
    return max(_LEAST_BATCHES, _LEAST_SHARE * expected)


def bucket_lengths(longest: int, tokens_per_batch: int) -> list[int]:
    """The few lengths that sentences are padded to, each up to a quarter over another.

    The last one is at least `longest`, and a sentence of that length fits a batch.

    >>> bucket_lengths(30, tokens_per_batch=4096)
    [8, 10, 12, 14, 16, 20, 24, 28, 32]
    >>> bucket_lengths(30, tokens_per_batch=30)
    [8, 10, 12, 14, 16, 20, 24, 28, 30]
    """
    lengths = [8]
    while lengths[-1] < longest:
        step = max(1, round(lengths[-1] * 0.18 / 4)) * 4 if lengths[-1] >= 16 else 2
        lengths.append(lengths[-1] + step)
    return [*lengths[:-1], min(lengths[-1], tokens_per_batch)]
