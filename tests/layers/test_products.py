"""Products in parts: the same values, from operations that do not wait for others."""

import keras
import numpy as np
import pytest

from keras_transformer.layers import TokenEmbedding
from keras_transformer.layers.core import Dense, product, products_in_parts

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(512, 1024), (1000, 1025), (4, 4)])
def test_parts_sum_up_to_the_product(count, shape):
    rows = GENERATOR.normal(size=(3, shape[0])).astype("float32")
    kernel = GENERATOR.normal(size=shape).astype("float32")
    with products_in_parts(count):
        found = product(rows, keras.ops.convert_to_tensor(kernel))
    np.testing.assert_allclose(found, rows @ kernel, rtol=1e-4, atol=1e-3)


def test_dense_in_parts_equals_keras_s():
    layer = Dense(1024, activation="relu")
    expected = keras.layers.Dense(1024, activation="relu")
    x = GENERATOR.normal(size=(1, 2, 600)).astype("float32")
    layer.build(x.shape)
    expected.build(x.shape)
    expected.set_weights(layer.get_weights())
    with products_in_parts(2):
        found = layer(x)
    np.testing.assert_allclose(found, expected(x), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts in a graph")
def test_only_the_scope_and_a_large_kernel_make_parts():
    import tensorflow as tf

    def count_products(size, parts):
        kernel = tf.zeros((size, 1024))

        @tf.function
        def multiply(rows):
            with products_in_parts(parts):
                return product(rows, kernel)

        graph = multiply.get_concrete_function(tf.TensorSpec((1, size))).graph
        return sum(op.type == "MatMul" for op in graph.get_operations())

    assert count_products(1024, parts=2) == 2
    assert count_products(256, parts=2) == 1
    assert count_products(1024, parts=1) == 1


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("vocabulary_size", [64, 65])
def test_what_fills_the_output_projection_up_has_no_logits(vocabulary_size, use_bias):
    layer = TokenEmbedding(vocabulary_size, 8, use_bias=use_bias)
    layer.build()
    if use_bias:
        layer.bias.assign(GENERATOR.normal(size=vocabulary_size))
    x = GENERATOR.normal(size=(2, 3, 8)).astype("float32")
    projection = layer.output_projection()
    found = np.asarray(layer(x, reverse=True, projection=projection))
    expected = layer(x, reverse=True)
    assert found.shape == (2, 3, {64: 64, 65: 128}[vocabulary_size])
    assert expected.shape == (2, 3, vocabulary_size)
    np.testing.assert_allclose(
        found[..., :vocabulary_size], expected, rtol=1e-5, atol=1e-5
    )
    assert (found[..., vocabulary_size:] < -1e9).all()
