"""The loss: its values, its derivatives, and what it is given.

Runs on every backend of Keras; see tests/test_backends.py.
"""

import contextlib
import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.kernels import plain
from keras_transformer.training import MaskedCrossentropy
from keras_transformer.training.crossentropy import smoothed_crossentropy
from tests.training.gradients import (
    BACKEND,
    as_array,
    compiled,
    forward_derivative,
    gradient_of,
    tensor,
)

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(2, 4, 6)).astype("float32")
LABELS = np.array([[1, 2, 3, 0], [5, 0, 0, 0]])
REAL = LABELS > 0
only_tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="is about TensorFlow's graphs"
)


@pytest.fixture(autouse=True)
def double_precision():
    """JAX has float64 only where it is asked for."""
    if BACKEND == "jax":
        import jax

        with jax.enable_x64(True):
            yield
    else:
        yield


def expected_losses(logits, labels, smoothing):
    logits = logits.astype("float64")
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = np.eye(6)[labels] * (1 - smoothing) + smoothing / 6
    return -(targets * log_probs).sum(-1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_smoothed_mean_over_real_tokens(smoothing):
    found = MaskedCrossentropy(smoothing)(LABELS, LOGITS)
    losses = expected_losses(LOGITS, LABELS, smoothing)
    assert float(found) == pytest.approx(losses[REAL].mean(), abs=1e-6)


WEIGHTS = np.array([[1.0, 2.0, 0.0, 4.0], [0.5, 1.0, 1.0, 1.0]], "float32")


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    "reduction",
    ["sum", "sum_over_batch_size", "mean", "mean_with_sample_weight", "none", None],
)
def test_every_reduction_of_keras_leaves_padding_out(reduction, weights):
    found = MaskedCrossentropy(0.1, reduction=reduction)(LABELS, LOGITS, weights)
    losses = expected_losses(LOGITS, LABELS, 0.1)
    of_tokens = REAL * (1.0 if weights is None else weights)
    weighted = losses * of_tokens
    expected = {
        "sum": weighted.sum(),
        "sum_over_batch_size": weighted.sum() / REAL.sum(),
        "mean": weighted.sum() / REAL.sum(),
        "mean_with_sample_weight": weighted.sum() / of_tokens.sum(),
    }.get(reduction, weighted)
    np.testing.assert_allclose(as_array(found), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "reduction", ["sum", "sum_over_batch_size", "mean", "mean_with_sample_weight", None]
)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_without_a_padding_id_the_loss_is_keras_s(reduction, weighted, masked):
    def given():
        logits = ops.convert_to_tensor(LOGITS)
        if masked:
            mask = ops.convert_to_tensor(
                [[True, True, False, True], [True] + [False] * 3]
            )
            logits._keras_mask = mask
        weights = np.array([2.0, 0.5], "float32") if weighted else None
        return LABELS, logits, weights

    ours = MaskedCrossentropy(0.0, padding_id=None, reduction=reduction)
    theirs = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction=reduction
    )
    found = ours(*given())
    if reduction == "mean_with_sample_weight" and weighted:
        # Keras divides by the sum over rows of weights that count once a token.
        labels, logits, weights = given()
        mask = as_array(logits._keras_mask) if masked else np.ones((2, 4))
        tokens = mask * weights[:, None]
        expected = (expected_losses(LOGITS, LABELS, 0) * tokens).sum() / tokens.sum()
    else:
        labels, logits, weights = given()
        weights = None if weights is None else weights[:, None] * np.ones((2, 4))
        expected = as_array(theirs(labels, logits, weights))
    np.testing.assert_allclose(as_array(found), expected, rtol=1e-5, atol=1e-6)


def test_a_mask_and_padding_both_leave_tokens_out():
    logits = ops.convert_to_tensor(LOGITS)
    mask = np.array([[True, False, True, True], [True] * 4])
    logits._keras_mask = ops.convert_to_tensor(mask)
    expected = expected_losses(LOGITS, LABELS, 0.1)[mask & REAL].mean()
    assert float(MaskedCrossentropy(0.1)(LABELS, logits)) == pytest.approx(expected)


@pytest.mark.parametrize("padding_id", [0, -100, -1, 3, 6, 99])
def test_any_label_can_stand_for_padding(padding_id):
    labels = np.where(REAL, LABELS % 3, padding_id)
    found = MaskedCrossentropy(0.1, padding_id=padding_id)(labels, LOGITS)
    counts = labels != padding_id
    losses = expected_losses(LOGITS, np.where(counts, labels, 0), 0.1)
    assert float(found) == pytest.approx(losses[counts].mean(), rel=1e-5)


