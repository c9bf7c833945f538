"""The training loss: cross-entropy with label smoothing (section 5.4)."""

import keras
from keras import ops

from keras_transformer import arguments
from keras_transformer.training.crossentropy import smoothed_crossentropy
from keras_transformer.training.labels import (
    check_padding_id,
    labels_that_count,
    mean,
    read_labels,
    read_weights,
)
from keras_transformer.training.strategy import sum_over_replicas


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedCrossentropy(keras.losses.Loss):
    """Smoothed cross-entropy from logits, averaged over tokens that aren't padding.

    With smoothing e the target distribution gives `1 - e` to the label and spreads e
    over the whole vocabulary, so
    `loss = logsumexp(z) - (1 - e) z[label] - e mean(z)`, in float32, or in float64 if
    the logits or the loss have that dtype.

    Args:
        label_smoothing: Smoothing e in `[0, 1)`; the paper's is 0.1.
        padding_id: Label that weighs nothing, such as 0 or -100. With None each label
            is a class.
        reduction: `"sum_over_batch_size"` or `"mean"` divides the sum of weighted
            losses by the number of real tokens, `"mean_with_sample_weight"` by the sum
            of their weights; `"sum"` adds them up, `"none"` or None gives a loss for
            each token.
        name: Name of the loss.
        dtype: Dtype of the result, if it is wider than float32.

    Call arguments:
        y_true: Labels `(B, T)` or `(B, T, 1)`: integers from 0 to V - 1, or
            `padding_id`.
        y_pred: Logits `(B, T, V)`. Tokens that their Keras mask excludes are no real
            ones.
        sample_weight: Optional weights `(B,)` or `(B, 1)` of rows, or `(B, T)` of
            tokens.

    Under a `tf.distribute` strategy the average is that of the global batch, however
    unequal the numbers of real tokens of its parts.

    Returns:
        A float32 scalar, or `(B, T)` with `reduction="none"`. A batch of padding alone
        has loss 0. A label that is no class makes the loss NaN where it can't be an
        error: under `jax.jit` and XLA.

    Raises:
        TypeError: For a `label_smoothing` or a `padding_id` that is no number.
        ValueError: For a `label_smoothing` outside of `[0, 1)`, an unknown
            `reduction`, labels or weights of another shape, and a label that
            is no class.

    Example:

    >>> loss = kt.training.MaskedCrossentropy(label_smoothing=0.1)
    >>> model.compile("adam", loss)

    Reference: [Rethinking the Inception Architecture](https://arxiv.org/abs/1512.00567),
    section 7.
    """

    def __init__(
        self,
        label_smoothing=0.1,
        padding_id=0,
        reduction="sum_over_batch_size",
        name="masked_crossentropy",
        **kwargs,
    ):
        super().__init__(reduction=reduction, name=name, **kwargs)
        self.label_smoothing = arguments.number(
            "label_smoothing", label_smoothing, minimum=0, below=1
        )
        self.padding_id = check_padding_id(padding_id)

    def __call__(self, y_true, y_pred, sample_weight=None):
        _, counts = labels_that_count(y_true, y_pred, self.padding_id)
        losses = self.call(y_true, y_pred)
        weights = read_weights(sample_weight, counts, losses.dtype)
        weighted = losses * weights
        if self.reduction in (None, "none"):
            return weighted
        total = ops.sum(weighted)
        if self.reduction == "sum":
            return total
        by_weight = self.reduction == "mean_with_sample_weight"
        count = ops.sum(weights if by_weight else ops.cast(counts, losses.dtype))
        # Gradients are summed over replicas, so that each real token weighs the same.
        return mean(total, sum_over_replicas(count))

    def call(self, y_true, y_pred):
        """The loss of every token `(B, T)`; that of padding is of no meaning."""
        labels, _, unknown = read_labels(y_true, y_pred, self.padding_id)
        losses = smoothed_crossentropy(
            labels, y_pred, self.label_smoothing, dtype=self.dtype
        )
        return ops.where(unknown, float("nan"), losses)

    def get_config(self):
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "padding_id": self.padding_id,
        }
