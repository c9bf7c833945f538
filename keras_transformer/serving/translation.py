"""The signatures of a translator's export."""

import tensorflow as tf

from keras_transformer.decoding.explain import explain, log_probs
from keras_transformer.layers.pooling import MaskedPooling
from keras_transformer.serving.parts import shared_out
from keras_transformer.serving.request_options import Option, given_options
from keras_transformer.serving.searching import SENTENCES_PER_SEARCH, SearchSignatures
from keras_transformer.serving.signatures import NO_SCORE, TEXT, graph
from keras_transformer.tasks.scoring import encode_references, longest_answer

_IDS = tf.TensorSpec([None, None], tf.int32, name="source_ids")
_LENGTHS = tf.TensorSpec([None], tf.int32, name="source_length")
_REFERENCE = tf.TensorSpec([None], tf.string, name="reference")
# Options that `translate` has an input for, beside the prefix.
_INPUTS = "num_hypotheses", "length_penalty", "max_length"
# Above this a length penalty ranks answers by their lengths alone.
_MOST_PENALTY = 10.0


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
        "with_options",
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
        self.translate = self._translate()
        self.with_options = self._with_options(prefix="target_prefix")

    def requests(self, texts):
        ids, _ = self._source(tf.constant(texts))
        lengths = tf.math.count_nonzero(ids, axis=1, dtype=tf.int32)
        inputs = {name: {"text": texts} for name in self.names}
        inputs["score"] = {"text": texts, "reference": texts}
        ids = {"source_ids": ids.numpy(), "source_length": lengths.numpy()}
        inputs["token_ids"] = ids
        del inputs["with_options"]
        [(_, given), *others] = self._option_requests(texts, "translate", _INPUTS)
        inputs["translate"] = {**given, "target_prefix": [""] * len(texts)}
        return [*inputs.items(), *others]

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
        pieces = tf.gather(tf.constant(pieces), tf.minimum(ids, len(pieces) - 1))
        return tf.where(ids > 0, pieces, "")

    def _answer(self, text, search):
        source_ids, truncated = self._source(text)
        found = search(source_ids)
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
        source_ids, truncated = self._source(text)
        count = self._num_hypotheses
        found = self._in_parts(self._n_best_of_many, source_ids)
        return {
            "translations": tf.ensure_shape(self._texts(found["ids"]), [None, count]),
            "scores": found["scores"],
            "truncated": truncated,
        }

    @property
    def _longest(self):
        """Most tokens of any answer."""
        return longest_answer(self._text_model, self._search)

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

    def _translate(self):
        """The signature with an input for each option."""
        named = {option.name: option for option in self._options}
        specs = [
            TEXT,
            *(tf.TensorSpec([None], named[name].dtype, name=name) for name in _INPUTS),
            tf.TensorSpec([None], tf.string, name="target_prefix"),
        ]
        # A tensor as a default becomes the signature's, which the server fills in.
        defaults = [*(named[name].default_tensor() for name in _INPUTS)]
        defaults.append(tf.constant([""]))

        @graph(input_signature=specs)
        def translate(
            text,
            num_hypotheses=defaults[0],
            length_penalty=defaults[1],
            max_length=defaults[2],
            target_prefix=defaults[3],
        ):
            rows = tf.shape(text)
            values = dict(zip(_INPUTS, (num_hypotheses, length_penalty, max_length)))
            given = given_options(self._options, values, rows)
            given.prefix = tf.broadcast_to(target_prefix, rows)
            return self._answer_rows(text, given, self._search.sample)

        return translate

    def _answer_rows(self, text, given, sampled):
        """Answers to texts `(B,)` whose options are `RowOptions`."""
        source_ids, truncated = self._source(text)
        values = {name: v for name, v in given.values.items() if name != "sample"}
        sources = tf.math.count_nonzero(source_ids, axis=1, dtype=tf.int32)
        own = tf.minimum(sources + self._search.extra_length, self._longest)
        lengths = tf.where(values["max_length"] > 0, values["max_length"], own)
        # What has no answer is over at once.
        values["max_length"] = tf.where(given.answered, lengths, 1)
        values["target_prefix"] = self._prefix(given.prefix)
        found = self._search_of_rows(source_ids, values, sampled)
        counts = tf.where(given.answered, values["num_hypotheses"], 0)
        texts, scores = self._columns(found, counts)
        return {
            "translations": texts,
            "scores": scores,
            "num_hypotheses": counts,
            "truncated": truncated,
            "bounded": given.bounded,
            "error": given.error,
        }

    def _prefix(self, target_prefix):
        ids = self._text_model.target_tokenizer.tokenize(target_prefix)
        return ids[:, : self._longest].to_tensor()

    def _reference_ids(self, reference):
        """Ids `(B, T)` with the end token, no longer than an answer can be.

        And whether each reference was cut off.
        """
        ids, truncated = encode_references(self._text_model, reference, self._longest)
        ids = ids.to_tensor()
        # An empty batch has a column too.
        missing = tf.maximum(1 - tf.shape(ids)[1], 0)
        return tf.pad(ids, [[0, 0], [0, missing]]), truncated

    @graph(input_signature=[TEXT, _REFERENCE])
    def score(self, text, reference):
        source_ids, is_cut = self._source(text)
        target_ids, reference_is_cut = self._reference_ids(reference)
        start_id = self._text_model.target_tokenizer.start_id
        with self._model_in_use():
            found = log_probs(self._model, source_ids, target_ids, start_id)
        return {
            "log_prob": tf.reduce_sum(found, axis=1),
            "num_tokens": tf.math.count_nonzero(target_ids, axis=1, dtype=tf.int32),
            "truncated": is_cut | reference_is_cut,
        }

    @graph(input_signature=[TEXT])
    def explain(self, text):
        source_ids, truncated = self._source(text)
        best = self._best(source_ids)["ids"]
        ids = best[:, 0]
        lengths = tf.math.count_nonzero(ids, axis=1, dtype=tf.int32)
        ids = ids[:, : tf.reduce_max(tf.concat([lengths, [1]], axis=0))]
        start_id = self._text_model.target_tokenizer.start_id
        with self._model_in_use():
            found = explain(self._model, source_ids, ids, start_id)
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
            "aligned_source": tf.where(ids > 0, aligned, -1),
            "num_tokens": lengths,
            "source_tokens": self._tokens(translator.source_tokenizer, source_ids),
            "num_source_tokens": tf.math.count_nonzero(
                source_ids, axis=1, dtype=tf.int32
            ),
            "truncated": truncated,
        }

    @graph(input_signature=[TEXT])
    def encode(self, text):
        source_ids, truncated = self._source(text)
        with self._model_in_use():
            states = tf.cast(self._model.encode(source_ids), tf.float32)
        pool = MaskedPooling("mean", dtype="float32")
        mean = pool(states, mask=source_ids > 0)
        return {"embedding": mean, "truncated": truncated}

    def _answer_ids(self, source_ids, source_length, search):
        most = self._text_model.longest_source
        size = self._model.source_embedding.vocabulary_size
        source_ids = source_ids[:, :most]
        # A server that pads ids itself doesn't pad with zero: lengths tell.
        is_own = tf.sequence_mask(source_length, tf.shape(source_ids)[1])
        source_ids = tf.where(is_own, source_ids, 0)
        is_known = (source_ids >= 0) & (source_ids < size)
        is_right = tf.reduce_all(is_known, axis=1)
        is_empty = tf.reduce_all(source_ids == 0, axis=1)
        error = tf.where(is_empty, "source_length leaves no ids but padding.", "")
        words = f"source_ids must be between 0 and {size - 1}."
        error = tf.where(is_right, error, words)
        is_answered = tf.equal(error, "")
        found = search(tf.where(is_answered[:, None], source_ids, 0))
        ids = tf.where(is_answered[:, None], found["ids"][:, 0], 0)
        return {
            "output_ids": ids,
            "output_length": tf.math.count_nonzero(ids, axis=1, dtype=tf.int32),
            "score": tf.where(is_answered, found["scores"][:, 0], NO_SCORE),
            "truncated": source_length > most,
            "error": error,
        }

    @graph(input_signature=[_IDS, _LENGTHS])
    def token_ids(self, source_ids, source_length):
        return self._answer_ids(source_ids, source_length, self._best)

    @graph(input_signature=[_IDS, _LENGTHS])
    def token_ids_xla(self, source_ids, source_length):
        return self._answer_ids(source_ids, source_length, self._best_compiled)
