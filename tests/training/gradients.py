"""Derivatives of functions of one tensor, on whichever backend Keras has."""

import keras
import numpy as np

BACKEND = keras.backend.backend()


def tensor(values):
    """A float64 tensor; JAX has to be told to allow it."""
    return keras.ops.convert_to_tensor(np.asarray(values, "float64"))


def gradient_of(function):
    """The function of `x` that gives the gradient of a scalar function."""
    if BACKEND == "jax":
        import jax

        return jax.grad(function)
    if BACKEND == "torch":
        import torch

        def gradient(x):
            x = x if x.requires_grad else x.clone().requires_grad_()
            return torch.autograd.grad(function(x), x, create_graph=True)[0]

        return gradient
    import tensorflow as tf

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = function(x)
        return tape.gradient(result, x)

    return gradient


def forward_derivative(function, x, direction):
    """The derivative of a function along a direction, by forward differentiation."""
    if BACKEND == "jax":
        import jax

        return jax.jvp(function, (x,), (direction,))[1]
    if BACKEND == "torch":
        from torch.autograd import forward_ad

        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x.clone().requires_grad_(), direction)
            return forward_ad.unpack_dual(function(dual)).tangent
    import tensorflow as tf

    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        result = function(x)
    return accumulator.jvp(result)


def compiled(function):
    """The function compiled as `fit` compiles it, where values aren't known."""
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    if BACKEND == "torch":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def as_array(values):
    return keras.ops.convert_to_numpy(values)
