"""Packed weights, matmuls in parts and of single rows, against the plain ones."""

import keras
import numpy as np
import pytest

from keras_transformer.kernels import (
    TransposedWeights,
    linear,
    with_matmuls_in_parts,
    with_packed_weights,
)
from keras_transformer.kernels.xla import scores_of_one_query
from keras_transformer.layers import TokenEmbedding
from keras_transformer.layers.core import Dense

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(512, 1024), (1000, 1025), (4, 4)])
def test_parts_sum_up_to_the_product(count, shape):
    rows = GENERATOR.normal(size=(3, shape[0])).astype("float32")
    kernel = GENERATOR.normal(size=shape).astype("float32")
    with with_matmuls_in_parts(count):
        found = linear(rows, keras.ops.convert_to_tensor(kernel))
    np.testing.assert_allclose(found, rows @ kernel, rtol=1e-4, atol=1e-3)


def test_dense_in_parts_equals_keras_s():
    layer = Dense(1024, activation="relu")
    expected = keras.layers.Dense(1024, activation="relu")
    x = GENERATOR.normal(size=(1, 2, 600)).astype("float32")
    layer.build(x.shape)
    expected.build(x.shape)
    expected.set_weights(layer.get_weights())
    with with_matmuls_in_parts(2):
        found = layer(x)
    np.testing.assert_allclose(found, expected(x), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts in a graph")
def test_only_the_scope_and_a_large_kernel_make_parts():
    import tensorflow as tf

    def count_products(size, parts, dtype="float32"):
        kernel = tf.zeros((size, 1024), dtype)

        @tf.function
        def multiply(rows):
            with with_matmuls_in_parts(parts):
                return linear(rows, kernel)

        rows = tf.TensorSpec((1, size), dtype)
        graph = multiply.get_concrete_function(rows).graph
        return sum(op.type == "MatMul" for op in graph.get_operations())

    assert count_products(1024, parts=2) == 2
    assert count_products(256, parts=2) == 1
    assert count_products(1024, parts=1) == 1
    assert count_products(1024, parts=2, dtype="bfloat16") == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("count", [1, 3])
def test_products_without_a_bias_are_those_of_a_zero_bias(count, dtype):
    rows = keras.ops.cast(GENERATOR.normal(size=(count, 8)), dtype)
    kernel = keras.ops.cast(GENERATOR.normal(size=(8, 16)), dtype)
    found = linear(rows, kernel)
    expected = linear(rows, kernel, keras.ops.zeros(16))
    assert found.dtype == expected.dtype
    found, expected = (keras.ops.cast(x, "float32") for x in (found, expected))
    np.testing.assert_array_equal(found, expected)


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


# A size of one sum, of several, of no whole line, and a prime one.
@pytest.mark.parametrize("size", [64, 2048, 48, 37])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_transposed_kernel_gives_the_product(count, size, dtype):
    rows = GENERATOR.normal(size=(count, size), scale=0.01).astype("float32")
    matrix = GENERATOR.integers(-127, 128, (5, size))
    scale = None if dtype != "int8" else np.arange(1, 6, dtype="float32") / 7
    kernel = TransposedWeights(keras.ops.cast(matrix, dtype), scale)
    expected = rows @ (matrix * (1 if scale is None else scale[:, None])).T
    np.testing.assert_allclose(kernel.linear(rows), expected, rtol=1e-4, atol=1e-4)
    # What isn't a number stays visible, int8 or not, and in its row.
    rows[0, [0, -1]] = np.nan
    found = np.asarray(kernel.linear(rows))
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-4, atol=1e-4)


def test_transposed_kernels_stand_for_variables_in_their_scope():
    layer = Dense(6)
    layer.build((None, 4))
    other = GENERATOR.normal(size=(6, 4)).astype("float32")
    x = GENERATOR.normal(size=(2, 4)).astype("float32")
    expected = layer(x)
    with with_packed_weights([(layer.kernel, TransposedWeights(other))]):
        one, two = layer(x[:1]), layer(x)
    np.testing.assert_allclose(one, x[:1] @ other.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(two, x @ other.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(layer(x), expected)


def test_an_embedding_of_int8_looks_up_and_projects():
    layer = TokenEmbedding(9, 16, use_bias=True)
    layer.build()
    layer.bias.assign(np.arange(9))
    table = GENERATOR.integers(-127, 128, (9, 16), dtype="int8")
    scale = GENERATOR.uniform(0.001, 0.01, 9).astype("float32")
    expected = TokenEmbedding(9, 16, use_bias=True)
    expected.build()
    expected.set_weights([table * scale[:, None], np.arange(9)])
    x = GENERATOR.normal(size=(2, 1, 16)).astype("float32")
    ids = np.array([[3, 0, 8]])
    with with_packed_weights([(layer.embeddings, TransposedWeights(table, scale))]):
        projection = layer.output_projection()
        one = layer(x[:1], reverse=True, projection=projection)
        two = layer(x, reverse=True, projection=projection)
        vectors = layer(ids)
    np.testing.assert_allclose(vectors, expected(ids), rtol=1e-5)
    logits = expected(x, reverse=True)
    np.testing.assert_allclose(one, logits[:1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(two, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("use_bias", [False, True])
def test_rows_past_an_embedding_s_held_table_are_no_tokens(use_bias):
    layer = TokenEmbedding(9, 16, use_bias=use_bias)
    layer.build()
    if use_bias:
        layer.bias.assign(np.arange(9))
    x = GENERATOR.normal(size=(2, 1, 16)).astype("float32")
    expected, vectors = layer(x, reverse=True), layer(np.array([[3, 0, 8]]))
    table = np.concatenate([layer.embeddings, np.ones((3, 16), "float32")])
    with with_packed_weights([(layer.embeddings, TransposedWeights(table))]):
        found = layer(x, reverse=True)
        filled = layer(x, reverse=True, projection=layer.output_projection())
        np.testing.assert_allclose(layer(np.array([[3, 0, 8]])), vectors, rtol=1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(filled[..., :9], expected, rtol=1e-4, atol=1e-4)
    assert filled.shape == (2, 1, 12) and np.all(np.asarray(filled)[..., 9:] < -1e9)


@pytest.mark.parametrize("size", [1, 16, 37, 64, 1024, 1500])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_by_xla_have_the_digits_of_float32(size, dtype):
    query = keras.ops.cast(GENERATOR.normal(size=(1, 2, 1, size)), dtype)
    keys = keras.ops.cast(GENERATOR.normal(size=(1, 2, 3, size)), dtype)
    found = scores_of_one_query(query, keys)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    query, keys = (
        np.asarray(keras.ops.cast(heads, "float32"), "float64")
        for heads in (query, keys)
    )
    expected = query @ keys.swapaxes(2, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
