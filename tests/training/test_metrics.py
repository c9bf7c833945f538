"""Metrics count real tokens only. Runs on every backend; see tests/test_backends.py."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.training import MaskedAccuracy, MaskedPerplexity
from tests.training.gradients import BACKEND, compiled, tensor

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(3, 3, 6)).astype("float32")
BEST = LOGITS.argmax(-1)
# Of each row the first token is right, unless 0, which is padding, was the best.
LABELS = np.where(np.arange(3) < [[1], [2], [3]], BEST % 5 + 1, 0)
LABELS[:, 0] = np.where(BEST[:, 0] > 0, BEST[:, 0], 1)
KINDS = [MaskedAccuracy, MaskedPerplexity]


def expected(kind, labels, weights):
    """The metric's value by NumPy."""
    if kind is MaskedAccuracy:
        return ((BEST == labels) * weights).sum() / weights.sum()
    logits = LOGITS.astype("float64")
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    of_labels = np.take_along_axis(log_probs, labels[..., None], -1)[..., 0]
    return np.exp(-(of_labels * weights).sum() / weights.sum())


def value(metric, *batches):
    for batch in batches:
        metric.update_state(*batch)
    return float(metric.result())


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_are_means_over_real_tokens(kind):
    found = value(kind(), (LABELS, LOGITS))
    assert found == pytest.approx(expected(kind, LABELS, LABELS > 0), rel=1e-5)
    assert kind is not MaskedAccuracy or 0 < found < 1


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_unequal_sizes_weigh_by_their_tokens(kind):
    parts = [(LABELS[:1], LOGITS[:1]), (LABELS[1:], LOGITS[1:])]
    assert value(kind(), *parts) == pytest.approx(value(kind(), (LABELS, LOGITS)))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_padding_changes_no_metric(kind):
    metric = kind()
    before = value(metric, (LABELS, LOGITS))
    assert value(metric, (np.zeros_like(LABELS), LOGITS)) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding_id", [-100, 6, None])
def test_any_label_can_stand_for_padding(kind, padding_id):
    labels = LABELS if padding_id is None else np.where(LABELS, LABELS, padding_id)
    counts = np.ones((3, 3)) if padding_id is None else LABELS > 0
    found = value(kind(padding_id=padding_id), (labels, LOGITS))
    assert found == pytest.approx(expected(kind, LABELS, counts), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_weights_of_rows_weigh_rows_when_there_are_as_many_columns(kind, shape):
    weights = np.array([1.0, 10.0, 100.0], "float32")
    found = value(kind(), (LABELS, LOGITS, weights.reshape(shape)))
    of_tokens = (LABELS > 0) * weights[:, None]
    assert found == pytest.approx(expected(kind, LABELS, of_tokens), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_keras_s_mask_and_padding_both_leave_tokens_out(kind):
    logits = ops.convert_to_tensor(LOGITS)
    mask = np.array([[True] * 3, [False, True, True], [True, False, True]])
    logits._keras_mask = ops.convert_to_tensor(mask)
    found = value(kind(), (LABELS, logits))
    assert found == pytest.approx(expected(kind, LABELS, mask & (LABELS > 0)), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_may_have_a_last_axis_of_one(kind):
    found = value(kind(), (LABELS[..., None], LOGITS))
    assert found == value(kind(), (LABELS, LOGITS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", [6, 1_000, -1, -100])
def test_a_label_that_is_no_class_is_an_error(kind, label):
    labels = LABELS.copy()
    labels[1, 1] = label
    with pytest.raises(ValueError, match="from 0 to 5"):
        kind().update_state(labels, LOGITS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", [6, -1])
def test_a_label_that_is_no_class_is_never_a_number(kind, label):
    labels = LABELS.copy()
    labels[1, 1] = label
    metric = kind()

    def update(variables, labels, logits):
        scope = contextlib.nullcontext()
        if BACKEND == "jax":
            scope = keras.StatelessScope(list(zip(metric.variables, variables)))
        with scope:
            metric.update_state(labels, logits)
            return metric.result()

    variables = [variable.value for variable in metric.variables]
    # PyTorch isn't compiled, so that its values are always known.
    raises = (
        pytest.raises(ValueError) if BACKEND == "torch" else contextlib.nullcontext()
    )
    with raises:
        assert np.isnan(float(compiled(update)(variables, labels, LOGITS)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "labels, weights, words",
    [
        (LABELS[:, :2], None, r"y_true.*\(3, 3\)"),
        (LABELS[:2], None, r"y_true.*\(3, 3\)"),
        (LABELS + 0.25, None, "whole labels"),
        (np.eye(6)[LABELS], None, "one-hot"),
        (LABELS, np.ones((3, 2)), r"sample_weight.*\(3, 3\)"),
        (LABELS, np.ones(2), r"sample_weight.*\(3, 3\)"),
    ],
)
def test_other_shapes_are_named(kind, labels, weights, words):
    with pytest.raises(ValueError, match=words):
        kind().update_state(labels, LOGITS, weights)


@pytest.mark.skipif(BACKEND == "jax", reason="float64 is off in JAX by default")
def test_float64_keeps_its_digits():
    found = value(MaskedPerplexity(dtype="float64"), (LABELS, tensor(LOGITS)))
    exact = expected(MaskedPerplexity, LABELS, LABELS > 0)
    assert found == pytest.approx(exact, rel=1e-13)


def test_accuracy_takes_probabilities_too():
    probabilities = ops.softmax(ops.convert_to_tensor(LOGITS))
    found = value(MaskedAccuracy(), (LABELS, probabilities))
    assert found == value(MaskedAccuracy(), (LABELS, LOGITS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding_id", [0, None, np.int64(-100)])
def test_serialization_gives_the_same_metric_back(kind, padding_id):
    metric = kind(padding_id=padding_id)
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.get_config() == metric.get_config()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding_id", ["0", 0.0, [0], True])
def test_a_padding_id_that_is_no_id_is_named(kind, padding_id):
    with pytest.raises(TypeError, match="padding_id"):
        kind(padding_id=padding_id)
