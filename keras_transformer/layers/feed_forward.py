"""The position-wise feed-forward network (section 3.3)."""

import keras

from keras_transformer import arguments
from keras_transformer.layers.arguments import (
    check_seed,
    clone_initializer,
    get_activation,
    get_initializer,
)
from keras_transformer.layers.checked_layer import CheckedLayer
from keras_transformer.layers.core import Dense, Dropout
from keras_transformer.layers.shapes import CallCheck


@keras.saving.register_keras_serializable(package="keras_transformer")
class FeedForward(CheckedLayer):
    """Two linear maps with an activation between them, the same at each position.

    `FFN(x) = activation(x W_1 + b_1) W_2 + b_2` (equation 2, where the activation is
    ReLU). The output has the width of the input.

    Args:
        intermediate_dim: Width of the inner layer (the paper's d_ff).
        activation: Activation of the inner layer, which keeps its width.
        dropout: Dropout rate on the inner layer. The paper has none there.
        kernel_initializer: Initializer of both kernels.
        bias_initializer: Initializer of both biases.
        seed: Seed of the dropout.

    Call arguments:
        inputs: Float tensor of shape `(..., D)`, of two axes or more.
        training: Whether dropout is on.

    Returns:
        A tensor of the shape and dtype of `inputs`; its mask passes through.

    Raises:
        ValueError: If `intermediate_dim` isn't positive, `dropout` isn't in `[0, 1)`,
            or the activation changes the width.

    Example:

    >>> tuple(FeedForward(intermediate_dim=256)(np.ones((2, 10, 64), "float32")).shape)
    (2, 10, 64)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.3.
    """

    def __init__(
        self,
        intermediate_dim,
        activation="relu",
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.intermediate_dim = arguments.integer("intermediate_dim", intermediate_dim)
        self.activation = get_activation(activation, self.intermediate_dim)
        self.dropout = arguments.rate("dropout", dropout)
        self.kernel_initializer = get_initializer(
            "kernel_initializer", kernel_initializer
        )
        self.bias_initializer = get_initializer("bias_initializer", bias_initializer)
        self.seed = check_seed("seed", seed)
        self.supports_masking = True

    def check_call(self, given):
        width = self.outer.units if self.built else None
        CallCheck(D=width).floats("inputs", given.inputs, "... T D")

    def build(self, input_shape):
        self.inner = self._dense(self.intermediate_dim, "inner", self.activation)
        self.inner.build(input_shape)
        inner_shape = (*input_shape[:-1], self.intermediate_dim)
        self.outer = self._dense(input_shape[-1], "outer")
        self.outer.build(inner_shape)
        self.inner_dropout = Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy
        )

    def _dense(self, units, name, activation=None):
        return Dense(
            units,
            activation=activation,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            bias_initializer=clone_initializer(self.bias_initializer),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs, training=None):
        inner = self.inner_dropout(self.inner(inputs), training=training)
        return self.outer(inner)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }
