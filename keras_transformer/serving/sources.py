"""A translator's source texts in a graph; those without a visible character apart."""

import dataclasses

import tensorflow as tf

from keras_transformer.tasks.translator import Translator
from keras_transformer.text.documents import is_blank, split_language


@dataclasses.dataclass(frozen=True)
class Sources:
    """What a request's texts are to a translator's signatures.

    A text without any visible character is blank. The answer to it is the text itself,
    without a language token before it, and no model sees it.

    Args:
        ids: int32 `(B, S)`, as of an empty text where a text is blank.
        truncated: bool `(B,)`: whether a text was cut off.
        visible: bool `(B,)`: whether a text isn't blank.
        answer: string `(B,)`, valid UTF-8: the answer to a blank text.
    """

    ids: tf.Tensor
    truncated: tf.Tensor
    visible: tf.Tensor
    answer: tf.Tensor

    def with_blank(
        self, texts: tf.Tensor, prefix: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Answers `(B,)` or `(B, n)`, those to blank texts in their places.

        Args:
            texts: string `(B,)` or `(B, n)`.
            prefix: string `(B,)` that answers begin with, or None.
        """
        answer = self.answer
        if prefix is not None:
            answer = tf.strings.join([prefix, answer])
        if texts.shape.rank == 2:
            return tf.where(self.visible[:, None], texts, answer[:, None])
        return tf.where(self.visible, texts, answer)


def read_sources(translator: Translator, text: tf.Tensor) -> Sources:
    """Texts `(B,)` -> `Sources`."""
    _, answer = split_language(text, translator.source_tokenizer)
    blank = is_blank(answer)
    ids, truncated = translator.encode(tf.where(blank, "", text))
    return Sources(ids.to_tensor(), truncated, ~blank, valid_utf8(answer))


def valid_utf8(texts: tf.Tensor) -> tf.Tensor:
    """Strings with U+FFFD for what isn't UTF-8, which REST doesn't take."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
