"""The batches of several corpora, mixed by weights."""

import math
from collections.abc import Sequence

import numpy as np

from keras_transformer import arguments
from keras_transformer.data.order import (
    WIDEST_STEP,
    Order,
    bucket_lengths,
    least_batches,
)
from keras_transformer.data.permutation import Permutation

# In less it would not come once in a billion pairs.
_LEAST_SHARE_OF_A_CORPUS = 1e-9


def mixture_weights(
    sizes: Sequence[int],
    weights: Sequence[float] | None = None,
    temperature: float | None = None,
) -> list[float]:
    """The share that each corpus has in a mixture; the shares' sum is 1.

    Args:
        sizes: Number of pairs of each corpus.
        weights: Positive numbers, whose ratios are the shares'.
        temperature: Without weights, shares are `size ** (1 / temperature)`. 1 is the
            default: each pair comes equally often. The higher, the more equal are the
            shares.

    Raises:
        TypeError: For a value of another type.
        ValueError: For a value out of range, a number of weights other than that of
            the sizes, or both weights and a temperature.

    Example:

    >>> mixture_weights([900, 100], temperature=2)
    [0.75, 0.25]

    Reference: [Massively Multilingual NMT in the
    Wild](https://arxiv.org/abs/1907.05019), Arivazhagan et al., section 4.1.
    """
    if weights is None:
        temperature = 1 if temperature is None else temperature
        temperature = arguments.number("temperature", temperature, above=0)
        # Relative to the largest, so that a small temperature doesn't overflow.
        weights = [(size / max(sizes)) ** (1 / temperature) for size in sizes]
    elif temperature is not None:
        raise ValueError(
            "temperature and weights both say how corpora are mixed; received "
            f"temperature={temperature!r}, weights={weights!r}. Leave out one of them."
        )
    elif not isinstance(weights, (list, tuple)) and np.ndim(weights) != 1:
        raise arguments.ArgumentTypeError(
            f"weights must be a list of numbers; received weights={weights!r}."
        )
    elif len(weights) != len(sizes):
        raise ValueError(
            f"weights must have one number for each of the {len(sizes)} corpora; "
            f"received weights={weights!r}."
        )
    else:
        weights = [arguments.number("weights", weight, above=0) for weight in weights]
    # Relative to the largest, so that their sum doesn't overflow.
    largest = max(weights)
    parts = [weight / largest for weight in weights]
    total = math.fsum(parts)
    shares = [part / total for part in parts]
    if min(shares) < _LEAST_SHARE_OF_A_CORPUS:
        raise ValueError(
            "weights and temperature must give each corpus a share of at least "
            f"{_LEAST_SHARE_OF_A_CORPUS}; received weights={weights!r}, "
            f"temperature={temperature!r}. Leave the corpus out."
        )
    return shares


