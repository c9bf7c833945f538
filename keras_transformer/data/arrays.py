"""The arrays of a batch: ids with special tokens, labels, weights, padding."""

from collections.abc import Iterable

import numpy as np

from keras_transformer import arguments
from keras_transformer.data.order import Order
from keras_transformer.data.row_reader import RowReader


class BatchArrays:
    """Makes the arrays of batch n, whatever was made before it.

    Args:
        order: What says which rows are in which batch, see `order`.
        reader: The `RowReader` of the order's corpora.
        start_id: Id that target ids begin with.
        source_end_id: Id that sources end with.
        target_end_id: Id that labels end with.
        accumulation_steps: Number of batches that make one update.
        num_replicas: Number of devices that share a batch.
        process: This process's number and the number of processes; also an attribute.
    """

    def __init__(
        self,
        order: Order,
        reader: RowReader,
        *,
        start_id: int,
        source_end_id: int,
        target_end_id: int,
        accumulation_steps: int = 1,
        num_replicas: int = 1,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        self.order = order
        self._reader = reader
        self.accumulation_steps = accumulation_steps
        self._start_id = start_id
        self._end_ids = source_end_id, target_end_id
        self._num_replicas = num_replicas
        self.process = process

    def __call__(self, number: int) -> tuple:
        """Inputs, labels and perhaps weights of batch `number`, counted from 0."""
        rows = self.order.rows(number)
        own = self._own_rows(len(rows))
        shapes = (len(own), rows.source_width), (len(own), rows.target_width)
        source, target, labels = (np.zeros(shapes[i], np.int32) for i in (0, 1, 1))
        pairs = self._reader(number, rows, own.start, own.stop)
        for i, (source_ids, target_ids) in enumerate(pairs):
            n, m = len(source_ids), len(target_ids)
            source[i, :n] = source_ids
            source[i, n] = self._end_ids[0]
            target[i, 0] = self._start_id
            target[i, 1 : m + 1] = target_ids
            labels[i, :m] = target_ids
            labels[i, m] = self._end_ids[1]
        batch = {"source_ids": source, "target_ids": target}, labels
        if self.accumulation_steps == 1:
            return batch
        weights = np.full((len(own), 1), self._weight(number, rows), np.float32)
        # What fills the batch up.
        weights[len(rows.positions[own.start : own.stop]) :] = 0
        return *batch, weights

    def _own_rows(self, count):
        """The rows of this process; those after the last one are padding."""
        count += -count % self._num_replicas
        index, processes = self.process
        size = count // processes
        return range(index * size, (index + 1) * size)

    def _weight(self, number, rows):
        """What makes the mean of an update's losses that of all its tokens.

        Each loss is the mean over its own batch's tokens. So it is multiplied by its
        share of the tokens and by the number of losses, which the optimizer divides by.
        """
        steps = self.accumulation_steps
        first = number - number % steps
        tokens = self._reader.target_tokens
        total = sum(
            tokens(other, self.order.rows(other))
            for other in range(first, first + steps)
        )
        return steps * tokens(number, rows) / total


class BatchSequence:
    """The batches from an update on, those of some updates aside.

    Attributes:
        arrays: The `BatchArrays`.
        size: Number of batches, or None if they never end.

    Args:
        arrays: A `BatchArrays`.
        repeat: Whether they never end.
        step: Number of the first update.
        without: Numbers of the updates that are left out; `step` doesn't count them.

    Raises:
        TypeError: If an update's number is no integer.
        ValueError: If it is less than 0.
    """

    def __init__(
        self,
        arrays: BatchArrays,
        *,
        repeat: bool,
        step: int = 0,
        without: Iterable[int] = (),
    ) -> None:
        self.arrays = arrays
        self.size: int | None = None
        self._step = step = arguments.integer("step", step, minimum=0)
        self._without = sorted(
            {arguments.integer("without", update, minimum=0) for update in without}
        )
        self._per_epoch = arrays.order.batches_per_epoch
        if not repeat:
            left_out = sum(0 <= update < self._per_epoch for update in self._without)
            self.size = max(0, self._per_epoch - left_out - step)

    def batch(self, index: int, epoch: int = 0) -> tuple:
        """Batch `index` of the sequence, in the order of an epoch if they end."""
        steps = self.arrays.accumulation_steps
        update = self._step + index // steps
        for left_out in self._without:
            update += left_out <= update
        return self.arrays(epoch * self._per_epoch + update * steps + index % steps)
