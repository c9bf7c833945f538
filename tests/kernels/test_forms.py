"""Each fast form gives the values and gradients of the plain one.

On the backend that Keras has: test_other_backends.py runs this on JAX and PyTorch.
"""

import contextlib
import dataclasses
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import kernels
from keras_transformer.kernels import (
    attention,
    losses,
    packed,
    plain,
    training,
    vocabulary,
    xla,
)
from keras_transformer.kernels.hashing import mixed
from keras_transformer.kernels.impossible import IMPOSSIBLE, NO_LOGIT
from keras_transformer.training import Adam
from tests.training.gradients import gradient_of

BACKEND = keras.backend.backend()


def random(*shape, seed=0, dtype="float32"):
    values = np.random.default_rng([seed, *shape]).normal(size=shape)
    return ops.cast(ops.convert_to_tensor(values.astype("float32")), dtype)


@dataclasses.dataclass
class Case:
    """A fast form and arguments that it takes.

    Attributes:
        differentiated: How many of the arguments have gradients, the first ones.
        scope: Function of the arguments that gives the scope of the call.
    """

    form: object
    plain_form: object
    arguments: tuple
    differentiated: int = 1
    scope: object = lambda *arguments: contextlib.nullcontext()
    backends: tuple = ("tensorflow", "jax", "torch")


def packed_scope(rows, kernel, bias):
    weights = kernels.TransposedWeights(ops.transpose(kernel))
    return kernels.with_packed_weights([(kernel, weights)])


def two_parts(*arguments):
    return kernels.with_matmuls_in_parts(2)


MASK = np.array([True, False, True, True, False])[None, None, None]
HEADS = random(2, 2, 3, 4), random(2, 2, 5, 4, seed=1), random(2, 2, 5, 4, seed=2)
ONE_QUERY = random(1, 2, 1, 4), random(1, 2, 5, 4, seed=1)
NORM = random(3, 4, 8), random(8, seed=1), random(8, seed=2), 1e-3
MATMUL = random(5, 8), random(8, 6, seed=1), random(6, seed=2)
LARGE = random(3, 1024), random(1024, 512, seed=1), random(512, seed=2)
LABELS = ops.convert_to_tensor(np.array([7, 0, 49, 7], "int32"))
LOGITS = random(3, 2, 901)
BEST = (LOGITS, 4, random(3, 2, 1, seed=1), (0, 63, 64))
TENSORFLOW = ("tensorflow",)

CASES = {
    "linear": Case(training.linear, plain.linear, MATMUL, 3, backends=TENSORFLOW),
    "linear without a bias": Case(
        training.linear, plain.linear, MATMUL[:2], 2, backends=TENSORFLOW
    ),
    "linear of packed weights": Case(
        packed.linear_of_packed, plain.linear, MATMUL, 1, packed_scope
    ),
    "linear in parts": Case(packed.linear_in_parts, plain.linear, LARGE, 3, two_parts),
    "linear of a bare row": Case(
        packed.linear_of_bare_row, plain.linear, (random(1, 8), MATMUL[1]), 2
    ),
    "scores": Case(attention.scores_of_one_query, plain.scores, ONE_QUERY, 2),
    "scores by XLA": Case(xla.scores_of_one_query, plain.scores, ONE_QUERY, 2),
    "scores of a step": Case(
        attention.scores_of_step, plain.scores, HEADS[:2], 2, backends=TENSORFLOW
    ),
    "scores of a step of one query": Case(
        attention.scores_of_step, plain.scores, ONE_QUERY, 2, backends=TENSORFLOW
    ),
    "softmax": Case(
        xla.softmax_of_one_query, plain.softmax, (random(1, 2, 1, 5), "float32")
    ),
    "weighted sum": Case(
        xla.weighted_sum_of_one_query,
        plain.weighted_sum,
        (random(1, 2, 1, 5), random(1, 2, 5, 4)),
        2,
    ),
    "weighted sum of a step": Case(
        attention.weighted_sum_of_step,
        plain.weighted_sum,
        (random(2, 2, 3, 5), HEADS[2]),
        2,
        backends=TENSORFLOW,
    ),
    "attention": Case(attention.attend_fused, plain.attend, HEADS, 3),
    "attention with a bias": Case(
        attention.attend_fused, plain.attend, (*HEADS, random(1, 2, 3, 5)), 4
    ),
    "attention with a mask": Case(
        attention.attend_fused, plain.attend, (*HEADS, None, MASK), 3
    ),
    "attention with both": Case(
        attention.attend_fused, plain.attend, (*HEADS, random(1, 2, 3, 5), MASK), 4
    ),
    "normalization": Case(
        training.normalize, plain.normalize, NORM, 3, backends=TENSORFLOW
    ),
    "loss on TensorFlow": Case(
        losses.on_tensorflow,
        plain.crossentropy,
        (random(4, 50), LABELS, 0.1),
        backends=TENSORFLOW,
    ),
    "loss on JAX": Case(
        losses.on_jax,
        plain.crossentropy,
        (random(4, 50), LABELS, 0.1),
        backends=("jax",),
    ),
    "normalizer of columns": Case(
        vocabulary.log_normalizer_of_columns, plain.log_normalizer, (LOGITS,), 0
    ),
    "normalizer of pieces": Case(
        vocabulary.log_normalizer_of_pieces, plain.log_normalizer, (LOGITS,), 0
    ),
    "best tokens of columns": Case(
        vocabulary.best_tokens_of_columns, plain.best_tokens, BEST, 0
    ),
    "best token of columns": Case(
        vocabulary.best_tokens_of_columns, plain.best_tokens, (LOGITS[:, :1], 1), 0
    ),
    "best tokens of pieces": Case(
        vocabulary.best_tokens_of_pieces, plain.best_tokens, BEST, 0
    ),
}
# They have no values to compare: see the tests below, and layers/test_dropout.py.
OTHERS = {plain.drop, plain.adam_rate, plain.adam_step, plain.draw}


def numbers(values):
    if hasattr(values, "detach"):
        values = values.detach()
    return ops.convert_to_numpy(ops.cast(values, "float32"))


def flat(values):
    return values if isinstance(values, tuple) else (values,)


def gradients(form, arguments, count):
    """The gradients of a function of what a form gives, by each argument."""
    for i in range(count):

        def loss(x, i=i):
            values = form(*arguments[:i], x, *arguments[i + 1 :])
            return ops.sum(ops.sin(ops.cast(values, "float32")))

        yield gradient_of(loss)(arguments[i])


@pytest.mark.parametrize("name", CASES)
def test_a_fast_form_gives_what_the_plain_one_gives(name):
    case = CASES[name]
    if BACKEND not in case.backends:
        pytest.skip(f"is for {case.backends}")
    with case.scope(*case.arguments):
        found = flat(case.form(*case.arguments))
        slopes = list(gradients(case.form, case.arguments, case.differentiated))
    expected = flat(case.plain_form(*case.arguments))
    for one, other in zip(found, expected, strict=True):
        assert keras.backend.standardize_dtype(one.dtype) == (
            keras.backend.standardize_dtype(other.dtype)
        )
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=2e-5, atol=1e-4)
    by_formula = gradients(case.plain_form, case.arguments, case.differentiated)
    for one, other in zip(slopes, by_formula, strict=True):
        assert np.any(numbers(other))
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-3, atol=1e-3)


def test_every_fast_form_is_tested():
    tested = {case.form for case in CASES.values()}
    known = {
        form.function
        for plain_form, forms in kernels.FAST_FORMS.items()
        for form in forms
        if plain_form not in OTHERS
    }
    assert tested == known


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
def test_the_first_form_that_serves_a_call_is_taken():
    def chosen(*arguments, **named):
        return kernels.form_of(plain.linear, arguments, **named)

    assert chosen(*MATMUL) is plain.linear
    assert chosen(*MATMUL, training=True) is training.linear
    with kernels.with_matmuls_in_parts(2):
        assert chosen(*LARGE) is packed.linear_in_parts
        assert chosen(*MATMUL) is plain.linear
        with kernels.plain_only():
            assert chosen(*LARGE) is plain.linear
            assert chosen(*MATMUL, training=True) is plain.linear
    with packed_scope(*MATMUL):
        assert chosen(*MATMUL, training=True) is packed.linear_of_packed
        with kernels.plain_only():
            assert chosen(*MATMUL) is plain.linear
    assert kernels.form_of(plain.scores, ONE_QUERY) is attention.scores_of_one_query
    with kernels.with_packed_weights([], compiled_by_xla=True):
        assert kernels.form_of(plain.scores, ONE_QUERY) is xla.scores_of_one_query


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
def test_a_step_whose_keys_get_more_is_not_for_onednn():
    import tensorflow as tf

    def operations(queries, keys, is_plain=False):
        specs = [tf.TensorSpec(shape, tf.float32) for shape in (queries, keys)]

        def attend(queries, keys):
            return kernels.attend(queries, keys, keys)

        with kernels.plain_only(is_plain):
            graph = tf.function(attend).get_concrete_function(*specs).graph
        return {each.type for each in graph.get_operations() if "MatMul" in each.type}

    grown = [None, 2, None, 8]
    assert operations([None, 2, 4, 8], grown) == {"BatchMatMulV3"}
    assert operations([None, 2, 1, 8], grown) == {"BatchMatMulV3"}
    assert operations([1, 2, 4, 8], [1, 2, None, 8]) == {"BatchMatMulV3"}
    # Of an encoder, of many queries, of fixed shapes, and in plain forms.
    assert operations(grown, grown) == {"BatchMatMulV2"}
    assert operations([None, 2, 100, 8], grown) == {"BatchMatMulV2"}
    assert operations([None, 2, 4, 8], [None, 2, 9, 8]) == {"BatchMatMulV2"}
    assert operations([None, 2, 4, 8], grown, is_plain=True) == {"BatchMatMulV2"}


