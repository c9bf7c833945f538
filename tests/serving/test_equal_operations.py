import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from keras_transformer.serving.equal_operations import merge_equal_operations


class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def __call__(self, x):
        for _ in range(5):
            x = x * tf.constant(3.0) + tf.constant(3.0) - tf.constant(2.0)
        # Of equal values, and of other dtypes or shapes.
        others = tf.constant([3.0]), tf.cast(tf.constant(3), tf.float32)
        steps = tf.while_loop(
            lambda i, x: i < 2, lambda i, x: (i + 1, x * 3.0 - 3.0), (0, x)
        )
        return {"y": steps[1] + others[0] * others[1], "three": tf.constant([3.0])}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "whole"
    model = Model()
    signatures = {"serving_default": model.__call__}
    tf.saved_model.save(model, str(path), signatures=signatures)
    return model, path


@pytest.fixture
def copy(saved, tmp_path):
    return str(shutil.copytree(saved[1], tmp_path / "copy"))


def keys_of(function):
    """What tells the operations without a state of a function apart."""
    return [
        (node.op, node.device, *node.input, str(sorted(map(str, node.attr.items()))))
        for node in function.node_def
        if not op_def_registry.get(node.op).is_stateful
    ]


def test_answers_stay_and_equal_operations_go(saved, copy, meta_graph):
    model, path = saved[0], copy
    x = np.array([0.5, -2.0], "float32")
    functions = {
        function.signature.name: len(function.node_def)
        for function in meta_graph(path).graph_def.library.function
    }
    merge_equal_operations(path)
    for function in meta_graph(path).graph_def.library.function:
        keys = keys_of(function)
        assert len(keys) == len(set(keys)), function.signature.name
        assert len(function.node_def) <= functions[function.signature.name]
    loaded = tf.saved_model.load(path).signatures["serving_default"](tf.constant(x))
    for name, expected in model(x).items():
        np.testing.assert_array_equal(loaded[name], expected)


class Random(tf.Module):
    """Draws twice, counts how often it is asked, and has what it doesn't need."""

    def __init__(self):
        self.count = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "n")])
    def __call__(self, n):
        tf.square(n)
        self.count.assign_add(n)
        before = tf.identity(self.count)
        self.count.assign_add(n)
        draws = [tf.random.uniform([20]) for _ in range(2)]
        same = [tf.random.stateless_uniform([20], [1, 2]) for _ in range(2)]
        return {
            "before": before,
            "after": tf.identity(self.count),
            "draws": tf.stack(draws),
            "same": tf.stack(same),
        }


def test_operations_with_a_state_are_never_merged(tmp_path, meta_graph):
    model, path = Random(), str(tmp_path / "model")
    tf.saved_model.save(model, path, signatures={"serving_default": model.__call__})
    merge_equal_operations(path)
    graph = meta_graph(path).graph_def
    ops = [n.op for f in graph.library.function for n in f.node_def]
    assert ops.count("AssignAddVariableOp") == 2
    assert ops.count("RandomUniform") == 2
    assert "Square" not in ops
    loaded = tf.saved_model.load(path).signatures["serving_default"]
    for start in (0, 6):
        found = loaded(n=tf.constant(3))
        assert (found["before"], found["after"]) == (start + 3, start + 6)
        first, second = found["draws"].numpy()
        assert (first != second).any()
        np.testing.assert_array_equal(*found["same"].numpy())


def test_the_fingerprint_is_the_new_graph_s(copy):
    before = tf.saved_model.experimental.read_fingerprint(copy)
    merge_equal_operations(copy)
    after = tf.saved_model.experimental.read_fingerprint(copy)
    assert after.saved_model_checksum != before.saved_model_checksum
    assert after.signature_def_hash == before.signature_def_hash
    # What is merged stays as it is.
    merge_equal_operations(copy)
    again = tf.saved_model.experimental.read_fingerprint(copy)
    assert again.saved_model_checksum == after.saved_model_checksum


def test_an_export_has_one_of_each_operation(saved_path, meta_graph):
    for function in meta_graph(saved_path).graph_def.library.function:
        keys = keys_of(function)
        assert len(keys) == len(set(keys)), function.signature.name
        for node in function.node_def:
            assert "_output_shapes" not in node.attr


class Activations(tf.Module):
    """SiLU has a gradient of its own, which captures a constant for each."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def __call__(self, x):
        return {"y": tf.nn.silu(tf.nn.silu(x))}


def test_constants_that_python_looks_up_stay(tmp_path):
    model, path = Activations(), str(tmp_path / "model")
    tf.saved_model.save(model, path, signatures={"serving_default": model.__call__})
    merge_equal_operations(path)
    x = tf.constant([0.5, -2.0])
    loaded = tf.saved_model.load(path).signatures["serving_default"](x)
    np.testing.assert_array_equal(loaded["y"], model(x)["y"])
