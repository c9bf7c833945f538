"""The signatures of a translator's export: text in, text out."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_transformer.serving.documents import INPUTS_OF_DOCUMENTS
from keras_transformer.serving.glossary import GlossarySignatures
from keras_transformer.serving.parts import answers_to_some
from keras_transformer.serving.request_options import (
    given_options,
    option_inputs,
    wrong_lengths,
)
from keras_transformer.serving.scoring import ScoringSignatures
from keras_transformer.serving.signatures import NO_SCORE, TEXT, graph
from keras_transformer.serving.sources import read_sources
from keras_transformer.serving.streaming import StreamingSignatures
from keras_transformer.tasks.translator import Translator

_IDS = tf.TensorSpec([None, None], tf.int32, name="source_ids")
_LENGTHS = tf.TensorSpec([None], tf.int32, name="source_length")
# Options that `translate` has an input for, beside the prefix.
_INPUTS = "num_hypotheses", "length_penalty", "max_length"


class TranslationSignatures(ScoringSignatures, StreamingSignatures, GlossarySignatures):
    """All signatures of a translator; arguments as of `TranslatorSearches`."""

    names = (
        "serving_default",
        "n_best",
        "translate",
        "with_options",
        "glossary",
        "document",
        "document_with_options",
        "split",
        "stream",
        "score",
        "explain",
        "encode",
        "token_ids",
    )
    xla_names = ("serving_default_xla", "token_ids_xla")

    def __init__(self, translator: Translator, *args: Any, **options: Any) -> None:
        super().__init__(translator, *args, **options)
        self.translate = self._translate()
        self.with_options = self._with_options(
            self._answer_rows, self._options, prefix="target_prefix"
        )

    def requests(self, texts: list[str]) -> list[tuple[str, dict[str, Any]]]:
        ids = read_sources(self._text_model, tf.constant(texts)).ids
        lengths = tf.math.count_nonzero(ids, axis=1, dtype=tf.int32).numpy()
        none = np.zeros(len(texts), "int32")
        prefix = {"target_prefix": [""] * len(texts)}
        (_, given), *with_options = self._option_requests(texts, "translate", _INPUTS)
        of_documents = {name: given[name] for name in ("text", *INPUTS_OF_DOCUMENTS)}
        so_far = {"output_ids": none[:, None], "output_length": none}
        inputs = {
            "translate": {**given, **prefix},
            "document": {**of_documents, **prefix},
            "document_with_options": {"text": texts, "options": [""] * len(texts)},
            "stream": {"text": texts, **so_far, "num_tokens": none + 8},
            "glossary": {
                "text": texts,
                "glossary_source": [[text] for text in texts],
                "glossary_target": [[text] for text in texts],
                "options": [""] * len(texts),
            },
            "score": {"text": texts, "reference": texts},
            "token_ids": {"source_ids": ids.numpy(), "source_length": lengths},
        }
        others = [name for name in self.names if name != "with_options"]
        plain = [(name, inputs.get(name, {"text": texts})) for name in others]
        return plain + with_options

    def functions(self) -> dict[str, Any]:
        names = self.names + self.xla_names if self._best_compiled else self.names
        return {name: getattr(self, name) for name in names}

    def _answer(self, text, search):
        sources = read_sources(self._text_model, text)
        found = answers_to_some(search, sources.visible, [sources.ids])
        return {
            "translation": sources.with_blank(self._texts(found["ids"])[:, 0]),
            "score": found["scores"][:, 0],
            "truncated": sources.truncated,
        }

    @graph(input_signature=[TEXT])
    def serving_default(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answer(text, self._best)

    @graph(input_signature=[TEXT])
    def serving_default_xla(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answer(text, self._best_compiled)

    @graph(input_signature=[TEXT])
    def n_best(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, count = tf.shape(text), self._num_hypotheses
        # `translate` has this search too: a further one takes memory.
        given = given_options(self._options, {}, rows)
        given.values["num_hypotheses"] = tf.fill(rows, count)
        given.prefix = tf.fill(rows, "")
        found = self._answer_rows(text, given, self._search.sample)
        # An empty batch has as many columns.
        return {
            "translations": tf.reshape(found["translations"], [-1, count]),
            "scores": tf.reshape(found["scores"], [-1, count]),
            "truncated": found["truncated"],
        }

    def _translate(self):
        """The signature with an input for each option."""
        specs, defaults = option_inputs(self._options, _INPUTS)

        @graph(input_signature=[TEXT, *specs])
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
        sources = read_sources(self._text_model, text)
        values = {name: v for name, v in given.values.items() if name != "sample"}
        values["max_length"] = self._most_tokens(sources.ids, values["max_length"])
        values["target_prefix"] = prefix = self._prefix_ids(given.prefix)
        chosen = given.answered & sources.visible
        found = self._search_of_some(chosen, sources.ids, values, sampled)
        return self._answers(found, sources, given, values["num_hypotheses"], prefix)

    def _answer_ids(self, source_ids, source_length, search):
        most = self._text_model.longest_source
        size = self._model.source_embedding.vocabulary_size
        error = wrong_lengths("source_length", source_length, source_ids)
        source_ids = source_ids[:, :most]
        # A server that pads ids itself doesn't pad with zero: lengths tell.
        is_own = tf.sequence_mask(source_length, tf.shape(source_ids)[1])
        source_ids = tf.where(is_own, source_ids, 0)
        is_known = (source_ids >= 0) & (source_ids < size)
        is_right = tf.reduce_all(is_known, axis=1)
        is_empty = tf.reduce_all(source_ids == 0, axis=1) & tf.equal(error, "")
        error = tf.where(is_empty, "source_length leaves no ids but padding.", error)
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
    def token_ids(
        self, source_ids: tf.Tensor, source_length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return self._answer_ids(source_ids, source_length, self._best)

    @graph(input_signature=[_IDS, _LENGTHS])
    def token_ids_xla(
        self, source_ids: tf.Tensor, source_length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return self._answer_ids(source_ids, source_length, self._best_compiled)
