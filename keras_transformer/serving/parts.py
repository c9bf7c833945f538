"""The rows of a batch, answered by several searches of one graph."""

from collections.abc import Callable, Sequence

import tensorflow as tf

Search = Callable[..., dict[str, tf.Tensor]]


def shared_out(
    search: Search, inputs: Sequence[tf.Tensor], count: int | tf.Tensor, most: int
) -> dict[str, tf.Tensor]:
    """The answers of `count` searches, each to a part of the batch.

    Nothing connects the searches, so TensorFlow runs them at the same time. Sentences
    take turns, as neighbours are often of like length.

    Args:
        search: Function of a part of each input.
        inputs: Tensors with a row for each sentence.
        count: Number of parts, an integer or a scalar tensor.
        most: Its maximum, an integer: the number of searches in the graph, of which
            those past `count` get no sentence.
    """
    turns = tf.range(tf.shape(inputs[0])[0]) % count
    return answered_by([search] * most, inputs, turns)


def answered_by(
    searches: Sequence[Search], inputs: Sequence[tf.Tensor], chosen: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The answers of several searches, each to the rows that chose it.

    Args:
        searches: Functions of a part of each input, which return a dict of `"ids"`
            `(B, n, L)` and `"scores"` `(B, n)`.
        inputs: Tensors with a row for each sentence.
        chosen: int32 `(B,)`, each row's index into `searches`.

    Returns:
        Such a dict of all rows, ids padded to the longest.
    """
    rows = tf.range(tf.shape(inputs[0])[0])
    turns = chosen, len(searches)
    parts = zip(*(tf.dynamic_partition(each, *turns) for each in inputs))
    found = [search(*part) for search, part in zip(searches, parts)]
    lengths = [tf.shape(part["ids"])[2] for part in found]
    longest = tf.reduce_max(tf.stack(lengths))
    ids = [
        tf.pad(part["ids"], [[0, 0], [0, 0], [0, longest - length]])
        for part, length in zip(found, lengths)
    ]
    indices = tf.dynamic_partition(rows, *turns)
    return {
        "ids": tf.dynamic_stitch(indices, ids),
        "scores": tf.dynamic_stitch(indices, [part["scores"] for part in found]),
    }


def answers_to_some(
    search: Search, chosen: tf.Tensor, inputs: Sequence[tf.Tensor]
) -> dict[str, tf.Tensor]:
    """A search's answers to the chosen rows, and zeros in the place of others.

    Args:
        search: Function of a part of each input, as those of `answered_by`.
        chosen: bool `(B,)`.
        inputs: Tensors with a row for each sentence.

    Returns:
        Such a dict of all rows.
    """
    indices = tf.where(chosen)
    found = search(*(tf.gather(each, indices[:, 0]) for each in inputs))
    count = tf.shape(chosen, tf.int64)

    def spread(value):
        shape = tf.concat([count, tf.shape(value, tf.int64)[1:]], 0)
        return tf.scatter_nd(indices, value, shape)

    return {name: spread(value) for name, value in found.items()}
