"""Held-out translations and their attention, in TensorBoard."""

from __future__ import annotations

import os
import warnings
from typing import Any

import keras

from keras_transformer.tasks.translator import Translator
from keras_transformer.texts import markdown_table

_DOTS_PER_INCH = 60


def writes_samples() -> bool:
    """Whether the backend is TensorFlow, whose summaries these are."""
    return keras.backend.backend() == "tensorflow"


class HeldOutSamples(keras.callbacks.Callback):
    """Shows after each epoch how held-out sentences are translated.

    TensorBoard has each source, translation and reference as text, and as a picture
    what each head of the last decoder block attends to while it writes.

    Args:
        translator: A `Translator` of the model in training.
        sources: List of strings to translate.
        references: List of strings, their translations.
        folder: TensorBoard's folder; None on a worker that translates, but doesn't
            write.

    Example:

    >>> samples = HeldOutSamples(translator, sources, references, "logs/held_out")
    >>> model.fit(batches, callbacks=[samples])
    """

    def __init__(
        self,
        translator: Translator,
        sources: list[str],
        references: list[str],
        folder: str | os.PathLike | None,
    ) -> None:
        super().__init__()
        self.translator = translator
        self.sources = sources
        self.references = references
        self.folder = folder
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        answers = self.translator.translate(self.sources, beam_size=1)
        if self.folder is None:
            return
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(os.fspath(self.folder))
        rows = list(zip(self.sources, answers, self.references))
        with self._writer.as_default(step=epoch):
            tf.summary.text("translations", _table(rows))
            for number, (source, answer, _) in enumerate(rows):
                if source.strip():
                    picture = _picture(self.translator, source, answer)
                    tf.summary.image(f"attention/{number}", picture)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _table(rows):
    """Rows of texts as a table of Markdown, each text in one line."""
    cells = [[" ".join(text.split()) for text in row] for row in rows]
    return markdown_table([("source", "translation", "reference"), *cells])


def _picture(translator, source, answer):
    """The attention of a translation, uint8 `(1, height, width, 4)`."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from keras_transformer.plotting import plot_attention

    figure = plot_attention(translator, source, answer)
    figure.set_dpi(_DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # An answer of one token leaves little room.
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[None]
