"""Keras's layers with less to do: the values and gradients are Keras's."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.layers.core import (
    Dense,
    Dropout,
    LayerNormalization,
    part_seed,
)


def values_and_gradients(layer, x, **kwargs):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **kwargs)
        loss = tf.reduce_sum(tf.sin(tf.cast(y, "float32")))
    variables = [v.value for v in layer.trainable_variables]
    return [y, *tape.gradient(loss, [x, *variables])]


def twins(ours, theirs, shape):
    """Both layers with the same random weights."""
    rng = np.random.default_rng(3)
    for layer in (ours, theirs):
        layer.build(shape)
    weights = [rng.normal(size=w.shape).astype("float32") for w in ours.get_weights()]
    for layer in (ours, theirs):
        layer.set_weights(weights)
    return ours, theirs


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("shape", [(5, 8), (2, 3, 8), (2, 3, 4, 8)])
def test_dense_is_kerass(shape, use_bias, training):
    arguments = {"units": 6, "activation": "relu", "use_bias": use_bias}
    ours, theirs = twins(Dense(**arguments), keras.layers.Dense(**arguments), shape)
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    found = values_and_gradients(ours, x, training=training)
    for a, b in zip(found, values_and_gradients(theirs, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_dense_in_half_precision_has_gradients_in_float32():
    arguments = {"units": 6, "dtype": "mixed_bfloat16"}
    pair = twins(Dense(**arguments), keras.layers.Dense(**arguments), (5, 8))
    x = np.random.default_rng(1).normal(size=(5, 8)).astype("float32")
    ours = values_and_gradients(pair[0], x, training=True)
    theirs = values_and_gradients(pair[1], x)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        a, b = (np.asarray(tf.cast(t, "float32")) for t in (a, b))
        np.testing.assert_allclose(a, b, atol=0.05 * np.abs(b).max())


def test_dense_of_unknown_sizes_in_a_graph():
    layer = Dense(6)
    layer.build((None, None, 8))
    call = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 8))])
    assert call.get_concrete_function().outputs[0].shape.as_list() == [None, None, 6]
    assert call(tf.zeros((0, 3, 8))).shape == (0, 3, 6)
    # A batch of one stays known to be one.
    single = tf.function(layer, input_signature=[tf.TensorSpec((1, None, 8))])
    assert single.get_concrete_function().outputs[0].shape.as_list() == [1, None, 6]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@settings(max_examples=20, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    width=st.integers(2, 9),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_layer_normalization_is_kerass(dtype, training, shape, width, scale):
    shape = (*shape, width)
    pair = twins(
        LayerNormalization(epsilon=1e-6, dtype=dtype),
        keras.layers.LayerNormalization(epsilon=1e-6, dtype=dtype),
        shape,
    )
    x = scale * np.random.default_rng(1).normal(size=shape).astype("float32")
    ours = values_and_gradients(pair[0], x, training=training)
    for a, b in zip(ours, values_and_gradients(pair[1], x)):
        a, b = (np.asarray(tf.cast(t, "float32")) for t in (a, b))
        tolerance = 2e-2 if dtype == "mixed_bfloat16" else 2e-4
        np.testing.assert_allclose(a, b, atol=tolerance * (1 + np.abs(b).max()))


def test_layer_normalization_can_be_differentiated_twice():
    layers = twins(
        LayerNormalization(epsilon=1e-6),
        keras.layers.LayerNormalization(epsilon=1e-6),
        (3, 8),
    )
    x = tf.constant(np.random.default_rng(1).normal(size=(3, 8)).astype("float32"))
    found = []
    for layer, arguments in zip(layers, ({"training": True}, {})):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(layer(x, **arguments)))
            gradient = inner.gradient(loss, x)
            norm = tf.reduce_sum(gradient**2)
        found.append(outer.gradient(norm, x))
    np.testing.assert_allclose(*found, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "make_layer", [functools.partial(Dense, 4), LayerNormalization]
)
def test_an_empty_batch_has_gradients_of_zero(make_layer, dtype):
    layer = make_layer(dtype=dtype)
    layer.build((None, 3, 4))

    @tf.function(input_signature=[tf.TensorSpec((None, 3, 4))])
    def gradients(x):
        return values_and_gradients(layer, x, training=True)[2:]

    for gradient, variable in zip(
        gradients(tf.zeros((0, 3, 4))), layer.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(gradient, np.zeros(variable.shape))


def test_dropout_has_the_gradient_of_what_it_keeps():
    x = np.ones((64, 32, 256), "float32")
    layer = Dropout(0.3, seed=1)
    y, gradient = (np.asarray(t) for t in values_and_gradients(layer, x, training=True))
    np.testing.assert_allclose(gradient, y * np.cos(y), rtol=1e-5)


def test_seeds_of_parts_differ_and_are_int32_s():
    seeds = {part_seed(7, f"encoder_{i}") for i in range(1000)}
    assert len(seeds) == 1000
    assert max(seeds) < 2**31
    assert part_seed(None, "encoder") is None
