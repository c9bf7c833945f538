"""Batches as a `keras.utils.PyDataset`, for where TensorFlow isn't installed."""

import itertools
from collections.abc import Iterator

import keras

from keras_transformer.data.arrays import BatchSequence


class KerasBatches(keras.utils.PyDataset):
    """The batches of a `BatchSequence`, as NumPy arrays.

    Args:
        sequence: The `BatchSequence`.
        shuffle: Whether a sequence that ends comes in another order each time.
    """

    def __init__(self, sequence: BatchSequence, *, shuffle: bool) -> None:
        super().__init__()
        self.sequence = sequence
        self._shuffle = shuffle and sequence.size is not None
        self._epoch = 0

    @property
    def num_batches(self) -> int | None:
        """Number of batches, or None if they never end."""
        return self.sequence.size

    def __getitem__(self, index: int) -> tuple:
        return self.sequence.batch(index, self._epoch)

    def __iter__(self) -> Iterator[tuple]:
        size = self.sequence.size
        for index in itertools.count() if size is None else range(size):
            yield self[index]
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Goes to the next epoch's order."""
        self._epoch += self._shuffle


def keras_batches(sequence: BatchSequence, *, shuffle: bool) -> KerasBatches:
    """The batches of a `BatchSequence` for `fit`."""
    return KerasBatches(sequence, shuffle=shuffle)