def test_padding_has_no_gradient_whatever_its_label():
    labels = np.where(REAL, LABELS, -100)
    loss = MaskedCrossentropy(0.1, padding_id=-100)
    gradient = as_array(gradient_of(lambda x: loss(labels, x))(tensor(LOGITS)))
    assert np.isfinite(gradient).all()
    assert (gradient[~REAL] == 0).all() and (gradient[REAL] != 0).all()


@pytest.mark.parametrize(
    "label", [6, 7, 1_000, -1, -100, -(2**31), 2**31 + 1, 2**32 + 1]
)
@pytest.mark.parametrize("padding_id", [0, None, -7])
def test_a_label_that_is_no_class_is_an_error(label, padding_id):
    labels = np.array([[1, 2, label, 4], [5, 1, 1, 1]], "int64")
    with pytest.raises(ValueError, match=f"from 0 to 5.*padding_id={padding_id}"):
        MaskedCrossentropy(padding_id=padding_id)(labels, LOGITS)


@pytest.mark.parametrize("label", [6, 1_000, -1, -100, 2.5, np.nan, np.inf])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_label_that_is_no_class_is_never_a_number(label, reduction):
    loss = MaskedCrossentropy(reduction=reduction)
    labels = np.array([[1, 2, label, 4], [5, 1, 1, 1]])
    # PyTorch isn't compiled, so that its values are always known.
    raises = (
        pytest.raises(ValueError) if BACKEND == "torch" else contextlib.nullcontext()
    )
    with raises:
        found = as_array(compiled(lambda labels, x: loss(labels, x))(labels, LOGITS))
        wrong = np.arange(8).reshape(2, 4) == 2 if reduction == "none" else True
        assert (np.isnan(found) == wrong).all()


@only_tensorflow
def test_a_graph_of_tensorflow_refuses_a_label_that_is_no_class():
    import tensorflow as tf

    loss = tf.function(MaskedCrossentropy(), reduce_retracing=True)
    assert float(loss(tf.constant(LABELS), tf.constant(LOGITS))) > 0
    with pytest.raises(tf.errors.InvalidArgumentError, match="from 0 to 5"):
        loss(tf.constant(LABELS + 3), tf.constant(LOGITS))


@only_tensorflow
def test_a_graph_of_unknown_shapes_refuses_labels_of_another_length():
    import tensorflow as tf

    signature = [
        tf.TensorSpec((None, None), tf.int32),
        tf.TensorSpec((None, None, 6), tf.float32),
    ]

    @functools.partial(tf.function, input_signature=signature)
    def loss(labels, logits):
        logits = tf.identity(logits)
        logits._keras_mask = tf.ones(tf.shape(logits)[:-1], "bool")
        return MaskedCrossentropy()(labels, logits)

    for shape in ((2, 3), (1, 1), (4, 2)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="y_true must have"):
            loss(tf.ones(shape, tf.int32), tf.constant(LOGITS))


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 1)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32", "float64"])
def test_labels_may_have_a_last_axis_of_one_and_any_dtype(shape, dtype):
    expected = float(MaskedCrossentropy()(LABELS, LOGITS))
    found = MaskedCrossentropy()(LABELS.reshape(shape).astype(dtype), LOGITS)
    assert float(found) == pytest.approx(expected)


