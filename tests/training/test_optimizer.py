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


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}])
def test_gradients_of_a_row_that_was_looked_up_twice_are_summed(options):
    """Keras 3.15 squares them before it sums them."""
    slices = tf.IndexedSlices(tf.ones((2, 3)), tf.constant([1, 1]), tf.constant([5, 3]))
    table = keras.Variable(np.ones((5, 3), "float32"))
    kt.training.Adam(0.1, **options).apply([slices], [table])
    dense = keras.Variable(np.ones((5, 3), "float32"))
    expected = keras.optimizers.Adam(0.1, **PAPER, **options)
    expected.apply([tf.convert_to_tensor(slices)], [dense])
    np.testing.assert_allclose(table, dense, rtol=1e-6)


@pytest.mark.parametrize(
    "name, values",
    [
        ("learning_rate", [-1.0, float("nan"), "0.1", None]),
        ("beta_1", [1.0, -0.1, "0.9", None]),
        ("beta_2", [1.0, 1.5, float("nan")]),
        ("epsilon", [0, -1e-9, None]),
        ("clipnorm", [0, -1, "1", float("inf")]),
        ("global_clipnorm", [0, 0.0, -1.0, True]),
        ("clipvalue", [0, -1]),
        ("weight_decay", [-0.1, "0.1"]),
        ("gradient_accumulation_steps", [0, -1, 2.5, "2"]),
        ("ema_overwrite_frequency", [0, -1, 1.5]),
        ("loss_scale_factor", [0, -2.0]),
    ],
)
def test_settings_that_mean_nothing_are_named(name, values):
    for value in values:
        words = f"{name} must.*received {name}={value!r}"
        with pytest.raises((TypeError, ValueError), match=words):
            kt.training.Adam(**{name: value})


def test_settings_may_be_numbers_of_numpy():
    optimizer = kt.training.Adam(
        np.float32(0.5),
        global_clipnorm=np.float64(2.0),
        gradient_accumulation_steps=np.int64(3),
    )
    again = kt.training.Adam.from_config(optimizer.get_config())
    assert float(again.learning_rate) == 0.5
    assert (again.global_clipnorm, again.gradient_accumulation_steps) == (2.0, 3)


def test_one_step_to_accumulate_is_none():
    optimizer = kt.training.Adam(gradient_accumulation_steps=1)
    assert optimizer.gradient_accumulation_steps is None
