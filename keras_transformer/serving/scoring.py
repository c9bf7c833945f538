"""The signatures of a translator's export that look into it: scores, alignments."""

import tensorflow as tf

from keras_transformer.decoding.explain import explain, log_probs
from keras_transformer.layers.pooling import MaskedPooling
from keras_transformer.serving.parts import answers_to_some
from keras_transformer.serving.signatures import NO_SCORE, TEXT, graph
from keras_transformer.serving.sources import read_sources
from keras_transformer.serving.translator_searches import TranslatorSearches
from keras_transformer.tasks.scoring import encode_references
from keras_transformer.text.documents import is_blank

_REFERENCE = tf.TensorSpec([None], tf.string, name="reference")


class ScoringSignatures(TranslatorSearches):
    """How probable answers are, why, and vectors of sources."""

    @graph(input_signature=[TEXT, _REFERENCE])
    def score(self, text: tf.Tensor, reference: tf.Tensor) -> dict[str, tf.Tensor]:
        sources = read_sources(self._text_model, text)
        target_ids, reference_is_cut = self._reference_ids(reference)
        start_id = self._text_model.target_tokenizer.start_id
        with self._weights.in_use() as model:
            found = log_probs(model, sources.ids, target_ids, start_id)
        # A blank source has one answer, itself: as good as any blank text.
        blank = ~sources.visible
        of_blank = tf.where(is_blank(reference), 0.0, NO_SCORE)
        counts = tf.math.count_nonzero(target_ids, axis=1, dtype=tf.int32)
        return {
            "log_prob": tf.where(blank, of_blank, tf.reduce_sum(found, axis=1)),
            "num_tokens": tf.where(blank & is_blank(reference), 0, counts),
            "truncated": sources.truncated | reference_is_cut,
        }

    def _reference_ids(self, reference):
        """Ids `(B, T)` with the end token, no longer than an answer can be.

        And whether each reference was cut off.
        """
        ids, truncated = encode_references(self._text_model, reference, self._longest)
        ids = ids.to_tensor()
        # An empty batch has a column too.
        missing = tf.maximum(1 - tf.shape(ids)[1], 0)
        return tf.pad(ids, [[0, 0], [0, missing]]), truncated

    @graph(input_signature=[TEXT])
    def explain(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        sources = read_sources(self._text_model, text)
        chosen = sources.visible
        best = answers_to_some(self._best_of_many, chosen, [sources.ids])["ids"]
        ids = best[:, 0]
        lengths = tf.math.count_nonzero(ids, axis=1, dtype=tf.int32)
        ids = ids[:, : tf.reduce_max(tf.concat([lengths, [1]], axis=0))]
        start_id = self._text_model.target_tokenizer.start_id
        with self._weights.in_use() as model:
            found = explain(model, sources.ids, ids, start_id)
        # One more column, below all others, so that an empty batch has one too.
        alignment = tf.pad(
            found["alignment"], [[0, 0], [0, 0], [0, 1]], constant_values=-1
        )
        aligned = tf.argmax(alignment, axis=2, output_type=tf.int32)
        source_ids = tf.where(sources.visible[:, None], sources.ids, 0)
        translator = self._text_model
        return {
            "translation": sources.with_blank(self._texts(best)[:, 0]),
            "tokens": self._tokens(translator.target_tokenizer, ids),
            "log_probs": found["log_probs"],
            "aligned_source": tf.where(ids > 0, aligned, -1),
            "num_tokens": lengths,
            "source_tokens": self._tokens(translator.source_tokenizer, source_ids),
            "num_source_tokens": tf.math.count_nonzero(
                source_ids, axis=1, dtype=tf.int32
            ),
            "truncated": sources.truncated,
        }

    def _tokens(self, tokenizer, ids):
        """Ids -> their pieces of text; nothing for padding."""
        pieces = tokenizer.tokens(range(tokenizer.vocabulary_size))
        pieces = tf.gather(tf.constant(pieces), tf.minimum(ids, len(pieces) - 1))
        return tf.where(ids > 0, pieces, "")

    @graph(input_signature=[TEXT])
    def encode(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        sources = read_sources(self._text_model, text)
        with self._weights.in_use() as model:
            states = tf.cast(model.encode(sources.ids), tf.float32)
        pool = MaskedPooling("mean", dtype="float32")
        mean = pool(states, mask=sources.ids > 0)
        return {"embedding": mean, "truncated": sources.truncated}
