"""Forced prefixes go through the decoder at once; answers stay what steps give."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_transformer as kt

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
SOURCES = np.array([[4, 5, 6, 7, 3], [9, 8, 3, 0, 0], [5, 3, 0, 0, 0]])
PREFIXES = {
    "equal": [[6, 9, 4, 8], [7, 7, 5, 6], [9, 4, 5, 5]],
    "unequal": [[6, 9, 4, 8], [7, 7, 0, 0], [9, 4, 5, 0]],
    "none for one": [[6, 9, 4, 8], [0, 0, 0, 0], [9, 4, 5, 0]],
    "none": [[0, 0], [0, 0], [0, 0]],
    "no columns": [[], [], []],
    "ends within": [[6, 3, 4, 3], [3, 3, 3, 0], [9, 4, 5, 3]],
    "start and banned": [[2, 5, 6, 0], [5, 2, 2, 2], [5, 5, 5, 5]],
    "longer than answers": [[6] * 12, [7] * 12, [8] * 12],
    "unknown": [[6, 99, 4, 8], [7, 5, 4, 4], [9, -1, 5, 6]],
}
SEARCHES = {
    "greedy": {"beam_size": 1, "banned_ids": (5,)},
    "n-best": {"beam_size": 4, "num_hypotheses": 4, "length_penalty": 1.0},
    "samples": {"sample": True, "num_hypotheses": 3, "seed": 5},
    "rules": {"beam_size": 3, "min_length": 6, "no_repeat_ngram_size": 2},
    "own lengths": {"beam_size": 2, "max_length": np.array([9, 3, 6])},
    "forced end": {"beam_size": 2, "force_end": True, "max_length": 5},
}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return kt.Transformer(12, **SIZES, position_encoding="rotary")


def numpy(found):
    return {name: ops.convert_to_numpy(value) for name, value in found.items()}


@pytest.fixture
def by_steps(monkeypatch):
    """A function that turns prefill off."""
    module = sys.modules["keras_transformer.decoding.prefill"]
    return lambda: monkeypatch.setattr(module, "shared_length", lambda *_: 0)


def program(model, fixed_shapes, options):
    """A function of prefixes `(3, P)`, compiled once."""
    options = {"max_length": 8, "longest": 9, "fixed_shapes": fixed_shapes, **options}
    size = 3 if fixed_shapes or np.ndim(options["max_length"]) else None
    lengths = (5, 12) if fixed_shapes else (None, None)
    specs = [tf.TensorSpec([size, length], tf.int32) for length in lengths]

    @tf.function(input_signature=specs, autograph=False)
    def run(source_ids, prefix):
        found = kt.decoding.generate(model, source_ids, target_prefix=prefix, **options)
        return found["ids"], found["scores"]

    def answer(prefix):
        prefix = np.reshape(np.array(prefix, "int32"), (3, -1))
        if fixed_shapes:
            prefix = np.pad(prefix, ((0, 0), (0, 12 - prefix.shape[1])))
        return [value.numpy() for value in run(SOURCES, prefix)]

    return answer


@pytest.mark.parametrize("fixed_shapes", [False, True])
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.long
def test_a_prefix_at_once_is_what_it_is_step_by_step(
    model, by_steps, search, fixed_shapes
):
    at_once = program(model, fixed_shapes, SEARCHES[search])
    found = {name: at_once(prefix) for name, prefix in PREFIXES.items()}
    by_steps()
    steps = program(model, fixed_shapes, SEARCHES[search])
    for name, prefix in PREFIXES.items():
        ids, scores = steps(prefix)
        np.testing.assert_array_equal(found[name][0], ids, name)
        np.testing.assert_allclose(found[name][1], scores, atol=1e-4, err_msg=name)


def test_rows_of_a_joined_batch_answer_as_alone(model):
    options = {"beam_size": 3, "max_length": 8, "num_hypotheses": 2}
    prefix = np.array(PREFIXES["unequal"], "int32")
    together = numpy(model.generate(SOURCES, target_prefix=prefix, **options))
    for row in range(3):
        alone = SOURCES[row : row + 1], prefix[row : row + 1]
        found = numpy(model.generate(alone[0], target_prefix=alone[1], **options))
        np.testing.assert_array_equal(found["ids"][0], together["ids"][row])
        np.testing.assert_allclose(found["scores"][0], together["scores"][row], 1e-5)


@pytest.mark.parametrize("rows", [1, 3, 40, 100])
def test_scores_of_long_prefixes_of_many_rows(model, by_steps, rows):
    """Logits of prefixes are computed in parts, whose number depends on the rows."""
    prefix = np.random.default_rng(1).integers(4, 12, (rows, 75)).astype("int32")
    sources = np.repeat(SOURCES[:1], rows, axis=0)
    options = {"beam_size": 2, "max_length": 78}
    found = numpy(model.generate(sources, target_prefix=prefix, **options))
    targets = np.concatenate([np.full((rows, 1), 2), found["ids"][:, 0]], axis=1)
    logits = model({"source_ids": sources, "target_ids": targets[:, :-1]})
    log_probs = ops.convert_to_numpy(ops.log_softmax(logits))
    of_tokens = np.take_along_axis(log_probs, targets[:, 1:, None], 2)[..., 0]
    sums = np.where(targets[:, 1:] > 0, of_tokens, 0.0).sum(1)
    lengths = (targets[:, 1:] > 0).sum(1)
    expected = sums / ((5 + lengths) / 6) ** 0.6
    np.testing.assert_array_equal(found["ids"][:, 0, :75], prefix)
    np.testing.assert_allclose(found["scores"][:, 0], expected, rtol=1e-4)


def test_what_all_prefixes_have_takes_no_steps(model, monkeypatch):
    steps, decode_step = [], kt.Transformer.decode_step

    def counted(self, ids, index, *rest, **options):
        steps.append(int(index))
        return decode_step(self, ids, index, *rest, **options)

    monkeypatch.setattr(kt.Transformer, "decode_step", counted)
    prefix = np.array([[6, 9, 4, 8, 7], [7, 7, 5, 6, 0], [9, 4, 5, 5, 6]])
    options = {"beam_size": 1, "min_length": 7, "max_length": 7}
    kt.decoding.generate(model, SOURCES, target_prefix=prefix, **options)
    assert steps == [4, 5, 6]


def test_a_search_without_a_prefix_has_no_prefill(model, monkeypatch):
    def refuse(*_):
        raise AssertionError("prefill without a prefix")

    module = sys.modules["keras_transformer.decoding.prefill"]
    monkeypatch.setattr(module, "shared_length", refuse)
    monkeypatch.setattr(kt.Transformer, "fill_caches", refuse)
    kt.decoding.generate(model, SOURCES, max_length=3)
