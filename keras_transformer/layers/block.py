"""What the encoder's and the decoder's layer share (section 3.1)."""

import keras

from keras_transformer import arguments
from keras_transformer.layers.arguments import (
    check_seed,
    get_activation,
    get_initializer,
)
from keras_transformer.layers.attention import MultiHeadAttention
from keras_transformer.layers.checked_layer import CheckedLayer
from keras_transformer.layers.core import Dropout, LayerNormalization, part_seed
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.position_argument import (
    LoadsPosition,
    attention_position,
    serialize_position,
)

BLOCK_ARGS = """
    Args:
        num_heads: Number of attention heads H; it must divide the input's width.
        intermediate_dim: Inner width of the feed-forward network (d_ff).
        dropout: Dropout rate on the output of each sub-layer (section 5.4).
        activation: Activation of the feed-forward network.
        norm_first: Whether layer normalization comes before each sub-layer (pre-norm)
            and not after the residual sum (post-norm, as in the paper). A stack of
            pre-norm blocks needs one more normalization at its end.
        position_encoding: How self-attention itself knows order: `"rotary"`,
            `"relative"`, `"t5"`, `"alibi"`, a layer of theirs, which several blocks may
            share, or None, the paper's, whose positions are added before the blocks.
        attention_dropout: Dropout rate on the attention weights; none in the paper.
        intermediate_dropout: Dropout rate inside the feed-forward network; none in
            the paper.
        layer_norm_epsilon: Epsilon of the layer normalizations.
        use_bias: Whether the attention's projections have biases.
        kernel_initializer: Initializer of all kernels.
        bias_initializer: Initializer of all biases.
        seed: Seed of all dropouts.
"""


class Block(LoadsPosition, CheckedLayer):
    """What the encoder's and the decoder's block share: arguments and residuals."""

    _is_causal = False

    def __init__(
        self,
        num_heads,
        intermediate_dim,
        dropout=0.1,
        activation="relu",
        *,
        norm_first=False,
        position_encoding=None,
        attention_dropout=0.0,
        intermediate_dropout=0.0,
        layer_norm_epsilon=1e-6,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = arguments.integer("num_heads", num_heads)
        self.intermediate_dim = arguments.integer("intermediate_dim", intermediate_dim)
        self.dropout = arguments.rate("dropout", dropout)
        self.activation = get_activation(activation, self.intermediate_dim)
        self.norm_first = arguments.flag("norm_first", norm_first)
        self.position_encoding = attention_position(
            position_encoding, causal=self._is_causal, dtype=self.dtype_policy
        )
        self.attention_dropout = arguments.rate("attention_dropout", attention_dropout)
        self.intermediate_dropout = arguments.rate(
            "intermediate_dropout", intermediate_dropout
        )
        self.layer_norm_epsilon = arguments.number(
            "layer_norm_epsilon", layer_norm_epsilon, minimum=0
        )
        self.use_bias = arguments.flag("use_bias", use_bias)
        self.kernel_initializer = get_initializer(
            "kernel_initializer", kernel_initializer
        )
        self.bias_initializer = get_initializer("bias_initializer", bias_initializer)
        self.seed = check_seed("seed", seed)
        self.supports_masking = True

    @property
    def _width(self):
        return self.feed_forward_norm.gamma.shape[0] if self.built else None

    def _attention(self, name, position_encoding=None):
        return MultiHeadAttention(
            self.num_heads,
            dropout=self.attention_dropout,
            position_encoding=position_encoding,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            seed=part_seed(self.seed, name),
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name, shape):
        norm = LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build(shape)
        return norm

    def _build_feed_forward(self, shape):
        self.feed_forward = FeedForward(
            self.intermediate_dim,
            activation=self.activation,
            dropout=self.intermediate_dropout,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            seed=part_seed(self.seed, "feed_forward"),
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        self.feed_forward.build(shape)
        self.feed_forward_norm = self._norm("feed_forward_norm", shape)
        # The last to be made: random states are saved in this order.
        self.residual_dropout = Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy
        )

    def _feed(self, x, training):
        """The sub-layer that all blocks end with."""

        def feed(x):
            return (self.feed_forward(x, training=training),)

        (x,) = self._residual(x, feed, self.feed_forward_norm, training)
        return x

    def _residual(self, inputs, sublayer, norm, training):
        """`LayerNorm(x + Dropout(sublayer(x)))`, or with the norm before.

        `sublayer` returns its output and anything else, which is passed on.
        """
        outputs, *others = sublayer(norm(inputs) if self.norm_first else inputs)
        outputs = inputs + self.residual_dropout(outputs, training=training)
        return (outputs if self.norm_first else norm(outputs)), *others

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "norm_first": self.norm_first,
            "position_encoding": serialize_position(self.position_encoding),
            "attention_dropout": self.attention_dropout,
            "intermediate_dropout": self.intermediate_dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }


def as_tuple(outputs):
    """What a layer returns, one tensor or several, as a tuple."""
    return outputs if isinstance(outputs, tuple) else (outputs,)
