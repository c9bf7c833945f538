"""The signatures of a text generator's export."""

import tensorflow as tf

from keras_transformer.serving.signatures import TEXT, SearchSignatures, graph

# One value for the request; the server fills in those that it doesn't give.
_OPTIONS = (
    ("max_new_tokens", tf.int32),
    ("temperature", tf.float32),
    ("top_p", tf.float32),
    ("seed", tf.int32),
)


class GenerationSignatures(SearchSignatures):
    """Prompts in and text out, around a text generator's search.

    Args:
        generator: A `kt.TextGenerator`.
        **options: See `SearchSignatures`.
    """

    names = ("serving_default", "generate")

    def __init__(self, generator, **options):
        super().__init__(generator, **options)
        self.generate = self._with_options()

    def _answer(self, text, **options):
        prompt_ids, truncated = self._text_model.encode(text)
        found = self._best_search(**options)(prompt_ids.to_tensor())
        return {
            "generated": self._texts(found["ids"])[:, 0],
            "score": found["scores"][:, 0],
            "truncated": truncated,
        }

    @graph(input_signature=[TEXT])
    def serving_default(self, text):
        return self._answer(text)

    def _with_options(self):
        """The signature whose inputs have defaults, one value for the request."""
        # A tensor as a default becomes the signature's, which the server fills in.
        defaults = [
            tf.constant([self._search.extra_length]),
            tf.constant([self._search.temperature]),
            tf.constant([self._search.top_p]),
            tf.constant([0]),
        ]
        specs = [TEXT]
        specs += [tf.TensorSpec([None], kind, name=name) for name, kind in _OPTIONS]

        @graph(input_signature=specs)
        def generate(
            text,
            max_new_tokens=defaults[0],
            temperature=defaults[1],
            top_p=defaults[2],
            seed=defaults[3],
        ):
            return self._answer(
                text,
                sample=True,
                extra_length=tf.maximum(max_new_tokens[0], 1),
                temperature=tf.maximum(temperature[0], 1e-3),
                top_p=tf.clip_by_value(top_p[0], 1e-6, 1.0),
                seed=seed[0],
            )

        return generate