class MixedOrder(Order):
    """The batches of several corpora, each with its share of the pairs.

    An epoch is the shortest one in which each corpus comes wholly at least once. In it
    each corpus has its share, up to a row for each shape. A corpus's pairs of a shape
    come in one permutation after another: none comes a third time before all came
    twice. The rows of all corpora are spread evenly over the batches of a shape. So
    each batch has the shares of its shape, up to a row or two.

    Batch n is a pure function of the seed and n; see `order`, whose interface this is.

    Args:
        corpora: The prepared corpora.
        groups: For each corpus, source length, target length and number of pairs,
            int64 (n, 3), of the pairs sorted by length: how many tokens a batch must
            have space for.
        weights: The corpora's shares, as `mixture_weights` gives them.
        tokens_per_batch: Most tokens of a batch on either side, padding included.
        max_length: Most tokens of a side; longer pairs are left out.
        seed: Seed of the order, or None for the same order in each epoch, by length.

    Attributes:
        pairs: Number of pairs of an epoch.
        shares: The share of the pairs that each corpus has in an epoch.
    """

    def __init__(
        self,
        corpora: Sequence,
        groups: Sequence[np.ndarray],
        weights: Sequence[float],
        tokens_per_batch: int,
        max_length: int,
        seed: int | None = 0,
    ) -> None:
        self.corpora = tuple(corpora)
        spans = [_Spans.of_groups(lengths, max_length) for lengths in groups]
        sizes = [part.size for part in spans]
        epoch = max(size / weight for size, weight in zip(sizes, weights))
        rates = [epoch * weight / size for size, weight in zip(sizes, weights)]
        longest = max(int(part.lengths.max()) for part in spans)
        boundaries = np.array(bucket_lengths(longest, tokens_per_batch))
        cells = _cells(spans, rates, boundaries, tokens_per_batch)
        _set_quotas(cells, rates)
        self._set(cells, seed)
        self.pairs = sum(cell.size for cell in self._cells)
        quotas = [sum(column) for column in zip(*(cell.quotas for cell in self._cells))]
        self.shares = [quota / self.pairs for quota in quotas]

    def _rows_of(self, which, ranks, epoch):
        cell = self._cells[which]
        corpus, within = interleaved(ranks, cell.quotas)
        found = np.zeros((3, len(corpus)), np.int64)
        for i, spans in enumerate(cell.spans):
            own = corpus == i
            chosen = self._chosen(within[own], epoch, cell.quotas[i], spans.size, which)
            found[:, own] = spans.lookup(chosen)
        return corpus, *found

    def _chosen(self, within, epoch, quota, size, purpose):
        """Which pairs of a corpus come where, in permutation after permutation."""
        at = [epoch * quota + int(i) for i in within]
        passes = np.array([i // size for i in at], np.int64)
        chosen = np.array([i % size for i in at], np.int64)
        if self._seed is None:
            return chosen
        for number in np.unique(passes):
            own = passes == number
            permuted = Permutation(size, self._seed, int(number), purpose)
            chosen[own] = permuted(chosen[own])
        return chosen


class _Spans:
    """Some pairs of a corpus: runs of positions, whose pairs have the same lengths."""

    def __init__(self, starts, counts, lengths):
        self._starts, self.counts, self.lengths = starts, counts, lengths
        self._ends = np.cumsum(counts, dtype=np.int64)
        self.size = int(counts.sum())
        self.tokens = int((counts[:, None] * lengths).sum())

    @classmethod
    def of_groups(cls, groups, max_length):
        """The pairs of a corpus that aren't too long."""
        lengths, counts = groups[:, :2].astype(np.int64), groups[:, 2].astype(np.int64)
        spans = cls(np.cumsum(counts) - counts, counts, lengths)
        return spans.where(lengths.max(axis=1) <= max_length)

    def where(self, chosen):
        """The runs where a bool (n,) says so."""
        return _Spans(self._starts[chosen], self.counts[chosen], self.lengths[chosen])

    def lookup(self, chosen):
        """Positions, source lengths and target lengths of the pairs of some numbers."""
        which = np.searchsorted(self._ends, chosen, "right")
        first = self._ends[which] - self.counts[which]
        positions = self._starts[which] + chosen - first
        return np.stack([positions, *self.lengths[which].T])


class _Cell:
    """Pairs of several corpora that share the shape of their batches."""

    def __init__(self, spans, source_width, target_width, rows):
        self.spans = spans
        self.source_width, self.target_width = int(source_width), int(target_width)
        self.rows = int(rows)
        self.quotas = [0] * len(spans)

    @property
    def size(self):
        """Number of its rows in an epoch."""
        return sum(self.quotas)

    @property
    def batches(self):
        """Number of its batches in an epoch."""
        return -(-self.size // self.rows)

    @property
    def tokens(self):
        """Number of tokens of its rows in an epoch, on average over epochs."""
        return sum(
            quota * spans.tokens / spans.size
            for quota, spans in zip(self.quotas, self.spans)
            if quota
        )


def interleaved(
    ranks: Sequence[int], counts: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Spreads rows of several kinds evenly over `sum(counts)` ranks.

    Args:
        ranks: Ranks `(B,)`.
        counts: How many rows of each kind there are.

    Returns:
        For each rank its kind and its number among the rows of that kind, both int64
        `(B,)`.

    Example:

    >>> kinds, numbers = interleaved(range(6), [4, 2])
    >>> kinds.tolist(), numbers.tolist()
    ([1, 0, 0, 1, 0, 0], [0, 0, 1, 1, 2, 3])
    """
    kinds = np.full(len(ranks), len(counts) - 1, np.int64)
    # Python's integers: an epoch may be so long that products pass 64 bits.
    left = np.array(ranks, object)
    total = sum(counts)
    where = np.arange(len(ranks))
    for kind, count in enumerate(counts[:-1]):
        # One kind after another is spread over the ranks that are left.
        before = left[where] * count // total
        own = (left[where] * count % total + count) >= total
        kinds[where[own]] = kind
        left[where[own]] = before[own]
        left[where[~own]] -= before[~own]
        where = where[~own]
        total -= count
        if not total:
            break
    return kinds, left.astype(np.int64)


def _cells(spans, rates, boundaries, tokens_per_batch):
    """The cells of an epoch: each holds whole classes of the two sides' buckets."""
    rows = tokens_per_batch // boundaries
    widths = [np.searchsorted(boundaries, part.lengths) for part in spans]
    sizes = {}
    for part, rate, own in zip(spans, rates, widths):
        kinds, inverse = np.unique(own, axis=0, return_inverse=True)
        numbers = np.bincount(inverse.ravel(), part.counts)
        for kind, number in zip(map(tuple, kinds.tolist()), numbers.tolist()):
            sizes[kind] = sizes.get(kind, 0) + rate * number
    expected = sum(size / rows[max(kind)] for kind, size in sizes.items())
    least = least_batches(expected)
    cells = []
    for kinds, bucket, source, target in _shapes(sizes, rows, boundaries, least):
        own = [
            part.where(np.isin(_codes(found), _codes(np.array(kinds))))
            for part, found in zip(spans, widths)
        ]
        widest = boundaries[source], boundaries[target]
        cells.append(_Cell(own, *widest, rows[bucket]))
    return cells


def _shapes(sizes, rows, boundaries, least):
    """Yields lists of classes with their bucket, source width and target width.

    A class is the pair of the buckets of source and target. A class with one side much
    shorter has a shape of its own where there are enough pairs of it. The others get
    that of their longer side.
    """
    wide = []
    populated = sorted({max(kind) for kind in sizes})
    for bucket, following in zip(populated, [*populated[1:], None]):
        for side in (0, 1):
            narrow = []
            for kind in sorted(kind for kind in sizes if max(kind) == bucket):
                if kind[side] == bucket:
                    continue
                narrow.append(kind)
                if sum(map(sizes.get, narrow)) >= least * rows[bucket]:
                    shape = [bucket, bucket]
                    shape[side] = kind[side]
                    yield narrow, bucket, *shape
                    narrow = []
            wide += narrow
        if (bucket, bucket) in sizes:
            wide.append((bucket, bucket))
        few = 2 * sum(map(sizes.get, wide)) < rows[bucket]
        if (
            few
            and following is not None
            and boundaries[following] <= WIDEST_STEP * boundaries[bucket]
        ):
            continue
        if wide:
            yield wide, bucket, bucket, bucket
        wide = []


def _codes(kinds):
    """A number for each class."""
    return kinds[:, 0] << 32 | kinds[:, 1]


def _set_quotas(cells, rates):
    """Says how many rows of each corpus a cell has in an epoch, exactly in sum."""
    for i, rate in enumerate(rates):
        seen = total = 0
        for cell in cells:
            seen += cell.spans[i].size
            # A rate is 1 at least, but for rounding, so no pair is left out for ever.
            quota = max(round(seen * rate) - total, cell.spans[i].size)
            cell.quotas[i] = quota
            total += quota
