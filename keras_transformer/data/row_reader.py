"""The ids of a batch's rows: read, with tags in front, in drawn segmentations."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_transformer.data.order import Rows

_MEASURED_PAIRS, _MEASURED_BATCHES = 256, 32
# Each is asked for by all batches of an update.
_MOST_COUNTS = 256


class RowReader:
    """Reads the ids of the rows that an order puts into a batch.

    It is a pure function of the seed, the number of the batch and the row.

    Args:
        corpora: The prepared corpora.
        max_length: Most tokens of a side, special ones included.
        tags: For each corpus the ids in front of its sources; none if left out.
        samplers: The source's and the target's `SubwordSampler`, or None for the ids
            as they are.
        seed: Seed of the samplers.
    """

    def __init__(
        self,
        corpora: Sequence[Any],
        max_length: int,
        tags: Sequence[Sequence[int]] | None = None,
        samplers: Sequence[Any] = (None, None),
        seed: int = 0,
    ) -> None:
        self._corpora = corpora
        self._max_length = max_length
        self._tags = tags or [()] * len(corpora)
        self._samplers = samplers
        self._seed = seed
        self._target_tokens: dict[int, int] = {}
        self._growth = [self._measured(corpus) for corpus in corpora]

    def tagged_groups(self) -> list[np.ndarray]:
        """For each corpus its `groups`, with the tag's tokens in the source lengths."""
        return [
            corpus.groups + np.array([len(tag), 0, 0])
            for corpus, tag in zip(self._corpora, self._tags)
        ]

    def groups(self) -> list[np.ndarray]:
        """For each corpus its `groups`, with the lengths that a batch needs space for.

        Drawn segmentations are longer than the stored ids. Batches have space for them
        and a standard deviation more. Longer ones are drawn anew, see `SubwordSampler`.
        """
        found = self.tagged_groups()
        for groups, growth in zip(found, self._growth):
            for side in growth:
                mean, deviation = growth[side]
                lengths = groups[:, side]
                space = np.ceil(mean * lengths + deviation * np.sqrt(lengths))
                # What is too long stays so.
                space = np.minimum(space.astype(np.int64), self._max_length)
                groups[:, side] = np.maximum(lengths, space)
        return found

    def padding_share(self, order: Any) -> float:
        """Share of an epoch's ids that are padding.

        Args:
            order: The order of these corpora. Where segmentations are drawn, some of
                its batches are measured.
        """
        if not any(self._samplers):
            return order.padding_share
        size = order.batches_per_epoch
        tokens = ids = 0
        for number in np.linspace(0, size - 1, min(size, _MEASURED_BATCHES)):
            rows = order.rows(int(number))
            pairs = self(int(number), rows, 0, len(rows))
            # One more for the end token.
            tokens += sum(len(source) + len(target) + 2 for source, target in pairs)
            ids += len(rows) * (rows.source_width + rows.target_width)
        return 1 - tokens / ids

    def __call__(
        self, number: int, rows: Rows, first: int, last: int
    ) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Source and target ids of some rows, without start and end tokens.

        Args:
            number: Number of the batch.
            rows: Its rows.
            first: Index of the first row to read.
            last: Index after the last one.
        """
        last = min(last, len(rows))
        owners = rows.corpus[first:last]
        found = {}
        for i in np.unique(owners):
            where = first + np.flatnonzero(owners == i)
            for row, pair in zip(
                where.tolist(), self._corpora[i].read(rows.positions[where])
            ):
                found[row] = self._row(pair, i, (self._seed, number, row), rows)
        return [found[row] for row in range(first, last)]

    def target_tokens(self, number: int, rows: Rows) -> int:
        """Number of a batch's labels, end tokens included."""
        if self._samplers[1] is None:
            return int(rows.target_lengths.sum())
        if number not in self._target_tokens:
            if len(self._target_tokens) >= _MOST_COUNTS:
                self._target_tokens.clear()
            pairs = self(number, rows, 0, len(rows))
            count = sum(len(target) + 1 for _, target in pairs)
            self._target_tokens[number] = count
        return self._target_tokens[number]

    def _row(self, pair, corpus, key, rows):
        """A pair's ids as the batch has them."""
        widths = rows.source_width, rows.target_width
        found = []
        for side, (ids, width, sampler) in enumerate(zip(pair, widths, self._samplers)):
            tag = self._tags[corpus] if side == 0 else ()
            if sampler is not None:
                # Space for the end token.
                longest = min(width, self._max_length) - 1 - len(tag)
                ids = sampler(ids, (*key, side), longest)
            found.append([*tag, *ids] if len(tag) else ids)
        return tuple(found)

    def _measured(self, corpus):
        """For each side that is drawn, how much longer it is than the stored ids.

        Returns:
            Dict of side -> mean growth, and the standard deviation for a single id.
        """
        if not any(self._samplers):
            return {}
        count = min(len(corpus), _MEASURED_PAIRS)
        positions = np.linspace(0, len(corpus) - 1, count).astype(np.int64)
        pairs = corpus.read(positions)
        found = {}
        for side, sampler in enumerate(self._samplers):
            if sampler is None:
                continue
            stored = np.array([len(pair[side]) for pair in pairs])
            drawn = np.array(
                [
                    len(sampler(pair[side], (self._seed, -1, i, side), math.inf))
                    for i, pair in enumerate(pairs)
                ]
            )
            mean = drawn.sum() / stored.sum()
            squares = (drawn - mean * stored) ** 2 / stored
            found[side] = float(mean), float(np.sqrt(squares.mean()))
        return found
