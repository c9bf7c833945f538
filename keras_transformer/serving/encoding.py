"""The signatures of a text encoder's export."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_transformer.serving.signatures import TEXT, Signatures, graph


class EncodingSignatures(Signatures):
    """Text in, vectors and classes out.

    Args:
        encoder: A `kt.TextEncoder`.
        weights: See `Signatures`.
    """

    names: tuple[str, ...] = ("serving_default", "embed")

    def __init__(self, encoder: Any, weights: str = "float32") -> None:
        super().__init__(encoder, weights)
        if self._model.config["num_classes"]:
            self.names += ("classify",)

    @graph(input_signature=[TEXT])
    def embed(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        source_ids, truncated = self._source(text)
        with self._weights.in_use():
            vectors = self._text_model.vectors(source_ids, self._model)
        return {"embedding": vectors, "truncated": truncated}

    @graph(input_signature=[TEXT])
    def classify(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        source_ids, truncated = self._source(text)
        with self._weights.in_use():
            scores = self._text_model.probabilities(source_ids, self._model)
        labels = self._text_model.labels
        if labels is None:
            labels = [str(number) for number in range(scores.shape[1])]
        best = tf.argmax(scores, axis=1)
        return {
            "label": tf.gather(tf.constant(labels), best),
            "scores": scores,
            "truncated": truncated,
        }

    @property
    def serving_default(self) -> Callable[..., Any]:
        """Classes where the model has any, vectors otherwise."""
        return self.classify if "classify" in self.names else self.embed