def test_predictions_of_one_token_a_row_have_labels_of_one_axis():
    found = MaskedCrossentropy(0.1)(LABELS[:, 0], LOGITS[:, 0])
    expected = expected_losses(LOGITS, LABELS, 0.1)[:, 0].mean()
    assert float(found) == pytest.approx(expected, rel=1e-5)
    again = MaskedCrossentropy(0.1)(LABELS[:, :1], LOGITS[:, 0])
    assert float(again) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "labels, words",
    [
        (np.ones((2, 3), int), r"\(2, 4\).*received.*\(2, 3\)"),
        (np.ones((3, 4), int), r"\(2, 4\).*received.*\(3, 4\)"),
        (np.ones((1, 4), int), r"\(2, 4\).*received.*\(1, 4\)"),
        (np.ones((2, 1), int), r"\(2, 4\).*received.*\(2, 1\)"),
        (np.ones((8,), int), r"\(2, 4\).*received.*\(8,\)"),
        (np.ones((), int), r"\(2, 4\).*received.*\(\)"),
        (np.ones((2, 4, 6), int), r"\(2, 4\).*received.*\(2, 4, 6\)"),
        (np.ones((2, 4, 1, 1), int), r"\(2, 4\).*received.*\(2, 4, 1, 1\)"),
        (np.eye(6)[LABELS], r"\(2, 4\).*received.*one-hot.*argmax"),
        (np.eye(6, dtype="int32")[LABELS], r"\(2, 4\).*received.*one-hot.*argmax"),
        (LABELS + 0.5, "whole labels from 0 to 5.*0.5 and 5.5"),
        (np.full((2, 4), np.nan), "whole labels from 0 to 5.*nan"),
        (np.full((2, 4), -np.inf), "whole labels from 0 to 5.*-inf"),
    ],
)
def test_other_labels_are_named_with_the_shape_that_is_wanted(labels, words):
    with pytest.raises(ValueError, match=words):
        MaskedCrossentropy()(labels, LOGITS)


SQUARE_LOGITS = rng.normal(size=(3, 3, 6)).astype("float32")
SQUARE_LABELS = np.array([[1, 2, 3], [4, 5, 0], [1, 0, 0]])


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_weights_of_rows_weigh_rows_when_there_are_as_many_columns(shape):
    weights = np.array([1.0, 10.0, 100.0], "float32").reshape(shape)
    losses = MaskedCrossentropy(0.1, reduction="none")
    found = as_array(losses(SQUARE_LABELS, SQUARE_LOGITS, weights))
    expected = as_array(losses(SQUARE_LABELS, SQUARE_LOGITS)) * weights.reshape(3, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "weights", [2.0, np.full((1, 4), 2.0), np.full((2, 4, 1), 2.0)]
)
def test_other_weights_of_tokens_are_broadcast(weights):
    found = MaskedCrossentropy()(LABELS, LOGITS, weights)
    expected = 2 * float(MaskedCrossentropy()(LABELS, LOGITS))
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(4,), (3,), (2, 3), (4, 2), (2, 4, 2), (1, 2, 4)])
def test_weights_of_another_shape_are_named(shape):
    with pytest.raises(ValueError, match=r"sample_weight.*\(2,\).*\(2, 4\).*received"):
        MaskedCrossentropy()(LABELS, LOGITS, np.ones(shape))


