"""Metrics over the tokens that aren't padding."""

import keras
from keras import ops

from keras_transformer.training.crossentropy import smoothed_crossentropy
from keras_transformer.training.labels import (
    check_padding_id,
    mean,
    read_labels,
    read_weights,
)

_ARGS = """Args:
        padding_id: Label that doesn't count, or None if each label is a class.
        name: Name of the metric.

    Call arguments:
        y_true: Labels `(B, T)` or `(B, T, 1)`: integers from 0 to V - 1, or
            `padding_id`."""
_WEIGHTS = """sample_weight: Optional weights `(B,)` or `(B, 1)` of rows, or `(B, T)` of
            tokens.

    Raises:
        ValueError: For labels or weights of another shape, and for a label that is no
            class. Under `jax.jit` and XLA the latter makes the metric NaN."""


class _TokenMean(keras.metrics.Metric):
    """Mean of a value per token, padding left out."""

    def __init__(self, padding_id=0, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.padding_id = check_padding_id(padding_id)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")
        self.count = self.add_variable((), "zeros", self.dtype, name="count")

    def values(self, labels, y_pred):
        raise NotImplementedError

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels, counts, unknown = read_labels(y_true, y_pred, self.padding_id)
        weights = read_weights(sample_weight, counts, self.dtype)
        values = ops.cast(self.values(labels, y_pred), self.dtype)
        values = ops.where(unknown, float("nan"), values)
        self.total.assign_add(ops.sum(values * weights))
        self.count.assign_add(ops.sum(weights))

    def result(self):
        return mean(self.total, self.count)

    def get_config(self):
        return {**super().get_config(), "padding_id": self.padding_id}


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedAccuracy(_TokenMean):
    __doc__ = f"""Share of tokens whose most probable prediction is the label.

    {_ARGS}
        y_pred: Logits or probabilities `(B, T, V)`. Tokens that their Keras mask
            excludes don't count.
        {_WEIGHTS}

    Example:

    >>> model.compile("adam", loss, metrics=[kt.training.MaskedAccuracy()])
    """

    def __init__(self, padding_id=0, name="accuracy", **kwargs):
        super().__init__(padding_id, name, **kwargs)

    def values(self, labels, y_pred):
        return ops.equal(labels, ops.cast(ops.argmax(y_pred, axis=-1), "int32"))


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedPerplexity(_TokenMean):
    __doc__ = f"""`exp` of the mean cross-entropy per token, without label smoothing.

    Comparable between runs that share a vocabulary only.

    {_ARGS}
        y_pred: Logits `(B, T, V)`. Tokens that their Keras mask excludes don't count.
        {_WEIGHTS}

    Example:

    >>> model.compile("adam", loss, metrics=[kt.training.MaskedPerplexity()])
    """

    def __init__(self, padding_id=0, name="perplexity", **kwargs):
        super().__init__(padding_id, name, **kwargs)

    def values(self, labels, y_pred):
        return smoothed_crossentropy(labels, y_pred, 0.0, dtype=self.dtype)

    def result(self):
        return ops.exp(super().result())
