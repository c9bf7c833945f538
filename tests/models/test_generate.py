"""A model's `generate`: what `kt.decoding.generate` gives, compiled once."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

import keras_transformer as kt

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
IDS = np.array([[5, 6, 7, 4], [9, 8, 0, 0], [8, 8, 7, 0]])


@pytest.fixture(params=["Transformer", "LanguageModel"])
def model(request):
    keras.utils.set_random_seed(1)
    return getattr(kt, request.param)(30, **SIZES)


def assert_same(found, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(found[name]), ops.convert_to_numpy(value), atol=1e-5
        )


def differ(found, other):
    scores = [ops.convert_to_numpy(answers["scores"]) for answers in (found, other)]
    return abs(scores[0] - scores[1]).max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 3, "num_hypotheses": 2, "length_penalty": 1.0},
        {"beam_size": np.int64(2), "banned_ids": np.array([4, 5])},
        {"sample": True, "top_p": 0.9, "num_hypotheses": 3, "seed": 7},
        {"beam_size": 2, "length_penalty": np.array([0.0, 0.5, 1.0])},
    ],
)
def test_gives_what_the_search_gives(model, options):
    options = {**options, "max_length": 6}
    found = model.generate(IDS, **options)
    assert_same(found, kt.decoding.generate(model, IDS, **options))


def test_each_sentence_may_have_a_maximum_of_its_own(model):
    lengths = [2, 5, 4]
    found = model.generate(IDS[:, :2], max_length=lengths, banned_ids=[3])
    counts = (ops.convert_to_numpy(found["ids"])[:, 0] != 0).sum(axis=1)
    assert counts.tolist() == lengths


def test_ids_may_be_lists_of_any_lengths(model):
    lists = [row[row > 0].tolist() for row in IDS]
    assert_same(model.generate(lists, max_length=6), model.generate(IDS, max_length=6))
    if not model.decoder_only:
        found = model.generate(IDS, max_length=6, target_prefix=[[7, 8], [], [9]])
        padded = np.array([[7, 8], [0, 0], [9, 0]])
        assert_same(found, model.generate(IDS, max_length=6, target_prefix=padded))


def test_one_program_serves_all_calls_with_the_same_options(model):
    traces = []

    def allowed(ids, index, source_ids):
        traces.append(None)
        return ops.ones((*ops.shape(ids)[:2], 30), "bool")

    def answer(ids, **options):
        return model.generate(ids, allowed_tokens=allowed, max_length=6, **options)

    first = answer(IDS)
    count = len(traces)
    answer(IDS[:1, :2])
    answer(np.repeat(IDS, 2, axis=0), seed=3)
    assert len(traces) == count
    assert_same(answer(IDS), first)
    answer(IDS, min_length=3)
    assert len(traces) > count


def greedy(model):
    return {"beam_size": 1} if model.decoder_only else {}


def test_the_weights_are_those_of_now(model):
    before = model.generate(IDS, max_length=6)
    model.set_weights([1.5 * weight for weight in model.get_weights()])
    after = model.generate(IDS, max_length=6)
    assert differ(after, before)
    assert_same(after, kt.decoding.generate(model, IDS, max_length=6, **greedy(model)))


def test_a_model_that_has_generated_is_saved_and_copied(model, tmp_path):
    found = model.generate(IDS, max_length=6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for other in (loaded, copy.deepcopy(model)):
        assert_same(other.generate(IDS, max_length=6), found)
        assert len(other.variables) == len(model.variables)


def test_bad_input_is_named(model):
    with pytest.raises(ValueError, match=r"source_ids must have the shape \(B, S\)"):
        model.generate(np.array([1, 2]), max_length=6)
    with pytest.raises(ValueError, match="beam_size=0"):
        model.generate(IDS, beam_size=0, max_length=6)
    with pytest.raises(TypeError, match="beam_siz"):
        model.generate(IDS, beam_siz=2, max_length=6)


def test_a_prompt_s_tokens_may_be_banned_ones():
    model = kt.LanguageModel(30, **SIZES)
    found = model.generate([[4, 5, 4]], banned_ids=[4], max_length=7, beam_size=2)
    ids = ops.convert_to_numpy(found["ids"])[0, 0]
    assert ids[:3].tolist() == [4, 5, 4] and 4 not in ids[3:]
    assert ids[3] != 0
