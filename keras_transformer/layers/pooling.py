"""From hidden states to one vector a sentence."""

import keras
from keras import ops

from keras_transformer.layers.masks import combined_mask

POOLINGS = ("mean", "max", "first")


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedPooling(keras.layers.Layer):
    """Pools a sequence over the positions that aren't padding.

    Args:
        pooling: `"mean"`, `"max"`, or `"first"`, the first position alone.

    Call arguments:
        inputs: Float tensor `(B, S, D)`.
        mask: Bool `(B, S)`, marks padding; joined with the mask that Keras carries.

    Returns:
        A tensor `(B, D)`. A row of padding alone gives zeros, unless it is `"first"`.

    Raises:
        ValueError: For an unknown `pooling`.

    Example:

    >>> states = np.random.rand(2, 7, 64).astype("float32")
    >>> MaskedPooling("mean")(states).shape
    (2, 64)
    """

    def __init__(self, pooling="mean", **kwargs):
        super().__init__(**kwargs)
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling must be one of {POOLINGS}; received pooling={pooling!r}."
            )
        self.pooling = pooling
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if self.pooling == "first":
            return inputs[:, 0]
        mask = combined_mask(inputs, mask)
        if mask is None:
            mask = ops.ones(ops.shape(inputs)[:2], "bool")
        real = ops.cast(mask, inputs.dtype)[..., None]
        if self.pooling == "mean":
            # Sums of many terms need more digits than half precision has.
            real = ops.cast(real, "float32")
            total = ops.sum(ops.cast(inputs, "float32") * real, axis=1)
            mean = ops.divide_no_nan(total, ops.sum(real, axis=1))
            return ops.cast(mean, inputs.dtype)
        lowest = ops.where(real > 0, inputs, -3e4)
        nonempty = ops.cast(ops.any(mask, axis=1, keepdims=True), inputs.dtype)
        return ops.max(lowest, axis=1) * nonempty

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[2]

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}
