"""The options of a search: checked where they are made, the same wherever given."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import keras_transformer as kt
from keras_transformer.decoding import SearchOptions, generate

NAN, INF = float("nan"), float("inf")
IDS = np.array([[5, 6, 7, 4], [9, 8, 0, 0]])
WRONG = [
    *[("beam_size", value) for value in ("4", 2.5, 1e9, 10**9, True, None, 0, [4])],
    *[("num_hypotheses", value) for value in (0, "1", 5, 2.0, False)],
    *[("length_penalty", value) for value in ("x", INF, NAN, -0.1, None, True)],
    ("length_penalty", [0.5, NAN]),
    ("penalty_form", "wu"),
    ("stop_when", ["full"]),
    *[("min_length", value) for value in (0, 1.5, [0, 2], [[1, 2]])],
    *[("max_length", value) for value in (0, -5, "9", 1e3, 10**9, [3, 0], [[3]])],
    *[("extra_length", value) for value in (0, None, 10**9, True)],
    *[("force_end", value) for value in (1, "yes", None)],
    *[("target_prefix", value) for value in ("Ein", 5)],
    *[("banned_ids", value) for value in ("34", 3, [3.0], [True], None)],
    *[("no_repeat_ngram_size", value) for value in (0, "2", 1.5, True)],
    *[("allowed_tokens", value) for value in ([4, 5], "all")],
    *[("phrases", value) for value in (5, "dog", [[3, 4]])],
    *[("phrase_bonus", value) for value in (-1, NAN, "2", None, True)],
    *[("force_phrases", value) for value in (1, "yes", None)],
    *[("sample", value) for value in (1, "true", None)],
    *[("temperature", value) for value in (0, -1.0, NAN, INF, "hot", True, None)],
    *[("top_k", value) for value in (0, -1, 2.5, "3", True)],
    *[("top_p", value) for value in (0, 1.5, NAN, "0.9", None)],
    *[("seed", value) for value in (None, 1.5, "1", True, [0.5])],
    *[("start_id", value) for value in (0, None, [2], 2.0)],
    *[("end_id", value) for value in ([3, 4], -1, None, "3")],
    *[("longest", value) for value in (0, [3, 4], "9")],
    *[("fixed_shapes", value) for value in (1, "no")],
]


@pytest.mark.parametrize("name, value", WRONG)
def test_a_wrong_value_is_refused_by_name(name, value):
    with pytest.raises(ValueError) as refusal:
        SearchOptions(**{name: value})
    assert f"{name} must" in str(refusal.value)
    assert f"{name}={value!r}" in str(refusal.value)


def test_every_option_is_tried_with_wrong_values():
    names = {field.name for field in dataclasses.fields(SearchOptions)}
    assert {name for name, _ in WRONG} == names


@pytest.mark.parametrize("option", [{"temperature": 0}, {"top_k": 0}])
def test_what_others_use_for_greedy_search_says_how_it_is_asked_for(option):
    with pytest.raises(ValueError, match="beam_size=1 is greedy search"):
        SearchOptions(sample=True, **option)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"num_hypotheses": 3, "beam_size": 2}, "at most beam_size=2; .*hypotheses=3"),
        ({"min_length": 9, "max_length": 8}, "at most max_length=8; .*min_length=9"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        SearchOptions(**options)


def test_numbers_of_numpy_are_python_s():
    given = SearchOptions(
        beam_size=np.int64(3),
        num_hypotheses=np.array(2),
        length_penalty=np.float32(0.5),
        banned_ids=np.array([4, 5]),
        sample=np.bool_(False),
        top_k=np.uint8(7),
        seed=np.int32(-1),
    )
    plain = SearchOptions(
        beam_size=3,
        num_hypotheses=2,
        length_penalty=0.5,
        banned_ids=(4, 5),
        top_k=7,
        seed=-1,
    )
    assert given == plain
    assert hash(given) == hash(plain)


def test_any_integer_is_a_seed():
    assert SearchOptions(seed=2**40 + 5).seed == 5
    assert SearchOptions(seed=2**32 - 1).seed == -1


def test_a_set_of_options_does_not_change():
    options = SearchOptions(beam_size=8)
    other = options.changed(num_hypotheses=3)
    assert (other.beam_size, other.num_hypotheses) == (8, 3)
    assert options.num_hypotheses == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.beam_size = 2


def test_each_option_s_words_are_in_the_documentation():
    for field in dataclasses.fields(SearchOptions):
        assert f"        {field.name}: " in SearchOptions.__doc__
        assert field.metadata["help"].endswith(".")


MODELS = {"Transformer": {}, "LanguageModel": {}}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    keras.utils.set_random_seed(1)
    sizes = {"num_layers": 1, "hidden_dim": 8, "num_heads": 2, "intermediate_dim": 8}
    return getattr(kt, request.param)(20, **sizes)


def scores(found):
    return ops.convert_to_numpy(found["scores"])


def test_a_set_of_options_and_options_by_name_give_the_same_answers(model):
    options = SearchOptions(beam_size=3, num_hypotheses=2, max_length=6)
    by_name = {"beam_size": 3, "num_hypotheses": 2, "max_length": 6}
    expected = scores(model.generate(IDS, **by_name))
    assert expected.shape == (2, 2)
    np.testing.assert_allclose(scores(model.generate(IDS, options)), expected)
    found = scores(generate(model, IDS, options))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = scores(model.generate(IDS, options, num_hypotheses=1))
    np.testing.assert_allclose(found, expected[:, :1])


def test_a_set_of_options_holds_where_a_model_has_other_defaults(model):
    own = model.generate(IDS, max_length=6)
    beam_size = 1 if model.decoder_only else 4
    options = SearchOptions(beam_size=beam_size, max_length=6)
    np.testing.assert_allclose(scores(own), scores(model.generate(IDS, options)))


@pytest.mark.parametrize(
    "wrong, near", [("beam", "beam_size"), ("beam_siz", "beam_size"), ("topk", "top_k")]
)
def test_an_unknown_option_is_an_error_with_the_nearest_known_one(model, wrong, near):
    words = f"'{wrong}' .did you mean '{near}'"
    calls = [
        lambda: SearchOptions(**{wrong: 3}),
        lambda: SearchOptions().changed(**{wrong: 3}),
        lambda: generate(model, IDS, **{wrong: 3}),
        lambda: model.generate(IDS, **{wrong: 3}),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=words):
            call()


def test_options_are_a_set_of_options(model):
    with pytest.raises(TypeError, match="options must be a SearchOptions or None"):
        model.generate(IDS, {"beam_size": 3})


def test_ids_of_start_end_and_bans_must_be_in_the_vocabulary(model):
    for name, value in (("start_id", 20), ("end_id", 30), ("banned_ids", [20])):
        with pytest.raises(ValueError, match=f"{name} must be between 0 and 19"):
            model.generate(IDS, **{name: value})
