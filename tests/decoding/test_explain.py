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


def by_hand(model, source, answer):
    """The last block but one's weights of cross-attention `(T, S)`, mean over heads."""
    target = np.array([[reference.START, *answer[:-1]]])
    memory = model.encode(source[None])
    x = model.position(model.target_embedding(target))
    number = max(len(model.decoder_blocks) - 2, 0)
    for block in model.decoder_blocks[: number + 1]:
        block_input = x
        x = block(x, memory)
    scores = block(block_input, memory, return_attention_scores=True)[-1]
    return np.asarray(scores)[0].mean(axis=0)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_alignments_are_the_weights_of_the_last_block_but_one(num_layers):
    model, sources = tiny(num_layers=num_layers), SOURCES[:3]
    found = np.asarray(explain(model, sources, ANSWERS, reference.START)["alignment"])
    assert found.shape == (*ANSWERS.shape, sources.shape[1])
    assert found.dtype == np.float32
    for row, answer in enumerate(ANSWERS):
        source, answer = sources[row][sources[row] > 0], answer[answer > 0]
        expected = by_hand(model, source, answer)
        own = found[row, : len(answer)]
        np.testing.assert_allclose(own[:, : len(source)], expected, atol=1e-5)
        np.testing.assert_allclose(own.sum(axis=-1), 1.0, atol=1e-5)
        # Padding isn't looked at, and doesn't look.
        assert np.all(own[:, len(source) :] == 0)
        assert np.all(found[row, len(answer) :] == 0)


def test_the_rest_of_a_batch_changes_no_explanation():
    model, sources = tiny(), SOURCES[:3]
    together = explain(model, sources, ANSWERS, reference.START)
    for row in range(3):
        source = sources[row : row + 1, : np.count_nonzero(sources[row])]
        answer = ANSWERS[row : row + 1, : np.count_nonzero(ANSWERS[row])]
        alone = explain(model, source, answer, reference.START)
        for name, columns in (("log_probs", ()), ("alignment", (source.shape[1],))):
            own = np.asarray(together[name])[row, : answer.shape[1]]
            own = own[:, : columns[0]] if columns else own
            np.testing.assert_allclose(own, alone[name][0], atol=1e-5)


def test_the_start_token_is_the_one_that_is_named():
    model = tiny()
    found, other = (
        np.asarray(log_probs(model, SOURCES[:1], ANSWERS[:1], start))
        for start in (reference.START, 6)
    )
    assert np.abs(found - other).max() > 1e-3


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
