"""Products of int8 against NumPy's, row by row."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_library

from keras_transformer.serving.int8_products import Int8Kernel, check_int8_products

rng = np.random.default_rng(0)


@pytest.fixture
def kernel(int8_products):
    """A function of a shape: a random kernel, and its values."""

    def make(size, width, transposed=False):
        matrix = rng.integers(-127, 128, (size, width), dtype="int8")
        scale = rng.uniform(0.001, 0.01, width).astype("float32")
        stored = tf.Variable(matrix if transposed else matrix.T)
        held = Int8Kernel(stored, scale, transposed)
        held.product = tf.function(held.product, autograph=False)
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
    found = held.product(tf.constant(rows)).numpy()
    np.testing.assert_allclose(found / unit, whole @ floats, rtol=1e-5, atol=1e-4)
    # Each number of a row is at most half a unit away.
    assert np.all(abs(found - rows @ floats) <= unit * abs(floats).sum(0) * 0.501)
    for row, product in zip(rows, found):
        alone = held.product(tf.constant(row[None])).numpy()
        np.testing.assert_array_equal(alone[0], product)


def test_half_precision_comes_and_goes(kernel):
    held, _ = kernel(16, 24)
    rows = tf.constant(rng.normal(size=(3, 16)), tf.bfloat16)
    found = held.product(rows)
    assert found.dtype == tf.bfloat16
    expected = held.product(tf.cast(rows, tf.float32))
    np.testing.assert_array_equal(found, tf.cast(expected, tf.bfloat16))


def test_zeros_stay_zeros_and_no_rows_none(kernel):
    held, _ = kernel(8, 12)
    assert not held.product(tf.zeros((2, 8))).numpy().any()
    assert held.product(tf.zeros((0, 8))).shape == (0, 12)


def test_what_is_no_number_stays_in_its_row(kernel):
    held, _ = kernel(8, 12)
    rows = np.ones((2, 8), "float32")
    rows[0, 3] = np.nan
    found = held.product(tf.constant(rows)).numpy()
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


def test_where_tensorflow_has_no_such_products_the_way_out_is_named(monkeypatch):
    apply_op = op_def_library.apply_op
    monkeypatch.setattr(
        op_def_library, "apply_op", lambda op, **inputs: apply_op(f"No{op}", **inputs)
    )
    # Not the one that keeps what it has found.
    with pytest.raises(RuntimeError, match="Choose weights='int8', which runs"):
        check_int8_products.__wrapped__()


def test_where_sums_overflow_the_way_out_is_named():
    code = (
        "from keras_transformer.serving.int8_products import check_int8_products\n"
        "check_int8_products()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        # As on a processor that has no instructions for int8.
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Choose weights='int8', which runs everywhere." in done.stderr
