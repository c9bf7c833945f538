"""Rotary position embedding: queries and keys that turn with their position."""

import keras
from keras import ops

from keras_transformer.kernels.dtypes import at_least_float32
from keras_transformer.layers.attention_position import AttentionPosition
from keras_transformer.layers.position import check_sinusoid, sinusoidal_encoding
from keras_transformer.layers.shapes import CallCheck, check_start


@keras.saving.register_keras_serializable(package="keras_transformer")
class RotaryEmbedding(AttentionPosition):
    """Turns queries and keys by angles that grow with their position (RoPE).

    Pair i of a query or key at position m turns by the angle
    `m * max_wavelength^(-2i / K)`, so that the dot product of a query and a key
    depends on the distance between them only. It has no weights and no longest
    length; angles are computed in float32 whatever the dtype policy.

    Give it to `MultiHeadAttention(position_encoding=...)` or a block, or call it on
    heads of your own.

    Args:
        max_wavelength: The longest wavelength is `max_wavelength * 2 * pi` at most.
        layout: Which dimensions are a pair: `"interleaved"`, neighbours, as in the
            paper; `"concatenated"`, one in each half, as in Llama.

    Call arguments:
        inputs: Float tensor `(..., T, K)`, K even.
        start_index: Position of the first row, an integer or a scalar tensor.

    Returns:
        A tensor of the shape and dtype of `inputs`.

    Raises:
        ValueError: For an odd K, an unknown `layout`, or a `max_wavelength` that isn't
            positive.

    Example:

    >>> queries = np.random.rand(2, 4, 10, 16).astype("float32")
    >>> tuple(RotaryEmbedding()(queries).shape)
    (2, 4, 10, 16)

    Reference: [RoFormer](https://arxiv.org/abs/2104.09864), equation 34.
    """

    def __init__(self, max_wavelength=10_000.0, layout="interleaved", **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = check_sinusoid(max_wavelength, layout)
        self.layout = layout

    def check_call(self, given):
        CallCheck().floats("inputs", given.inputs, "... T K")
        check_start("start_index", given.start_index)

    def build(self, input_shape):
        if input_shape[-1] is None or input_shape[-1] % 2:
            raise ValueError(
                "RotaryEmbedding turns pairs of dimensions and needs an even head_dim; "
                f"received head_dim={input_shape[-1]}."
            )

    def check_heads(self, num_heads, head_dim):
        self.build((None, num_heads, None, head_dim))

    def call(self, inputs, start_index=0):
        positions = ops.arange(ops.shape(inputs)[-2], dtype="int32")
        return self.rotate(inputs, ops.cast(start_index, "int32") + positions)

    def rotate(self, heads, positions):
        width = heads.shape[-1]
        angles = sinusoidal_encoding(
            positions,
            width,
            self.max_wavelength,
            layout="concatenated",
            dtype=at_least_float32(heads.dtype),
        )
        sines, cosines = ops.split(ops.cast(angles, heads.dtype), 2, axis=-1)
        if self.layout == "concatenated":
            first, second = ops.split(heads, 2, axis=-1)
        else:
            pairs = ops.reshape(heads, (*ops.shape(heads)[:-1], width // 2, 2))
            first, second = pairs[..., 0], pairs[..., 1]
        turned = first * cosines - second * sines, first * sines + second * cosines
        if self.layout == "concatenated":
            return ops.concatenate(turned, axis=-1)
        return ops.reshape(ops.stack(turned, axis=-1), ops.shape(heads))

    def get_config(self):
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "layout": self.layout,
        }
