import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.training import (
    MaskedAccuracy,
    MaskedCrossentropy,
    MaskedPerplexity,
    WarmupInverseSqrt,
)

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(2, 4, 6)).astype("float32")
LABELS = np.array([[1, 2, 3, 0], [5, 0, 0, 0]])


def expected_losses(logits, labels, smoothing):
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = np.eye(6)[labels] * (1 - smoothing) + smoothing / 6
    return -(targets * log_probs).sum(-1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_smoothed_mean_over_real_tokens(smoothing):
    found = MaskedCrossentropy(smoothing)(LABELS, LOGITS)
    losses = expected_losses(LOGITS.astype("float64"), LABELS, smoothing)
    assert float(found) == pytest.approx(losses[LABELS > 0].mean(), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient_is_softmax_minus_smoothed_target(smoothing):
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        loss = MaskedCrossentropy(smoothing)(LABELS, logits)
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    targets = np.eye(6)[LABELS] * (1 - smoothing) + smoothing / 6
    expected = (softmax - targets) * (LABELS > 0)[..., None] / (LABELS > 0).sum()
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


@pytest.mark.parametrize("gap", [0.0, 300.0])
def test_in_a_graph_the_loss_leaves_logits_as_they_are(gap):
    given = np.array([[[gap, 0.0, 1.0, -1.0]]], "float32")
    label = np.array([[1]])

    @tf.function
    def losses(given):
        logits = 2.0 * given
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = MaskedCrossentropy(0.1)(label, logits)
        return logits, loss, tape.gradient(loss, logits)

    logits, loss, gradient = losses(given)
    np.testing.assert_array_equal(logits, 2 * given)
    z = 2 * given[0, 0].astype("float64")
    # With a gap of 300 the label's probability is 0 in float32.
    logsumexp = z.max() + np.log(np.exp(z - z.max()).sum())
    target = np.eye(4)[1] * 0.9 + 0.1 / 4
    assert float(loss) == pytest.approx(logsumexp - target @ z, rel=1e-5)
    expected = np.exp(z - logsumexp) - target
    np.testing.assert_allclose(gradient[0, 0], expected, atol=1e-6)


def test_loss_of_half_precision_logits_is_computed_in_float32():
    found = MaskedCrossentropy(0.1)(LABELS, tf.cast(LOGITS, "bfloat16"))
    assert found.dtype == tf.float32
    rounded = tf.cast(tf.cast(LOGITS, "bfloat16"), "float32").numpy()
    losses = expected_losses(rounded, LABELS, 0.1)
    assert float(found) == pytest.approx(losses[LABELS > 0].mean(), abs=1e-5)


def test_batch_of_padding_alone_has_no_loss():
    assert float(MaskedCrossentropy()(np.zeros((1, 4), int), LOGITS[:1])) == 0.0


def test_metrics_count_real_tokens_only():
    accuracy, perplexity = MaskedAccuracy(), MaskedPerplexity()
    accuracy.update_state(LABELS, LOGITS)
    perplexity.update_state(LABELS, LOGITS)
    right = (LOGITS.argmax(-1) == LABELS)[LABELS > 0].mean()
    losses = expected_losses(LOGITS.astype("float64"), LABELS, 0.0)[LABELS > 0]
    assert float(accuracy.result()) == pytest.approx(right)
    assert float(perplexity.result()) == pytest.approx(np.exp(losses.mean()), rel=1e-5)


def test_schedule_is_equation_3():
    schedule = WarmupInverseSqrt(512, 4000)
    for step in (1, 100, 4000, 10_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        # The first update is step 1 of the paper and iteration 0 of Keras.
        assert float(schedule(step - 1)) == pytest.approx(expected, rel=1e-5)
    peak = WarmupInverseSqrt.from_peak(0.005, 512, 4000)
    assert float(peak(3999)) == pytest.approx(0.005, rel=1e-5)


@pytest.mark.parametrize(
    "thing",
    [MaskedCrossentropy(0.2), MaskedAccuracy(), MaskedPerplexity()],
)
def test_serialization_gives_the_same_thing_back(thing):
    module = keras.losses if isinstance(thing, keras.losses.Loss) else keras.metrics
    again = module.deserialize(module.serialize(thing))
    assert again.get_config() == thing.get_config()


def test_label_smoothing_out_of_range_is_named():
    with pytest.raises(ValueError, match="label_smoothing.*1.5"):
        MaskedCrossentropy(1.5)
