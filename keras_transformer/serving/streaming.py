"""The signatures of a translator's export that give an answer bit by bit."""

import tensorflow as tf

from keras_transformer.serving.documents import DocumentSignatures
from keras_transformer.serving.request_options import given_options, wrong_lengths
from keras_transformer.serving.signatures import TEXT, graph
from keras_transformer.serving.sources import read_sources

_OUTPUT_IDS = tf.TensorSpec([None, None], tf.int32, name="output_ids")
_LENGTHS = tf.TensorSpec([None], tf.int32, name="output_length")
_NUM_TOKENS = tf.TensorSpec([None], tf.int32, name="num_tokens")


class StreamingSignatures(DocumentSignatures):
    """Sentences of documents, and some more tokens of a sentence's answer."""

    @graph(input_signature=[TEXT, _OUTPUT_IDS, _LENGTHS, _NUM_TOKENS])
    def stream(
        self,
        text: tf.Tensor,
        output_ids: tf.Tensor,
        output_length: tf.Tensor,
        num_tokens: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        sources = read_sources(self._text_model, text)
        # A server that pads ids itself doesn't pad with zero: lengths tell.
        is_own = tf.sequence_mask(output_length, tf.shape(output_ids)[1])
        forced = tf.where(is_own, output_ids, 0)[:, : self._longest]
        error = self._error_in(forced)
        wrong = wrong_lengths("output_length", output_length, output_ids)
        error = tf.where(tf.equal(error, ""), wrong, error)
        # The model never sees ids that it doesn't know.
        forced = tf.where(tf.equal(error, "")[:, None], forced, 0)
        given = given_options(self._options, {}, tf.shape(text))
        values = {name: v for name, v in given.values.items() if name != "sample"}
        most = self._most_tokens(sources.ids, values["max_length"])
        wanted = tf.math.count_nonzero(forced, axis=1, dtype=tf.int32)
        wanted += tf.clip_by_value(num_tokens, 1, self._longest)
        # One more, as the last token of a search may be an end that was forced.
        values["max_length"] = tf.minimum(wanted + 1, most)
        values["target_prefix"] = forced
        chosen = sources.visible & tf.equal(error, "")
        found = self._search_of_some(chosen, sources.ids, values, self._search.sample)
        ids = tf.ensure_shape(found["ids"], [None, 1, None])[:, 0]
        lengths = tf.math.count_nonzero(ids, axis=1, dtype=tf.int32)
        finished = (wanted + 1 >= most) | (lengths <= wanted)
        lengths = tf.where(finished, lengths, wanted)
        ids = tf.where(tf.sequence_mask(lengths, tf.shape(ids)[1]), ids, 0)
        texts = sources.with_blank(self._texts(ids[:, None])[:, 0])
        return {
            "translation": tf.where(tf.equal(error, ""), texts, ""),
            "output_ids": ids,
            "output_length": lengths,
            "finished": finished,
            "truncated": sources.truncated,
            "error": error,
        }

    def _error_in(self, output_ids):
        """Why rows of ids can't begin an answer: string `(B,)`, `""` where they can."""
        size = self._text_model.target_tokenizer.vocabulary_size
        is_known = (output_ids >= 0) & (output_ids < size)
        words = f"output_ids must be between 0 and {size - 1}."
        return tf.where(tf.reduce_all(is_known, axis=1), "", words)
