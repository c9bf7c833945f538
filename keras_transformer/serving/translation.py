"""The signatures of a translator's export."""

import tensorflow as tf
from keras import ops

from keras_transformer.decoding.explain import explain
from keras_transformer.layers.pooling import MaskedPooling
from keras_transformer.serving.signatures import (
    SENTENCES_PER_SEARCH,
    TEXT,
    SearchSignatures,
    graph,
    shared_out,
)

_IDS = tf.TensorSpec([None, None], tf.int32, name="source_ids")
_LENGTHS = tf.TensorSpec([None], tf.int32, name="source_length")
_REFERENCE = tf.TensorSpec([None], tf.string, name="reference")


class TranslationSignatures(SearchSignatures):
    """Text in and text out, around a translator's search.

    Args:
        translator: A `kt.Translator`.
        num_hypotheses: Number n of answers of `n_best`.
        xla_buckets: Pairs `(batch_size, source_length)`.
        **options: See `SearchSignatures`.
    """

    names = (
        "serving_default",
        "n_best",
        "translate",
        "score",
        "explain",
        "encode",
        "token_ids",
    )
    xla_names = ("serving_default_xla", "token_ids_xla")

    def __init__(self, translator, num_hypotheses, xla_buckets=(), **options):
        super().__init__(translator, **options)
        self._num_hypotheses = num_hypotheses
        self._best = self._best_search()
        self._buckets = [
            (*bucket, *self._compiled_search(*bucket)) for bucket in sorted(xla_buckets)
        ]
        self.translate = self._with_options()

    def functions(self):
        names = self.names + self.xla_names if self._buckets else self.names
        return {name: getattr(self, name) for name in names}

    @graph(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def _n_best_of_many(self, source_ids):
        return self._find(source_ids, num_hypotheses=self._num_hypotheses)

    def _compiled_search(self, batch_size, source_length):
        """The search for one shape, compiled by XLA; in equal parts if it is large.

        Returns:
            The number of rows that these parts have together, and the search.
        """
        count = min(self._parallel_searches, batch_size // SENTENCES_PER_SEARCH)
        count = max(count, 1)
        size = -(-batch_size // count)
        spec = tf.TensorSpec([size, source_length], tf.int32)
        self._hold_transposed()

        @graph(input_signature=[spec], jit_compile=True)
        def compiled(source_ids):
            options = {"num_hypotheses": 1, "fixed_shapes": True}
            return self._find(source_ids, by_xla=True, **options)

        def search_part(source_ids):
            return compiled(tf.ensure_shape(source_ids, spec.shape))

        def search(source_ids):
            return shared_out(search_part, [source_ids], count, count)

        return count * size, search

    def _best_compiled(self, source_ids):
        """The search in the first bucket that is large enough, or without XLA."""
        batch, length = tf.unstack(tf.shape(source_ids))

        def padded(batch_size, source_length, rows, compiled):
            room = [[0, rows - batch], [0, source_length - length]]
            found = compiled(
                tf.ensure_shape(tf.pad(source_ids, room), [rows, source_length])
            )
            return {name: value[:batch] for name, value in found.items()}

        fits = [
            (batch <= batch_size) & (length <= source_length)
            for batch_size, source_length, *_ in self._buckets
        ]
        first = tf.argmax(tf.cast([*fits, True], tf.int32), output_type=tf.int32)
        branches = [lambda bucket=bucket: padded(*bucket) for bucket in self._buckets]
        return tf.switch_case(first, [*branches, lambda: self._best(source_ids)])

    def _tokens(self, tokenizer, ids):
        """Ids -> their pieces of text; nothing for padding."""
        pieces = tokenizer.tokens(range(tokenizer.vocabulary_size))
        pieces = tf.gather(tf.constant(pieces), ids)
        return tf.where(ids > 0, pieces, "")

    def _answer(self, text, search):
        source_ids, truncated = self._text_model.encode(text)
        found = search(source_ids.to_tensor())
        return {
            "translation": self._texts(found["ids"])[:, 0],
            "score": found["scores"][:, 0],
            "truncated": truncated,
        }

    @graph(input_signature=[TEXT])
    def serving_default(self, text):
        return self._answer(text, self._best)

    @graph(input_signature=[TEXT])
    def serving_default_xla(self, text):
        return self._answer(text, self._best_compiled)

    @graph(input_signature=[TEXT])
    def n_best(self, text):
        source_ids, truncated = self._text_model.encode(text)
        count = self._num_hypotheses
        found = self._in_parts(self._n_best_of_many, source_ids.to_tensor())
        return {
            "translations": tf.ensure_shape(self._texts(found["ids"]), [None, count]),
            "scores": found["scores"],
            "truncated": truncated,
        }

    def _with_options(self):
        """The signature whose inputs have defaults, one value for all rows."""
        beam_size = self._search.beam_size
        penalty = self._search.length_penalty
        limit = self._search.max_length or 0
        specs = [
            TEXT,
            tf.TensorSpec([None], tf.int32, name="num_hypotheses"),
            tf.TensorSpec([None], tf.float32, name="length_penalty"),
            tf.TensorSpec([None], tf.int32, name="max_length"),
            tf.TensorSpec([None], tf.string, name="target_prefix"),
        ]

        # A tensor as a default becomes the signature's, which the server fills in.
        defaults = [tf.constant(value) for value in ([1], [penalty], [limit], [""])]

        @graph(
            input_signature=[
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None, None], tf.int32),
            ]
        )
        def search(
            count, longest, source_ids, length_penalty, max_length, target_prefix
        ):
            return self._find(
                source_ids,
                num_hypotheses=count,
                length_penalty=length_penalty,
                max_length=max_length,
                longest=longest,
                target_prefix=target_prefix,
            )

        @graph(input_signature=specs)
        def translate(
            text,
            num_hypotheses=defaults[0],
            length_penalty=defaults[1],
            max_length=defaults[2],
            target_prefix=defaults[3],
        ):
            rows = tf.shape(text)
            counts = tf.clip_by_value(num_hypotheses, 1, beam_size)
            counts = tf.broadcast_to(counts, rows)
            count = tf.reduce_max(tf.concat([counts, [1]], axis=0))
            source_ids, truncated = self._text_model.encode(text)
            longest = self._text_model.max_source_length + 50
            own = tf.cast(source_ids.row_lengths(), tf.int32) + 50
            asked = tf.broadcast_to(max_length, rows)
            lengths = tf.where(asked > 0, tf.minimum(asked, longest), own)
            most = tf.reduce_max(tf.concat([lengths, [1]], axis=0))
            found = self._in_parts(
                lambda *inputs: search(count, most, *inputs),
                source_ids.to_tensor(),
                tf.broadcast_to(tf.maximum(length_penalty, 0.0), rows),
                lengths,
                self._prefix(tf.broadcast_to(target_prefix, rows), longest),
            )
            asked_for = tf.range(count) < counts[:, None]
            return {
                "translations": tf.where(asked_for, self._texts(found["ids"]), ""),
                "scores": tf.where(asked_for, found["scores"], -1e9),
                "truncated": truncated,
            }

        return translate

    def _prefix(self, target_prefix, longest):
        ids = self._text_model.target_tokenizer.tokenize(target_prefix)
        return ids[:, :longest].to_tensor()

    def _reference_ids(self, reference):
        """Ids `(B, T)` with the end token, no longer than an answer can be."""
        tokenizer = self._text_model.target_tokenizer
        longest = self._text_model.max_source_length + 49
        if self._model.max_length:
            longest = min(longest, self._model.max_length - 1)
        ids = tokenizer.tokenize(reference)[:, :longest]
        end = tf.fill([ids.nrows(), 1], tokenizer.end_id)
        return tf.concat([ids, end], axis=1).to_tensor()

    def _explain(self, source_ids, target_ids):
        start_id = self._text_model.target_tokenizer.start_id
        with self._model_in_use():
            return explain(self._model, source_ids, target_ids, start_id)

    @graph(input_signature=[TEXT, tf.TensorSpec([None], tf.string, name="reference")])
    def score(self, text, reference):
        source_ids, _ = self._text_model.encode(text)
        target_ids = self._reference_ids(reference)
        found = self._explain(source_ids.to_tensor(), target_ids)
        return {
            "log_prob": tf.reduce_sum(found["log_probs"], axis=1),
            "num_tokens": tf.reduce_sum(tf.cast(target_ids > 0, tf.int32), axis=1),
        }

    @graph(input_signature=[TEXT])
    def explain(self, text):
        source_ids, truncated = self._text_model.encode(text)
        source_ids = source_ids.to_tensor()
        best = self._best(source_ids)["ids"]
        ids = best[:, 0]
        lengths = tf.reduce_sum(tf.cast(ids > 0, tf.int32), axis=1)
        ids = ids[:, : tf.reduce_max(tf.concat([lengths, [1]], axis=0))]
        found = self._explain(source_ids, ids)
        # One more column, below all others, so that an empty batch has one too.
        alignment = tf.pad(
            found["alignment"], [[0, 0], [0, 0], [0, 1]], constant_values=-1
        )
        aligned = tf.argmax(alignment, axis=2, output_type=tf.int32)
        translator = self._text_model
        return {
            "translation": self._texts(best)[:, 0],
            "tokens": self._tokens(translator.target_tokenizer, ids),
            "log_probs": found["log_probs"],
            "source_tokens": self._tokens(translator.source_tokenizer, source_ids),
            "aligned_source": tf.where(ids > 0, aligned, -1),
            "truncated": truncated,
        }

    @graph(input_signature=[TEXT])
    def encode(self, text):
        source_ids, truncated = self._text_model.encode(text)
        source_ids = source_ids.to_tensor()
        with self._model_in_use():
            states = tf.cast(self._model.encode(source_ids), tf.float32)
        pool = MaskedPooling("mean", dtype="float32")
        mean = pool(states, mask=source_ids > 0)
        return {"embedding": mean, "truncated": truncated}

    def _answer_ids(self, source_ids, source_length, search):
        # A server that pads ids itself doesn't pad with zero: lengths tell.
        real = tf.sequence_mask(source_length, tf.shape(source_ids)[1])
        found = search(ops.where(real, source_ids, 0))
        return {"output_ids": found["ids"][:, 0], "score": found["scores"][:, 0]}

    @graph(input_signature=[_IDS, _LENGTHS])
    def token_ids(self, source_ids, source_length):
        return self._answer_ids(source_ids, source_length, self._best)

    @graph(input_signature=[_IDS, _LENGTHS])
    def token_ids_xla(self, source_ids, source_length):
        return self._answer_ids(source_ids, source_length, self._best_compiled)
