"""Gradients in training, of the first and second order, on the backend that Keras has.

test_backends.py runs this on JAX and PyTorch too.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import layers
from keras_transformer.layers.core import Dense, LayerNormalization

BACKEND = keras.backend.backend()
# JAX has no float64 by default: there differences are of float32.
DTYPE, STEP, TOLERANCE = "float64", 1e-5, 1e-6
if BACKEND == "jax":
    DTYPE, STEP, TOLERANCE = "float32", 1e-2, 2e-2

POSITIONS = [None, "rotary", "relative", "t5", "alibi"]
LAYERS = {
    "Dense": lambda: Dense(6, activation="gelu", dtype=DTYPE),
    "LayerNormalization": lambda: LayerNormalization(dtype=DTYPE),
    "FeedForward": lambda: layers.FeedForward(6, activation="gelu", dtype=DTYPE),
    "PositionalEncoding": lambda: layers.PositionalEncoding(dtype=DTYPE),
    "MaskedPooling": lambda: layers.MaskedPooling(dtype=DTYPE),
    **{
        f"block, {position}": lambda position=position: layers.EncoderBlock(
            2,
            6,
            dropout=0,
            activation="gelu",
            position_encoding=position,
            norm_first=position is None,
            dtype=DTYPE,
        )
        for position in POSITIONS
    },
}


def numbers(tensor):
    if hasattr(tensor, "detach"):
        tensor = tensor.detach()
    return ops.convert_to_numpy(tensor).astype("float64")


def tensor(values):
    return ops.cast(ops.convert_to_tensor(values), DTYPE)


def gradient(function, x):
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)
    if BACKEND == "torch":
        import torch

        x = x if x.requires_grad else x.clone().requires_grad_()
        return torch.autograd.grad(function(x), x, create_graph=True)[0]
    import jax

    return jax.grad(function)(x)


def derivative(function, x, direction):
    """The derivative of what may be a gradient itself; on JAX forwards."""
    if BACKEND == "jax":
        import jax

        return jax.jvp(function, (x,), (direction,))[1]
    if BACKEND == "torch":
        x = x.clone().requires_grad_()
    return gradient(lambda x: ops.sum(function(x) * direction), x)


@pytest.fixture(scope="module", params=LAYERS)
def problem(request):
    """A smooth function of a layer's input, in training, and a point and direction."""
    layer, rng = LAYERS[request.param](), np.random.default_rng(0)
    layer.build((2, 3, 4))
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) / 2)
    x, direction = (tensor(rng.normal(size=(2, 3, 4))) for _ in range(2))
    factors = tensor(rng.normal(size=layer(x).shape))

    def function(x):
        return ops.sum(ops.sin(layer(x, training=True)) * factors)

    return function, x, direction


def by_differences(function, x, direction):
    ahead, behind = (numbers(function(x + s * STEP * direction)) for s in (1, -1))
    return (ahead - behind) / (2 * STEP)


def test_gradients_are_those_by_differences(problem):
    function, x, direction = problem
    found = np.sum(numbers(gradient(function, x)) * numbers(direction))
    expected = by_differences(function, x, direction)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_second_order_gradients_are_those_by_differences(problem):
    function, x, direction = problem

    def first(x):
        return gradient(function, x)

    found = numbers(derivative(first, x, direction))
    expected = by_differences(first, x, direction)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * 10)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
def test_forward_over_backward_and_graphs_give_the_same_second_order(problem):
    import tensorflow as tf

    function, x, direction = problem

    def forward_over_backward(x):
        with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
            first = gradient(function, x)
        return accumulator.jvp(first)

    expected = derivative(lambda x: gradient(function, x), x, direction)
    in_a_graph = tf.function(
        lambda x: derivative(lambda x: gradient(function, x), x, direction)
    )
    for second_order in (forward_over_backward, in_a_graph):
        np.testing.assert_allclose(second_order(x), expected, rtol=1e-9, atol=1e-9)
