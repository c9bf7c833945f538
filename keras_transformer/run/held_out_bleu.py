"""BLEU of held-out sentences during training."""

from typing import Any

import keras

from keras_transformer import evaluation
from keras_transformer.tasks.translator import Translator


class HeldOutBleu(keras.callbacks.Callback):
    """Translates held-out sentences after each epoch and logs `val_bleu`.

    Place it before loggers in the list of callbacks, so that they see the figure.

    Args:
        translator: A `Translator` of the model in training.
        sources: List of strings to translate.
        references: List of strings, their translations.
        beam_size: Number of hypotheses; greedy by default, for speed.

    Example:

    >>> model.fit(batches, callbacks=[HeldOutBleu(translator, sources, references)])
    """

    def __init__(
        self,
        translator: Translator,
        sources: list[str],
        references: list[str],
        beam_size: int = 1,
    ) -> None:
        super().__init__()
        self.translator = translator
        self.sources = sources
        self.references = references
        self.beam_size = beam_size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        hypotheses = self.translator.translate(self.sources, beam_size=self.beam_size)
        score, _ = evaluation.bleu(hypotheses, self.references)
        if logs is not None:
            logs["val_bleu"] = score