@pytest.mark.parametrize("weighting", ["sample_weight", "class_weight"])
def test_fit_weighs_rows(weighting):
    """Keras turns weights of classes into weights of rows: each row's first maximum."""
    model = keras.Sequential([keras.layers.Dense(6)])
    weights = np.array([1.0, 10.0, 100.0], "float32")
    given = {"sample_weight": weights}
    if weighting == "class_weight":
        given = {"class_weight": dict(enumerate(weights[[2, 1, 0]]))}
    model.compile("sgd", MaskedCrossentropy(0.1))
    x = rng.normal(size=(3, 3, 5)).astype("float32")
    expected = float(MaskedCrossentropy(0.1)(SQUARE_LABELS, model(x), weights))
    fitted = model.fit(x, SQUARE_LABELS, 3, 1, verbose=0, **given)
    assert fitted.history["loss"][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient_is_softmax_minus_smoothed_target(smoothing):
    loss = MaskedCrossentropy(smoothing)
    found = gradient_of(lambda x: loss(LABELS, x))(tensor(LOGITS))
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    targets = np.eye(6)[LABELS] * (1 - smoothing) + smoothing / 6
    expected = (softmax - targets) * REAL[..., None] / REAL.sum()
    np.testing.assert_allclose(as_array(found), expected, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_any_order_are_those_by_differences(order):
    """With float64's digits; float32's differences would be off by a half."""
    loss, direction = MaskedCrossentropy(0.1), tensor(rng.normal(size=(2, 4, 6)))

    def along(function):
        return lambda x: ops.sum(gradient_of(function)(x) * direction)

    def function(x):
        return loss(LABELS, x)

    for _ in range(order - 1):
        function = along(function)
    x, step = tensor(LOGITS), 1e-5
    ends = [function(x + sign * step * direction) for sign in (1, -1)]
    expected = (float(ends[0]) - float(ends[1])) / (2 * step)
    assert float(along(function)(x)) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_forward_differentiation_gives_the_gradient_s_values():
    loss, direction = MaskedCrossentropy(0.1), tensor(rng.normal(size=(2, 4, 6)))
    gradient = gradient_of(lambda x: loss(LABELS, x))
    x = tensor(LOGITS)
    found = forward_derivative(lambda x: loss(LABELS, x), x, direction)
    assert float(found) == pytest.approx(float(ops.sum(gradient(x) * direction)))
    found = as_array(forward_derivative(gradient, x, direction))
    ends = [as_array(gradient(x + sign * 1e-5 * direction)) for sign in (1, -1)]
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-5, atol=1e-9)


def test_float64_keeps_its_digits():
    logits = tensor(LOGITS)
    expected = expected_losses(LOGITS, LABELS, 0.1)
    found = MaskedCrossentropy(0.1, reduction="none")(LABELS, logits)
    np.testing.assert_allclose(as_array(found), expected * REAL, rtol=1e-14)
    found = MaskedCrossentropy(0.1)(LABELS, logits)
    assert float(found) == pytest.approx(expected[REAL].mean(), rel=1e-14)
    of_float32 = MaskedCrossentropy(0.1, dtype="float64")(LABELS, LOGITS)
    assert float(of_float32) == pytest.approx(expected[REAL].mean(), rel=1e-14)


@pytest.mark.parametrize("gap", [0.0, 50.0, 300.0])
def test_every_backend_s_form_is_the_plain_one(gap):
    logits = rng.normal(size=(2, 3, 50)) * 3
    logits[0, :, 7] += gap
    labels = np.array([[7, 1, 49], [0, 7, 8]], "int32")
    found = smoothed_crossentropy(labels, tensor(logits), 0.1)
    rows = tensor(logits.reshape(6, 50)), ops.convert_to_tensor(labels.reshape(-1))
    expected = as_array(plain.crossentropy(*rows, 0.1)).reshape(2, 3)
    np.testing.assert_allclose(as_array(found), expected, rtol=1e-10)


@only_tensorflow
@pytest.mark.parametrize("gap", [0.0, 300.0])
def test_in_a_graph_the_loss_leaves_logits_as_they_are(gap):
    import tensorflow as tf

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
    half = ops.cast(LOGITS, "bfloat16")
    found = MaskedCrossentropy(0.1)(LABELS, half)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    losses = expected_losses(as_array(ops.cast(half, "float32")), LABELS, 0.1)
    assert float(found) == pytest.approx(losses[REAL].mean(), abs=1e-5)


@pytest.mark.parametrize("rows", [1, 0])
@pytest.mark.parametrize("reduction", ["mean", "mean_with_sample_weight", "sum"])
def test_batch_of_padding_alone_has_no_loss(reduction, rows):
    loss = MaskedCrossentropy(reduction=reduction)
    assert float(loss(np.zeros((rows, 4), int), LOGITS[:rows])) == 0.0


@pytest.mark.parametrize(
    "arguments",
    [{"label_smoothing": 0.2}, {"padding_id": None}, {"padding_id": np.int64(-100)}],
    ids=str,
)
def test_serialization_gives_the_same_loss_back(arguments):
    loss = MaskedCrossentropy(**arguments)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"label_smoothing": 1.5}, ValueError),
        ({"label_smoothing": 1}, ValueError),
        ({"label_smoothing": -0.1}, ValueError),
        ({"label_smoothing": float("nan")}, ValueError),
        ({"label_smoothing": "0.1"}, TypeError),
        ({"label_smoothing": None}, TypeError),
        ({"label_smoothing": True}, TypeError),
        ({"padding_id": "0"}, TypeError),
        ({"padding_id": 0.0}, TypeError),
        ({"padding_id": [0]}, TypeError),
        ({"reduction": "average"}, ValueError),
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_named(arguments, error):
    ((name, value),) = arguments.items()
    with pytest.raises(error, match=f"{name}(?s:.*){value}"):
        MaskedCrossentropy(**arguments)


def test_a_loss_of_a_user_s_own_call_is_what_is_reduced():
    class Doubled(MaskedCrossentropy):
        def call(self, y_true, y_pred):
            return 2 * super().call(y_true, y_pred)

    labels, logits = np.array([[1, 2, 0]]), np.random.rand(1, 3, 5).astype("float32")
    expected = 2 * float(MaskedCrossentropy(0.1)(labels, logits))
    assert float(Doubled(0.1)(labels, logits)) == pytest.approx(expected)
