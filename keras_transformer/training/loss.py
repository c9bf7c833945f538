"""The training loss: cross-entropy with label smoothing (section 5.4)."""

import contextlib

import keras
from keras import ops

from keras_transformer.training.strategy import sum_over_replicas


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedCrossentropy(keras.losses.Loss):
    """Smoothed cross-entropy from logits, averaged over tokens that aren't padding.

    With smoothing e the target distribution gives `1 - e` to the label and spreads e
    over the whole vocabulary, so
    `loss = logsumexp(z) - (1 - e) z[label] - e mean(z)`, in float32.

    Args:
        label_smoothing: Smoothing e in `[0, 1)`; the paper's is 0.1.
        padding_id: Label that weighs nothing.
        reduction: `"sum_over_batch_size"` divides the sum of weighted losses by the
            number of real tokens, `"mean_with_sample_weight"` by the sum of their
            weights; `"sum"` adds them up, `"none"` gives a loss for each token.

    Call arguments:
        y_true: Integer labels `(B, T)`.
        y_pred: Logits `(B, T, V)`.
        sample_weight: Optional weights that broadcast to `(B, T)`.

    Under a `tf.distribute` strategy the average is that of the global batch, however
    unequal the numbers of real tokens of its parts.

    Returns:
        A float32 scalar, or `(B, T)` with `reduction="none"`. A batch of padding alone
        has loss 0.

    Raises:
        ValueError: For a `label_smoothing` outside of `[0, 1)`.

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
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                "label_smoothing must be in [0, 1); "
                f"received label_smoothing={label_smoothing}."
            )
        self.label_smoothing = label_smoothing
        self.padding_id = padding_id

    def __call__(self, y_true, y_pred, sample_weight=None):
        real = ops.cast(ops.not_equal(y_true, self.padding_id), "float32")
        weights = real
        if sample_weight is not None:
            weights = real * ops.cast(sample_weight, "float32")
        averaged_over = {
            "sum_over_batch_size": real,
            "mean_with_sample_weight": weights,
        }
        if self.reduction not in averaged_over:
            return super().__call__(y_true, y_pred, sample_weight=weights)
        total = ops.sum(self.call(y_true, y_pred) * weights)
        count = ops.sum(averaged_over[self.reduction])
        # Gradients are summed over replicas, so that each real token weighs the same.
        return ops.divide_no_nan(total, sum_over_replicas(count))

    def call(self, y_true, y_pred):
        """The loss of every token `(B, T)`, padding not masked."""
        logits = ops.cast(y_pred, "float32")
        vocabulary_size = logits.shape[-1]
        rows = ops.reshape(logits, (-1, vocabulary_size))
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        losses = _smoothed_crossentropy(rows, labels, self.label_smoothing)
        return ops.reshape(losses, ops.shape(logits)[:-1])

    def get_config(self):
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "padding_id": self.padding_id,
        }


def _smoothed_crossentropy(logits, labels, smoothing):
    """Losses (N,) of logits (N, V): few passes over them, forward and backward.

    The gradient is written out, `softmax(z) - smoothing / V - (1 - smoothing) onehot`:
    the derivative of looking up `z[label]` would be built as another (N, V) tensor.
    TensorFlow keeps the softmax for it; where a pass is compiled from many operations
    that would be one more to write.
    """
    uniform = smoothing / logits.shape[-1]
    confidence = 1.0 - smoothing
    keeps_softmax = keras.backend.backend() == "tensorflow"

    def at_labels(values):
        return ops.take_along_axis(values, labels[:, None], axis=-1)[:, 0]

    @ops.custom_gradient
    def losses_of(logits):
        at_label, mean = at_labels(logits), ops.mean(logits, axis=-1)
        if keeps_softmax:
            largest = ops.max(logits, axis=-1)
            with _after(at_label, largest, mean):
                softmax = ops.softmax(logits, axis=-1)
            probability = at_labels(softmax)
            # log(sum(exp(z))) from one probability: the label's, or where one is too
            # small for float32 the largest, which is never tiny.
            logsumexp = ops.cond(
                ops.all(probability > 1e-30),
                lambda: at_label - ops.log(probability),
                lambda: largest - ops.log(ops.max(softmax, axis=-1)),
            )
        else:
            logsumexp = ops.logsumexp(logits, axis=-1)
            probability = ops.exp(at_label - logsumexp)
        losses = logsumexp - confidence * at_label - smoothing * mean

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            is_label = ops.arange(logits.shape[-1], dtype="int32") == labels[:, None]
            with _after(losses):
                probabilities = (
                    softmax if keeps_softmax else ops.exp(logits - logsumexp[:, None])
                )
                errors = ops.where(
                    is_label, (probability - confidence)[:, None], probabilities
                )
                return (errors - uniform) * upstream[:, None]

        return losses, gradient

    return losses_of(logits)


def _after(*values):
    """A scope whose operations wait for these values, where TensorFlow makes a graph.

    TensorFlow writes a result into its input's memory if no other operation has yet to
    read that; a pass over logits is up to ten times as fast then.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies(values)
