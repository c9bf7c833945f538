"""The layer of the encoder (section 3.1)."""

import keras

from keras_transformer import arguments
from keras_transformer.layers.block import BLOCK_ARGS, Block, as_tuple
from keras_transformer.layers.masks import combined_mask
from keras_transformer.layers.shapes import CallCheck, check_shape


@keras.saving.register_keras_serializable(package="keras_transformer")
class EncoderBlock(Block):
    __doc__ = f"""One layer of the encoder: self-attention, then a feed-forward network.

    Each of the two sub-layers has a residual connection around it and a layer
    normalization: `LayerNorm(x + Sublayer(x))`.
    {BLOCK_ARGS}
    Call arguments:
        inputs: Float tensor `(B, S, D)`.
        mask: Bool `(B, S)`, marks padding; joined with the mask that Keras carries.
        attention_mask: Bool `(S, S)`, `(B, S, S)` or `(B, H, S, S)`; axes of 1
            broadcast.
        use_causal_mask: Whether each row attends only to itself and those before it.
        return_attention_scores: Whether to return the attention weights too.
        training: Whether dropout is on.

    Returns:
        A tensor of the shape of `inputs`, or a tuple of it and the attention weights
        `(B, H, S, S)`.

    Raises:
        ValueError: If `num_heads` doesn't divide the width, a rate or size is out of
            range, shapes don't fit each other, or a mask isn't boolean or of 0 and 1.
        TypeError: For a list where an array is expected.

    Example:

    >>> x = np.random.rand(2, 7, 64).astype("float32")
    >>> tuple(EncoderBlock(num_heads=4, intermediate_dim=128)(x).shape)
    (2, 7, 64)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.1.
    """

    def check_call(self, given):
        check = CallCheck(H=self.num_heads, D=self._width)
        check.floats("inputs", given.inputs, "B S D")
        check.mask("mask", given.mask, "B S")
        forms = "S S", "B S S", "B H S S"
        check.mask("attention_mask", given.attention_mask, *forms, broadcasts=True)
        arguments.flag("use_causal_mask", given.use_causal_mask)
        arguments.flag("return_attention_scores", given.return_attention_scores)

    def build(self, input_shape):
        check_shape("input_shape", input_shape, "B S D")
        self.self_attention = self._attention("self_attention", self.position_encoding)
        self.self_attention.build(input_shape)
        self.self_attention_norm = self._norm("self_attention_norm", input_shape)
        self._build_feed_forward(input_shape)

    def call(
        self,
        inputs,
        mask=None,
        *,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        mask = combined_mask(inputs, mask)

        def attend(x):
            return as_tuple(
                self.self_attention(
                    x,
                    query_mask=mask,
                    attention_mask=attention_mask,
                    use_causal_mask=use_causal_mask,
                    return_attention_scores=return_attention_scores,
                    training=training,
                )
            )

        x, *scores = self._residual(inputs, attend, self.self_attention_norm, training)
        x = self._feed(x, training)
        return (x, *scores) if return_attention_scores else x

    def compute_output_spec(self, inputs, *, return_attention_scores=False, **kwargs):
        output = keras.KerasTensor(inputs.shape, self.compute_dtype)
        if not return_attention_scores:
            return output
        batch, length = inputs.shape[:2]
        scores = (batch, self.num_heads, length, length)
        return output, keras.KerasTensor(scores, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape
