"""From hidden states to one vector a sentence."""

import math

import keras
from keras import ops

from keras_transformer.kernels.dtypes import at_least_float32
from keras_transformer.layers.checked_layer import CheckedLayer
from keras_transformer.layers.masks import combined_mask
from keras_transformer.layers.shapes import CallCheck

POOLINGS = ("mean", "max", "first")


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedPooling(CheckedLayer):
    """Pools a sequence over the positions that aren't padding.

    Args:
        pooling: `"mean"`, `"max"`, or `"first"`, the first position alone.

    Call arguments:
        inputs: Float tensor `(B, S, D)`.
        mask: Bool `(B, S)`, marks padding; joined with the mask that Keras carries.

    Returns:
        A tensor `(B, D)`. A row of padding alone gives zeros, unless it is `"first"`;
        so does a sequence without positions.

    Raises:
        ValueError: For an unknown `pooling`.

    Example:

    >>> states = np.random.rand(2, 7, 64).astype("float32")
    >>> tuple(MaskedPooling("mean")(states).shape)
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

    def check_call(self, given):
        check = CallCheck()
        check.floats("inputs", given.inputs, "B S D")
        check.mask("mask", given.mask, "B S")

    def call(self, inputs, mask=None):
        # There may be no position at all.
        one_more = ((0, 0), (0, 1), (0, 0))
        if self.pooling == "first":
            return ops.pad(inputs, one_more)[:, 0]
        mask = combined_mask(inputs, mask)
        if mask is None:
            mask = ops.ones(ops.shape(inputs)[:2], "bool")
        real = mask[..., None]
        if self.pooling == "mean":
            # Sums of many terms need more digits than half precision has.
            dtype = at_least_float32(inputs.dtype)
            real = ops.cast(real, dtype)
            total = ops.sum(ops.cast(inputs, dtype) * real, axis=1)
            count = ops.maximum(ops.sum(real, axis=1), 1)
            return ops.cast(total / count, inputs.dtype)
        lowest = ops.where(real, inputs, -math.inf)
        lowest = ops.pad(lowest, one_more, constant_values=-math.inf)
        largest = ops.max(lowest, axis=1, initial=-math.inf)
        zeros = ops.zeros_like(lowest[:, 0])
        return ops.where(ops.any(real, axis=1), largest, zeros)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[2]

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}
