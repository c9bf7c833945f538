"""What the signatures of a translator's export share: its searches, its options."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from keras_transformer.serving.compiled import CompiledSearches
from keras_transformer.serving.request_options import Option
from keras_transformer.serving.searching import SearchSignatures
from keras_transformer.serving.sources import valid_utf8
from keras_transformer.tasks.translator import Translator

# Above this a length penalty ranks answers by their lengths alone.
_MOST_PENALTY = 10.0


class TranslatorSearches(SearchSignatures):
    """The searches of a translator in a graph.

    Args:
        translator: A `kt.Translator`.
        num_hypotheses: Number n of answers of `n_best`.
        xla_buckets: Pairs `(batch_size, source_length)`.
        **options: See `SearchSignatures`.
    """

    def __init__(
        self,
        translator: Translator,
        num_hypotheses: int,
        xla_buckets: Iterable[tuple[int, int]] = (),
        **options: Any,
    ) -> None:
        super().__init__(translator, **options)
        self._num_hypotheses = num_hypotheses
        self._best, self._best_of_many, self._best_of_one = self._best_searches()
        self._best_compiled = None
        if xla_buckets:
            self._weights.hold_transposed()
            self._best_compiled = CompiledSearches(
                self._best_by_xla, self._best, xla_buckets, self._parallel_searches
            )

    def _best_by_xla(self, source_ids):
        options = {"num_hypotheses": 1, "fixed_shapes": True}
        return self._find(source_ids, by_xla=True, **options)

    @property
    def _longest(self):
        """Most tokens of any answer."""
        own = self._text_model.longest_source + self._search.extra_length
        longest = max(own, self._search.max_length or 0)
        return min(longest, self._model.max_length or longest)

    def _row_options(self):
        """What a row may ask for, with the export's own values as defaults."""
        limit = self._search.max_length or 0
        penalty = self._search.length_penalty
        most_penalty = max(penalty, _MOST_PENALTY)
        least = self._search.min_length or 1
        return [
            Option("num_hypotheses", 1, 1, self._search.beam_size),
            Option("length_penalty", penalty, 0.0, most_penalty, tf.float32),
            Option("max_length", min(limit, self._longest), 0, self._longest),
            Option("min_length", min(least, self._longest), 1, self._longest),
            Option("sample", self._search.sample, 0, 1, tf.bool),
            *self._sampling_options(),
        ]

    def _most_tokens(self, source_ids, max_length):
        """Most tokens of each answer `(B,)`: `max_length`, or by the source if 0."""
        sources = tf.math.count_nonzero(source_ids, axis=1, dtype=tf.int32)
        own = tf.minimum(sources + self._search.extra_length, self._longest)
        return tf.where(max_length > 0, max_length, own)

    def _prefix_ids(self, target_prefix):
        """Strings `(B,)` -> ids `(B, P)`, no more than an answer can have."""
        ids = self._text_model.target_tokenizer.tokenize(target_prefix)
        return ids[:, : self._longest].to_tensor()

    def _answers(self, found, sources, given, counts, prefix):
        """The outputs of signatures whose rows have options of their own.

        Args:
            found: What the search found.
            sources: The `Sources`.
            given: The `RowOptions`.
            counts: How many answers each row asks for, int32 `(B,)`.
            prefix: Ids that answers begin with, `(B, P)`.
        """
        counts = tf.where(given.answered, counts, 0)
        prefix = valid_utf8(self._text_model.target_tokenizer.detokenize(prefix))
        texts = sources.with_blank(self._texts(found["ids"]), prefix)
        texts, scores = self._columns(texts, found["scores"], counts)
        return {
            "translations": texts,
            "scores": scores,
            "num_hypotheses": counts,
            "truncated": sources.truncated,
            "bounded": given.bounded,
            "error": given.error,
        }
