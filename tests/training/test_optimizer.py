"""Adam by one operation: Keras's updates."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt

PAPER = {"beta_1": 0.9, "beta_2": 0.98, "epsilon": 1e-9}


def trained(optimizer, gradients, dtype="float32"):
    variable = keras.Variable(np.linspace(-1, 1, 12).reshape(4, 3), dtype=dtype)
    for gradient in gradients:
        optimizer.apply([tf.cast(gradient, dtype)], [variable])
    return np.asarray(tf.cast(variable.value, "float32"))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"weight_decay": 0.1},
        {"global_clipnorm": 0.5},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_overwrite_frequency": 3},
        {"amsgrad": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_updates_are_kerass(arguments, dtype):
    gradients = np.random.default_rng(1).normal(size=(12, 4, 3)).astype("float32")
    ours = kt.training.Adam(kt.training.WarmupInverseSqrt(16, 4), **arguments)
    theirs = keras.optimizers.Adam(
        kt.training.WarmupInverseSqrt(16, 4), **PAPER, **arguments
    )
    np.testing.assert_allclose(
        trained(ours, gradients, dtype), trained(theirs, gradients, dtype), rtol=1e-5
    )


def test_gradients_of_a_row_that_was_looked_up_twice_are_summed():
    """Keras 3.15 squares them before it sums them."""
    slices = tf.IndexedSlices(tf.ones((2, 3)), tf.constant([1, 1]), tf.constant([5, 3]))
    table = keras.Variable(np.ones((5, 3), "float32"))
    kt.training.Adam(0.1).apply([slices], [table])
    dense = keras.Variable(np.ones((5, 3), "float32"))
    keras.optimizers.Adam(0.1, **PAPER).apply([tf.convert_to_tensor(slices)], [dense])
    np.testing.assert_allclose(table, dense, rtol=1e-6)
