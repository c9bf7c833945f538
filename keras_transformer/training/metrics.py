"""Metrics over the tokens that aren't padding."""

import keras
from keras import ops

from keras_transformer.training.loss import MaskedCrossentropy


class _TokenMean(keras.metrics.Metric):
    """Mean of a value per token, padding left out."""

    def __init__(self, padding_id=0, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.padding_id = padding_id
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def values(self, y_true, y_pred):
        raise NotImplementedError

    def update_state(self, y_true, y_pred, sample_weight=None):
        weights = ops.cast(ops.not_equal(y_true, self.padding_id), self.dtype)
        if sample_weight is not None:
            weights *= ops.cast(sample_weight, self.dtype)
        values = ops.cast(self.values(y_true, y_pred), self.dtype)
        self.total.assign_add(ops.sum(values * weights))
        self.count.assign_add(ops.sum(weights))

    def result(self):
        return ops.divide_no_nan(self.total, self.count)

    def get_config(self):
        return {**super().get_config(), "padding_id": self.padding_id}


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedAccuracy(_TokenMean):
    """Share of tokens whose most probable prediction is the label.

    Args:
        padding_id: Label that doesn't count.

    Call arguments:
        y_true: Integer labels `(B, T)`.
        y_pred: Logits or probabilities `(B, T, V)`.

    Example:

    >>> model.compile("adam", loss, metrics=[kt.training.MaskedAccuracy()])
    """

    def __init__(self, padding_id=0, name="accuracy", **kwargs):
        super().__init__(padding_id, name, **kwargs)

    def values(self, y_true, y_pred):
        return ops.equal(ops.cast(y_true, "int32"), ops.argmax(y_pred, axis=-1))


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedPerplexity(_TokenMean):
    """`exp` of the mean cross-entropy per token, without label smoothing.

    Comparable between runs that share a vocabulary only.

    Args:
        padding_id: Label that doesn't count.

    Call arguments:
        y_true: Integer labels `(B, T)`.
        y_pred: Logits `(B, T, V)`.

    Example:

    >>> model.compile("adam", loss, metrics=[kt.training.MaskedPerplexity()])
    """

    def __init__(self, padding_id=0, name="perplexity", **kwargs):
        super().__init__(padding_id, name, **kwargs)
        self.crossentropy = MaskedCrossentropy(label_smoothing=0.0)

    def values(self, y_true, y_pred):
        return self.crossentropy.call(y_true, y_pred)

    def result(self):
        return ops.exp(super().result())
