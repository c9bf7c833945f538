"""What oneDNN multiplies in exports, against NumPy row by row, and what it does not."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_library

from keras_transformer import kernels
from keras_transformer.serving.onednn import (
    Int8Kernel,
    PackedKernel,
    check_products,
    try_products,
)
from keras_transformer.serving.weights import ONEDNN_FORMATS

rng = np.random.default_rng(0)


@pytest.fixture
def kernel(int8_products):
    """A function of a shape: a random kernel of int8, and its values."""

    def make(size, width, transposed=False):
        matrix = rng.integers(-127, 128, (size, width), dtype="int8")
        scale = rng.uniform(0.001, 0.01, width).astype("float32")
        stored = tf.Variable(matrix.T if transposed else matrix)
        held = Int8Kernel(stored, scale, transposed=transposed)
        held.linear = tf.function(held.linear, autograph=False)
        return held, matrix * scale.astype("float64")

    return make


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "count, size, width", [(1, 16, 24), (5, 64, 7), (33, 100, 300)]
)
def test_rows_are_quantized_one_by_one(kernel, count, size, width, transposed):
    held, floats = kernel(size, width, transposed)
    rows = rng.normal(size=(count, size)).astype("float32")
    rows *= 10.0 ** rng.integers(-6, 6, (count, 1))
    greatest = abs(rows).max(axis=1, keepdims=True)
    unit, whole = greatest / 127, np.round(rows * (np.float32(127) / greatest))
    found = held.linear(tf.constant(rows)).numpy()
    np.testing.assert_allclose(found / unit, whole @ floats, rtol=1e-5, atol=1e-4)
    # Each number of a row is at most half a unit away.
    assert np.all(abs(found - rows @ floats) <= unit * abs(floats).sum(0) * 0.501)
    for row, product in zip(rows, found):
        alone = held.linear(tf.constant(row[None])).numpy()
        np.testing.assert_array_equal(alone[0], product)
    bias = rng.normal(size=width).astype("float32")
    both = held.linear(tf.constant(rows), tf.constant(bias)).numpy()
    np.testing.assert_array_equal(both, found + bias)


def test_half_precision_comes_and_goes(kernel):
    held, _ = kernel(16, 24)
    rows = tf.constant(rng.normal(size=(3, 16)), tf.bfloat16)
    found = held.linear(rows)
    assert found.dtype == tf.bfloat16
    expected = held.linear(tf.cast(rows, tf.float32))
    np.testing.assert_array_equal(found, tf.cast(expected, tf.bfloat16))


def test_zeros_stay_zeros_and_no_rows_none(kernel):
    held, _ = kernel(8, 12)
    assert not held.linear(tf.zeros((2, 8))).numpy().any()
    assert held.linear(tf.zeros((0, 8))).shape == (0, 12)


def test_what_is_no_number_stays_in_its_row(kernel):
    held, _ = kernel(8, 12)
    rows = np.ones((2, 8), "float32")
    rows[0, 3] = np.nan
    found = held.linear(tf.constant(rows)).numpy()
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


def test_columns_are_the_kernel_s(kernel):
    places = np.array([[0, 11], [3, 3]])
    for transposed in (False, True):
        held, floats = kernel(8, 12, transposed)
        np.testing.assert_allclose(held.columns(places), floats.T[places], rtol=1e-6)


def test_columns_leave_the_variable_read_without_a_copy(kernel):
    held, _ = kernel(8, 12)
    graph = tf.function(held.columns).get_concrete_function([0, 3]).graph
    assert "ResourceGather" not in {node.type for node in graph.get_operations()}


@pytest.fixture
def packed(bfloat16_packed):
    """A function of a shape: a random packed kernel, and its values."""

    def make(size, width, transposed=False):
        values = rng.normal(size=(size, width)).astype("float32")
        stored = tf.Variable(values.T if transposed else values, dtype=tf.bfloat16)
        values = tf.cast(tf.cast(values, tf.bfloat16), tf.float32).numpy()
        held = PackedKernel(stored, transposed=transposed)
        held.linear = tf.function(held.linear, autograph=False)
        return held, values

    return make


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "count, size, width", [(0, 8, 12), (1, 16, 24), (5, 64, 7), (33, 100, 300)]
)
def test_packed_products_are_those_of_bfloat16(packed, count, size, width, transposed):
    held, values = packed(size, width, transposed)
    # Numbers that bfloat16 has.
    rows = rng.integers(-8, 9, size=(count, size)).astype("float32")
    bias = rng.integers(-8, 9, size=width).astype("float32")
    found = held.linear(tf.constant(rows)).numpy()
    np.testing.assert_allclose(found, rows @ values, rtol=2**-8, atol=1e-3)
    found = held.linear(tf.constant(rows), tf.constant(bias)).numpy()
    np.testing.assert_allclose(found, rows @ values + bias, rtol=2**-8, atol=1e-3)


def test_the_first_batch_s_size_doesn_t_matter(packed):
    """The order that a kernel is kept in is chosen at the first product."""
    rows = rng.normal(size=(300, 64)).astype("float32")
    held, values = packed(64, 48)
    for count in (2, 300, 1, 33):
        found = held.linear(tf.constant(rows[:count])).numpy()
        np.testing.assert_allclose(found, rows[:count] @ values, rtol=0.05, atol=0.15)


def test_packed_columns_are_the_kernel_s(packed):
    places = np.array([[0, 11], [3, 3]])
    for transposed in (False, True):
        held, values = packed(8, 12, transposed)
        found = tf.cast(held.columns(places), tf.float32)
        np.testing.assert_array_equal(found, values.T[places])


@pytest.mark.parametrize(
    "weights, instead", [("bfloat16_packed", "bfloat16"), ("int8_products", "int8")]
)
def test_where_the_processor_has_no_such_products_the_way_out_is_named(
    monkeypatch, weights, instead
):
    # As on a processor without AVX-512.
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    # Not the one that keeps what it has found.
    with pytest.raises(RuntimeError, match=f"'{instead}', which runs everywhere"):
        check_products.__wrapped__(weights)


@pytest.mark.parametrize("weights", list(ONEDNN_FORMATS))
def test_operations_that_tensorflow_has_not_are_noticed(monkeypatch, weights):
    apply_op = op_def_library.apply_op
    monkeypatch.setattr(
        op_def_library, "apply_op", lambda op, **inputs: apply_op(f"No{op}", **inputs)
    )
    with pytest.raises(RuntimeError, match="Unrecognized Op name No_"):
        try_products(weights)


@pytest.mark.parametrize("kind", [PackedKernel, Int8Kernel])
def test_wrong_products_are_noticed(int8_products, monkeypatch, kind):
    linear = kind.linear
    monkeypatch.setattr(kind, "linear", lambda *inputs: linear(*inputs) * 1.01)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        try_products("int8_products")


@pytest.mark.skipif(kernels.is_plain(), reason="plain forms are chosen")
@pytest.mark.parametrize("kind", ["translator", "generator"])
def test_a_search_prepares_no_matmul_for_each_token(exports, meta_graph, kind):
    functions = meta_graph(exports[kind].path).graph_def.library.function
    loops = {
        node.attr["body"].func.name
        for function in functions
        for node in function.node_def
        if "body" in node.attr
    }
    by_name = {each.signature.name: each for each in functions}
    operations = {node.op for name in loops for node in by_name[name].node_def}
    # oneDNN would prepare one of `BatchMatMulV2` for each number of keys, and keep it.
    assert "BatchMatMulV3" in operations and "BatchMatMulV2" not in operations
