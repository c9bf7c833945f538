"""Batches as a `tf.data.Dataset`."""

import itertools
import weakref
from typing import TYPE_CHECKING

from keras_transformer.data.arrays import BatchSequence

if TYPE_CHECKING:
    import tensorflow as tf

_PREFETCHED = 8


def tensorflow_batches(sequence: BatchSequence, *, shuffle: bool) -> "tf.data.Dataset":
    """The batches of a `BatchSequence` for `fit`.

    Args:
        sequence: The `BatchSequence`.
        shuffle: Whether a sequence that ends comes in another order each time.
    """
    import tensorflow as tf

    ids = tf.TensorSpec((None, None), tf.int32)
    signature = {"source_ids": ids, "target_ids": ids}, ids
    if sequence.arrays.accumulation_steps > 1:
        signature += (tf.TensorSpec((None, 1), tf.float32),)
    epochs = itertools.count()
    # TensorFlow keeps a generator for ever. So the dataset keeps what it reads.
    reference = weakref.ref(sequence)

    def generate():
        sequence = reference()
        if sequence is None:
            raise ReferenceError(
                "The dataset that make_batches returned is gone. Keep it as long as "
                "its batches are read, also where a graph reads them."
            )
        epoch = next(epochs) if shuffle and sequence.size is not None else 0
        indexes = itertools.count() if sequence.size is None else range(sequence.size)
        for index in indexes:
            yield sequence.batch(index, epoch)

    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    if sequence.size is not None:
        # Keras warns of the end of data whose number it doesn't know.
        has_size = tf.data.experimental.assert_cardinality(sequence.size)
        batches = batches.apply(has_size)
    options = tf.data.Options()
    # There is nothing to tune, and an iterator that ends waits for the thread that
    # tunes: up to as long as it has run.
    options.autotune.enabled = False
    batches = batches.prefetch(_PREFETCHED).with_options(options)
    batches.sequence = sequence
    return batches
