"""Searches that XLA compiles, one for each shape of a batch."""

from collections.abc import Callable, Iterable

import tensorflow as tf

from keras_transformer.serving.parts import shared_out
from keras_transformer.serving.searching import SENTENCES_PER_SEARCH
from keras_transformer.serving.signatures import graph


class CompiledSearches:
    """A search for one answer each, in the first shape that is large enough.

    Args:
        find: Function of ids `(B, S)` of a fixed shape: the search to compile.
        otherwise: The search for batches that no shape has room for.
        buckets: Pairs `(batch_size, source_length)`.
        parallel_searches: Number of equal parts of a large batch.
    """

    def __init__(
        self,
        find: Callable[..., dict[str, tf.Tensor]],
        otherwise: Callable[..., dict[str, tf.Tensor]],
        buckets: Iterable[tuple[int, int]],
        parallel_searches: int,
    ) -> None:
        self._find, self._otherwise = find, otherwise
        self._parallel_searches = parallel_searches
        self._buckets = [
            (*bucket, *self._compiled_search(*bucket)) for bucket in sorted(buckets)
        ]

    def __call__(self, source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ids `(B, S)` -> a dict of `"ids"` `(B, 1, L)` and `"scores"` `(B, 1)`."""
        batch, length = tf.unstack(tf.shape(source_ids))

        def padded(batch_size, source_length, rows, compiled):
            missing = [[0, rows - batch], [0, source_length - length]]
            found = compiled(
                tf.ensure_shape(tf.pad(source_ids, missing), [rows, source_length])
            )
            return {name: value[:batch] for name, value in found.items()}

        fits = [
            (batch <= batch_size) & (length <= source_length)
            for batch_size, source_length, *_ in self._buckets
        ]
        first = tf.argmax(tf.cast([*fits, True], tf.int32), output_type=tf.int32)
        branches = [lambda bucket=bucket: padded(*bucket) for bucket in self._buckets]
        return tf.switch_case(first, [*branches, lambda: self._otherwise(source_ids)])

    def _compiled_search(self, batch_size, source_length):
        """The search for one shape; in equal parts if it is large.

        Returns:
            The number of rows that these parts have together, and the search.
        """
        count = min(self._parallel_searches, batch_size // SENTENCES_PER_SEARCH)
        count = max(count, 1)
        size = -(-batch_size // count)
        spec = tf.TensorSpec([size, source_length], tf.int32)
        compiled = graph(self._find, input_signature=[spec], jit_compile=True)

        def search_part(source_ids):
            return compiled(tf.ensure_shape(source_ids, spec.shape))

        def search(source_ids):
            return shared_out(search_part, [source_ids], count, count)

        return count * size, search