@pytest.mark.skipif(BACKEND == "jax", reason="XLA compiles all of JAX")
def test_the_vocabulary_comes_first_for_xla_alone():
    def chosen():
        return kernels.form_of(plain.best_tokens, BEST)

    assert chosen() is vocabulary.best_tokens_of_pieces
    with kernels.with_packed_weights([], compiled_by_xla=True):
        assert chosen() is vocabulary.best_tokens_of_columns


def test_the_environment_has_two_choices(monkeypatch):
    from keras_transformer.kernels import scopes

    for choice, expected in (("plain", True), ("fast", False)):
        monkeypatch.setenv("KERAS_TRANSFORMER_KERNELS", choice)
        assert scopes._asks_for_plain() is expected
    monkeypatch.setenv("KERAS_TRANSFORMER_KERNELS", "quick")
    with pytest.raises(ValueError, match="KERAS_TRANSFORMER_KERNELS.*'quick'"):
        scopes._asks_for_plain()


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_dropout_keeps_as_many_and_scales_them_alike(rate):
    found = []
    for is_plain in (False, True):
        seeds = keras.random.SeedGenerator(1)
        with kernels.plain_only(is_plain):
            found.append(numbers(kernels.drop(ops.ones((64, 512)), rate, seeds)))
    sigma = np.sqrt(rate * (1 - rate) / found[0].size)
    for dropped in found:
        assert abs((dropped == 0).mean() - rate) < 5 * sigma
    np.testing.assert_allclose(*(np.unique(each) for each in found), rtol=1e-4)


@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.5, 1e-6])
def test_tokens_are_drawn_as_often(top_p):
    probabilities = np.array([0.05, 0.4, 0.2, 0.05, 0.3] + 200 * [0.0], "float32")
    rows = ops.convert_to_tensor(np.tile(probabilities, (4000, 1)))
    drawn = np.random.default_rng(0).uniform(size=(9, 4000, 1)).astype("float32")

    def random_numbers(count, attempt):
        return ops.take(ops.convert_to_tensor(drawn), attempt, axis=0)

    counts = []
    for is_plain in (False, True):
        with kernels.plain_only(is_plain):
            tokens = numbers(kernels.draw(rows, top_p, random_numbers))[:, 0]
        counts.append(np.bincount(tokens.astype(int), minlength=205) / 4000)
    inside = {1.0: {0, 1, 2, 3, 4}, 0.9: {1, 2, 4}, 0.5: {1, 4}, 1e-6: {1}}[top_p]
    for each in counts:
        assert set(np.flatnonzero(each)) == inside
    # Five standard deviations of a difference.
    np.testing.assert_allclose(*counts, atol=5 * np.sqrt(0.5 / 4000))


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"weight_decay": 0.1}])
def test_steps_of_adam_are_kerass(options):
    slopes = [np.random.default_rng(i).normal(size=(3, 4)) for i in range(4)]
    found = []
    for is_plain in (False, True):
        weight = keras.Variable(np.ones((3, 4), "float32"))
        optimizer = Adam(0.1, **options)
        with kernels.plain_only(is_plain):
            for slope in slopes:
                slope = ops.convert_to_tensor(slope.astype("float32"))
                optimizer.apply([slope], [weight])
        found.append(numbers(weight.value))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
    assert np.all(found[0] != 1)


def test_the_hash_is_murmurhash3_s_finalizer():
    values = np.array([0, 1, 0xDEADBEEF, 0x7FFFFFFF, 0xFFFFFFFF], "uint32")
    with np.errstate(over="ignore"):
        expected = values.copy()
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            expected = (expected ^ (expected >> np.uint32(shift))) * np.uint32(factor)
    found = ops.convert_to_numpy(mixed(ops.convert_to_tensor(values.view("int32"))))
    np.testing.assert_array_equal(found.view("uint32"), expected)


def test_what_is_no_token_comes_after_what_is_forbidden():
    logits = np.full((2, 1, 900), NO_LOGIT, "float32")
    logits[..., 5], logits[..., 800] = IMPOSSIBLE, 1.0
    for is_plain in (False, True):
        with kernels.plain_only(is_plain):
            _, _, tokens = kernels.best_tokens(ops.convert_to_tensor(logits), 2)
        assert numbers(tokens).tolist() == [[800, 5]] * 2


def test_one_score_alone_has_the_weight_1_and_no_gradient():
    score = ops.convert_to_tensor(np.array([[3.0]], "float32"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        np.testing.assert_array_equal(plain.softmax(score, "float32"), [[1.0]])
        gradient = gradient_of(lambda x: ops.sum(plain.softmax(x, "float32")))(score)
    gradient = ops.convert_to_numpy(gradient)
    np.testing.assert_array_equal(gradient, [[0.0]])
    assert np.isnan(ops.convert_to_numpy(plain.softmax(score * np.nan, "float32")))
