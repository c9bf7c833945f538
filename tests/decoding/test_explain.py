"""Probabilities and alignments of given answers."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.decoding.explain import explain, log_probs
from tests.decoding import reference
from tests.decoding.test_beam_search import SOURCES, tiny

ANSWERS = np.array([[5, 7, 3, 0], [4, 3, 0, 0], [9, 9, 8, 3]], "int32")


def test_log_probs_are_the_model_s_own():
    model, sources = tiny(), SOURCES[:3]
    found = np.asarray(log_probs(model, sources, ANSWERS, reference.START))
    explained = explain(model, sources, ANSWERS, reference.START)["log_probs"]
    np.testing.assert_allclose(found, explained, atol=1e-5)
    for row, answer in enumerate(ANSWERS):
        tokens = [int(token) for token in answer if token]
        source = sources[row][sources[row] > 0]
        for i, token in enumerate(tokens):
            (expected,) = reference.next_log_probs(model, source, [tokens[:i]])
            assert found[row, i] == pytest.approx(expected[token], abs=1e-4)
        assert np.all(found[row, len(tokens) :] == 0)


def test_answers_without_tokens_have_no_probabilities():
    model = tiny()
    found = log_probs(model, SOURCES[:0], ANSWERS[:0], reference.START)
    assert found.shape == (0, 4)


@pytest.mark.parametrize("function", [explain, log_probs])
def test_nothing_is_computed_that_has_no_use(function):
    """TensorFlow takes one pass over the graph to drop each operation of a chain."""
    model = tiny()
    spec = tf.TensorSpec((None, None), tf.int32)
    traced = tf.function(lambda *ids: function(model, *ids)).get_concrete_function(
        spec, spec
    )
    operations = traced.graph.get_operations()
    used = {id(tensor.op) for tensor in traced.graph.outputs}
    for operation in reversed(operations):
        if id(operation) in used:
            used |= {id(tensor.op) for tensor in operation.inputs}
    costly = [op for op in operations if "MatMul" in op.type or op.type == "Softmax"]
    assert len(costly) > 20
    assert [op.name for op in costly if id(op) not in used] == []
