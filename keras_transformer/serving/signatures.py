"""What the signatures of all exports share: a text model in a graph."""

import functools
from typing import Any

import tensorflow as tf

from keras_transformer.kernels.impossible import IMPOSSIBLE
from keras_transformer.layers.quantization import check_not_quantized
from keras_transformer.serving.exported_weights import ExportedWeights

# Nothing here needs Python's ifs and loops translated, which takes long.
graph = functools.partial(tf.function, autograph=False)
TEXT = tf.TensorSpec([None], tf.string, name="text")
# The score of what isn't an answer: of columns past a row's own, and of rows that
# can't be answered.
NO_SCORE = IMPOSSIBLE


class Signatures:
    """Functions of a graph around a text model.

    Args:
        text_model: A `kt.Translator`, `kt.TextGenerator` or `kt.TextEncoder`.
        weights: Name of a format in `weights.FORMATS`.
    """

    names: tuple[str, ...] = ()
    # Those that the warm-up asks in every batch size.
    serving_default: Any
    main_names: tuple[str, ...] = ("serving_default",)

    def __init__(self, text_model: Any, weights: str = "float32") -> None:
        check_not_quantized(text_model.model, "An export, which has weights='int8',")
        self._text_model = text_model
        self._weights = ExportedWeights(text_model.model, weights)
        self._model = self._weights.model

    def functions(self) -> dict[str, Any]:
        """The signatures by name."""
        return {name: getattr(self, name) for name in self.names}

    def requests(self, texts: list[str]) -> list[tuple[str, dict[str, Any]]]:
        """Requests about texts for the warm-up, so that no user's request is a first.

        Args:
            texts: List of B strings.

        Returns:
            List of pairs: a signature's name, and a dict of its inputs, all of them
            and each with B rows, as a server that joins requests wants.
        """
        return [(name, {"text": texts}) for name in self.names]

    def answers(self, texts: list[str]) -> dict[str, tf.Tensor]:
        """What `serving_default` answers to texts, to compare an export with."""
        return self.serving_default(tf.constant(texts))

    def resources(self) -> tf.Module:
        """What must be written beside the graph: a module that keeps track of it."""
        module = tf.Module()
        self._weights.track(module)
        tokenizers = {
            self._text_model.source_tokenizer,
            self._text_model.target_tokenizer,
        }
        module.tables = [r for t in tokenizers for r in getattr(t, "resources", ())]
        return module

    def _source(self, text):
        """Texts `(B,)` -> ids `(B, S)`, and whether each text was cut off."""
        source_ids, truncated = self._text_model.encode(text)
        return source_ids.to_tensor(), truncated
