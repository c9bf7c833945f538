"""The TextEncoder: an encoder and its tokenizer, text in, vectors or classes out."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transformer import kernels
from keras_transformer.compilation import check_numbers, compiled
from keras_transformer.models.encoder_model import EncoderModel
from keras_transformer.tasks.text_model import TextModel
from keras_transformer.text.any_tokenizer import AnyTokenizer
from keras_transformer.texts import as_texts


class TextEncoder(TextModel):
    """Embeds text, and sorts it into classes, with an encoder.

    Args:
        model: A `kt.EncoderModel`, with `num_classes` to classify.
        tokenizer: Its `kt.text.Tokenizer`, or a tokenizer of KerasHub.
        labels: List of the classes' names, in the order of the model's logits.
        max_source_length: Most tokens of a text, end token included; longer ones are
            cut off, with a warning.

    Raises:
        ValueError: If the tokenizer has more ids than the model's embedding, there is
            another number of labels than of classes, or `max_source_length` isn't
            positive.
        TypeError: For an argument of another type.

    Example:

    >>> encoder = kt.TextEncoder(model, tokenizer, labels=["bad", "good"])
    >>> encoder.classify(["What a fine day."])
    ['good']
    """

    model_class = EncoderModel
    settings_file = "text_encoder.json"

    def __init__(
        self,
        model: EncoderModel,
        tokenizer: AnyTokenizer,
        labels: Iterable[str] | None = None,
        max_source_length: int = 256,
    ) -> None:
        super().__init__(model, tokenizer, None, max_source_length)
        self.labels = None if labels is None else as_texts(labels, "labels")[0]
        classes = model.config["num_classes"]
        if self.labels is not None and len(self.labels) != classes:
            raise ValueError(
                "labels must have a name for each of the model's classes; received "
                f"{len(self.labels)} labels for num_classes={classes}."
            )
        self._functions: dict[str, Any] = {}

    def embed(
        self, texts: str | Iterable[str], tokens_per_batch: int = 4096
    ) -> np.ndarray:
        """Vectors of texts; see `kt.EncoderModel.embed`.

        Args:
            texts: List of strings, or one string.
            tokens_per_batch: Most tokens at once, padding included.

        Returns:
            A float32 array `(B, D)`, for one string `(D,)`.

        Raises:
            TypeError: If `texts` isn't made of strings.
            FloatingPointError: If the model gives no numbers (NaN).
        """
        texts, is_one = as_texts(texts)
        vectors = self._run("vectors", texts, tokens_per_batch)
        return vectors[0] if is_one else vectors

    def classify(
        self,
        texts: str | Iterable[str],
        *,
        return_scores: bool = False,
        tokens_per_batch: int = 4096,
    ) -> Any:
        """The most probable class of each text.

        Args:
            texts: List of strings, or one string.
            return_scores: Whether to return the probabilities too.
            tokens_per_batch: Most tokens at once, padding included.

        Returns:
            A list of labels, or of the classes' numbers if there are none (one of
            them for a string); with `return_scores` a tuple of it and a float32 array
            `(B, num_classes)`, for a string `(num_classes,)`.

        Raises:
            ValueError: If the model has no classes.
            TypeError: If `texts` isn't made of strings.
            FloatingPointError: If the model gives no numbers (NaN).
        """
        if self.model.config["num_classes"] is None:
            raise ValueError("The model has no classes: give it num_classes.")
        texts, is_one = as_texts(texts)
        scores = self._run("probabilities", texts, tokens_per_batch)
        best = scores.argmax(axis=1).tolist()
        names = best if self.labels is None else [self.labels[i] for i in best]
        if is_one:
            names, scores = names[0], scores[0]
        return (names, scores) if return_scores else names

    def vectors(
        self, source_ids: tf.Tensor, model: EncoderModel | None = None
    ) -> tf.Tensor:
        """Ids `(B, S)` -> vectors `(B, D)`, in the graph."""
        return (model or self.model).embed(source_ids)

    def probabilities(
        self, source_ids: tf.Tensor, model: EncoderModel | None = None
    ) -> tf.Tensor:
        """Ids `(B, S)` -> probabilities of the classes, in the graph."""
        logits = (model or self.model)(source_ids, training=False)
        return kernels.softmax(logits, logits.dtype)

    def _run(self, name, texts, tokens_per_batch):
        if name not in self._functions:
            function = getattr(self, name)
            self._functions[name] = compiled(
                lambda inputs: {name: function(inputs["source_ids"])},
                self.model,
                {"source_ids": keras.KerasTensor((None, None), "int32")},
            )
        config = self.model.config
        widths = {"vectors": "hidden_dim", "probabilities": "num_classes"}
        found = np.zeros((len(texts), config[widths[name]]), "float32")
        for rows, source_ids in self._batches(texts, tokens_per_batch):
            part = self._functions[name]({"source_ids": source_ids})[name]
            check_numbers(part, self.model)
            found[rows] = keras.ops.convert_to_numpy(part)
        return found

    def _settings(self):
        return {**super()._settings(), "labels": self.labels}
