"""The signatures of a text generator's export."""

from typing import Any

import tensorflow as tf

from keras_transformer.serving.request_options import Option, given_options
from keras_transformer.serving.searching import SearchSignatures
from keras_transformer.serving.signatures import TEXT, graph

# Options that `generate` has an input for.
_INPUTS = "max_new_tokens", "temperature", "top_p", "seed"


class GenerationSignatures(SearchSignatures):
    """Prompts in and text out, around a text generator's search.

    Args:
        generator: A `kt.TextGenerator`.
        **options: See `SearchSignatures`.
    """

    names = ("serving_default", "generate", "with_options")
    main_names = ("serving_default", "generate")

    def __init__(self, generator: Any, **options: Any) -> None:
        super().__init__(generator, **options)
        self._best, *_ = self._best_searches()
        self.generate = self._generate()
        self.with_options = self._with_options(self._answer_rows, self._options)

    def requests(self, texts: list[str]) -> list[tuple[str, dict[str, Any]]]:
        requests = [("serving_default", {"text": texts})]
        return requests + [*self._option_requests(texts, "generate", _INPUTS)]

    @graph(input_signature=[TEXT])
    def serving_default(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        prompt_ids, truncated = self._source(text)
        found = self._best(prompt_ids)
        return {
            "generated": self._texts(found["ids"])[:, 0],
            "score": found["scores"][:, 0],
            "truncated": truncated,
        }

    def _row_options(self):
        """What a row may ask for, with the export's own values as defaults."""
        most = max(self._search.extra_length, self._text_model.longest_source)
        return [
            Option("max_new_tokens", self._search.extra_length, 1, most),
            Option("min_new_tokens", 0, 0, most),
            Option("sample", self._search.sample, 0, 1, tf.bool),
            *self._sampling_options(),
        ]

    def _generate(self):
        """The signature that draws, with an input for each option."""
        named = {option.name: option for option in self._options}
        specs = [
            TEXT,
            *(tf.TensorSpec([None], named[name].dtype, name=name) for name in _INPUTS),
        ]
        # A tensor as a default becomes the signature's, which the server fills in.
        defaults = [named[name].default_tensor() for name in _INPUTS]

        @graph(input_signature=specs)
        def generate(
            text,
            max_new_tokens=defaults[0],
            temperature=defaults[1],
            top_p=defaults[2],
            seed=defaults[3],
        ):
            values = dict(zip(_INPUTS, (max_new_tokens, temperature, top_p, seed)))
            given = given_options(self._options, values, tf.shape(text))
            return self._answer_rows(text, given, True)

        return generate

    def _answer_rows(self, text, given, sampled):
        """Answers to prompts `(B,)` whose options are `RowOptions`."""
        prompt_ids, truncated = self._source(text)
        lengths = tf.math.count_nonzero(prompt_ids, axis=1, dtype=tf.int32)
        values = {n: v for n, v in given.values.items() if not n.endswith("_tokens")}
        del values["sample"]
        values["num_hypotheses"] = tf.ones_like(lengths)
        asked = lengths + given.values["max_new_tokens"]
        longest = self._search.max_length or self._model.max_length
        most = tf.minimum(asked, longest) if longest else asked
        values["max_length"] = most
        values["min_length"] = tf.maximum(
            lengths + given.values["min_new_tokens"], self._search.min_length or 1
        )
        found = self._search_of_some(given.answered, prompt_ids, values, sampled)
        texts, scores = self._columns(
            self._texts(found["ids"]),
            found["scores"],
            tf.cast(given.answered, tf.int32),
        )
        return {
            "generated": texts[:, 0],
            "score": scores[:, 0],
            "truncated": truncated,
            "bounded": given.bounded | (most < asked),
            "error": given.error,
        }
