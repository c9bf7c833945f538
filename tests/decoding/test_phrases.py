"""Favoured and forced phrases, against an enumeration of all answers."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_transformer as kt

START, END, SIZE, LONGEST = 2, 3, 7, 4
CONTENT = [1, 4, 5, 6]
SOURCE = np.array([[4, 5, 6, 3]], "int32")
PHRASES = {
    "one token": [[4]],
    "two tokens": [[4, 5]],
    "two phrases": [[4, 5], [6]],
    "overlapping": [[4, 5], [5, 4]],
    "overlap is the only way": [[4, 5], [5, 4], [4, 4]],
    "one within another": [[4, 5, 6], [5]],
    "one begins another": [[4, 5], [4, 5, 6]],
    "begins again inside itself": [[4, 4, 5]],
    "as long as answers": [[4, 5, 6, 1]],
    "the same twice": [[6, 1], [6, 1]],
    "padding around": [[], [6, 5], []],
    "none": [[], []],
}
BEAM = len(CONTENT) ** LONGEST


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(5)
    sizes = {"num_layers": 1, "hidden_dim": 8, "num_heads": 2, "intermediate_dim": 16}
    model = kt.Transformer(SIZE, **sizes)
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(np.asarray(weight) * 2.5)
    return model


def padded(phrases, count=4, width=5):
    found = np.zeros((1, count, width), "int32")
    for number, phrase in enumerate(phrases):
        found[0, number, : len(phrase)] = phrase
    return found


@pytest.fixture(scope="module")
def every_answer(model):
    """Pairs of an answer and its log-probability."""
    answers = [
        (*tokens, END)
        for length in range(LONGEST)
        for tokens in itertools.product(CONTENT, repeat=length)
    ]
    answers += itertools.product(CONTENT, repeat=LONGEST)
    ids = np.zeros((len(answers), LONGEST), "int32")
    for row, answer in zip(ids, answers):
        row[: len(answer)] = answer
    inputs = np.concatenate([np.full((len(ids), 1), START), ids[:, :-1]], axis=1)
    sources = np.repeat(SOURCE, len(ids), axis=0)
    logits = model({"source_ids": sources, "target_ids": inputs})
    log_probs = np.asarray(ops.log_softmax(logits))
    of_tokens = np.take_along_axis(log_probs, ids[..., None], 2)[..., 0]
    return list(zip(answers, np.where(ids > 0, of_tokens, 0.0).sum(1)))


@pytest.fixture(scope="module")
def searched(model):
    """A function of phrases, bonus and force: the best answer and its score."""
    specs = [
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([None, None, None], tf.int32),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None], tf.bool),
    ]

    def compiled(beam_size, alpha):
        @tf.function(input_signature=specs, autograph=False)
        def run(source_ids, phrases, bonus, forced):
            found = kt.decoding.generate(
                model,
                source_ids,
                phrases=phrases,
                phrase_bonus=bonus,
                force_phrases=forced,
                beam_size=beam_size,
                length_penalty=alpha,
                max_length=LONGEST,
            )
            return found["ids"], found["scores"]

        return run

    programs = {}

    def search(phrases, bonus=0.0, forced=False, beam_size=BEAM, alpha=0.6):
        key = beam_size, alpha
        run = programs.setdefault(key, programs.get(key) or compiled(*key))
        rows = len(phrases)
        ids, scores = run(
            np.repeat(SOURCE, rows, axis=0),
            phrases,
            np.broadcast_to(np.float32(bonus), rows),
            np.broadcast_to(forced, rows),
        )
        return [
            (tuple(row[row > 0].tolist()), score)
            for row, score in zip(ids.numpy()[:, 0], scores.numpy()[:, 0])
        ]

    return search


def has(answer, phrase):
    count = len(phrase)
    starts = range(len(answer) - count + 1)
    return any(answer[i : i + count] == tuple(phrase) for i in starts)


def penalty(answer, alpha=0.6):
    return ((5 + len(answer)) / 6) ** alpha


def distinct(phrases):
    return {tuple(phrase) for phrase in phrases if phrase}


@pytest.mark.parametrize("name", PHRASES)
def test_forced_is_the_best_of_all_answers_that_have_the_phrases(
    name, searched, every_answer
):
    phrases = distinct(PHRASES[name])
    (found,) = searched(padded(PHRASES[name]), forced=True)
    fitting = [
        (answer, log_prob / penalty(answer))
        for answer, log_prob in every_answer
        if all(has(answer, phrase) for phrase in phrases)
    ]
    expected = max(fitting, key=lambda pair: pair[1])
    assert found[0] == expected[0]
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)


@pytest.mark.parametrize("bonus", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("name", PHRASES)
def test_a_bonus_is_that_of_whole_phrases_in_answers(
    name, bonus, searched, every_answer
):
    phrases = distinct(PHRASES[name])
    (found,) = searched(padded(PHRASES[name]), bonus)
    scored = [
        (
            answer,
            (log_prob + bonus * sum(len(p) for p in phrases if has(answer, p)))
            / penalty(answer),
        )
        for answer, log_prob in every_answer
    ]
    expected = max(scored, key=lambda pair: pair[1])
    assert found[0] == expected[0]
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)


def test_rows_answer_together_as_alone(searched):
    rows = np.concatenate([padded(phrases) for phrases in PHRASES.values()])
    forced = np.arange(len(rows)) % 2 == 0
    bonus = np.arange(len(rows)) / 4
    together = searched(rows, bonus, forced, 4)
    for row, expected in enumerate(together):
        alone = rows[row : row + 1], bonus[row : row + 1], forced[row : row + 1]
        # Without the padding of others.
        width = max(1, (alone[0] > 0).sum(2).max())
        for phrases in (alone[0], alone[0][:, :, :width]):
            ((answer, score),) = searched(phrases, *alone[1:], 4)
            assert answer == expected[0]
            np.testing.assert_allclose(score, expected[1], rtol=1e-5)


@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_narrow_beams_find_forced_phrases(model, beam_size):
    rows = np.concatenate([padded(phrases) for phrases in PHRASES.values()])
    sources = np.repeat(SOURCE, len(rows), axis=0)
    options = {"beam_size": beam_size, "max_length": LONGEST, "force_phrases": True}
    found = np.asarray(model.generate(sources, phrases=rows, **options)["ids"])
    for phrases, answer in zip(map(distinct, PHRASES.values()), found[:, 0].tolist()):
        if sum(map(len, phrases)) <= LONGEST:
            assert all(has(tuple(answer), phrase) for phrase in phrases)


@pytest.mark.parametrize("options", [{"beam_size": 1}, {"beam_size": 3}])
def test_without_phrases_answers_are_bit_equal(model, options):
    sources = np.repeat(SOURCE, 2, axis=0)
    none = {"phrases": np.zeros((2, 1, 3), "int32"), "max_length": 9}
    expected = model.generate(sources, max_length=9, **options)
    for more in ({}, {"force_phrases": True}):
        if options["beam_size"] == 1 and more:
            continue
        found = model.generate(sources, **none, **more, **options)
        for name in ("ids", "scores"):
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("options", [{"beam_size": 1}, {"sample": True, "seed": 4}])
@pytest.mark.parametrize("phrase", [[4, 5], [4, 5, 6, 1, 1, 1, 1, 1, 1, 1]])
def test_scores_of_single_hypotheses_take_back_what_breaks_off(model, options, phrase):
    options = {**options, "max_length": 8, "length_penalty": 0.0}
    found = model.generate(
        SOURCE, phrases=np.array([[phrase]]), phrase_bonus=1.5, **options
    )
    ids = np.asarray(found["ids"])[0, 0]
    inputs = np.concatenate([[START], ids[:-1]])[None]
    logits = model({"source_ids": SOURCE, "target_ids": inputs})
    log_probs = np.asarray(ops.log_softmax(logits))[0, np.arange(len(ids)), ids]
    expected = np.where(ids > 0, log_probs, 0).sum()
    if has(tuple(ids.tolist()), phrase):
        expected += 1.5 * len(phrase)
    np.testing.assert_allclose(found["scores"][0, 0], expected, atol=1e-4)


@pytest.mark.parametrize(
    "phrase", [[99], [-1, 4], [4, END], [START], [4, 0, 5], [5] * 9, [6]]
)
def test_a_phrase_that_no_answer_can_have_changes_nothing(model, phrase):
    options = {"max_length": 6, "banned_ids": (6,), "beam_size": 2}
    expected = model.generate(SOURCE, **options)
    for forced in (False, True):
        found = model.generate(
            SOURCE, phrases=np.array([[phrase]]), force_phrases=forced, **options
        )
        np.testing.assert_array_equal(found["ids"], expected["ids"])


@pytest.mark.parametrize("fixed_shapes", [False, True])
@pytest.mark.parametrize("prefix", [[4, 0, 0], [4, 5, 6], [1, 4, 5]])
def test_what_a_prefix_has_counts(model, prefix, fixed_shapes):
    options = {"length_penalty": 0.0, "max_length": 6, "beam_size": 300}
    options |= {"target_prefix": np.array([prefix]), "fixed_shapes": fixed_shapes}
    phrases = np.array([[[4, 5]]])
    plain = model.generate(SOURCE, num_hypotheses=300, **options)
    found = model.generate(SOURCE, phrases=phrases, phrase_bonus=2.0, **options)
    ranked = [
        (score + 4.0 * has(tuple(ids.tolist()), [4, 5]), tuple(ids.tolist()))
        for ids, score in zip(*(np.asarray(plain[n])[0] for n in ("ids", "scores")))
        if score > -1e8
    ]
    score, ids = max(ranked)
    assert tuple(np.asarray(found["ids"])[0, 0].tolist()) == ids
    np.testing.assert_allclose(found["scores"][0, 0], score, atol=1e-4)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"phrases": [[4, 5]]}, "phrases must be integer ids"),
        ({"phrases": "dog"}, "phrases must be integer ids"),
        ({"phrases": np.zeros((1, 1, 1))}, "phrases must be integer ids"),
        ({"phrase_bonus": -1}, "phrase_bonus must be"),
        ({"phrase_bonus": float("inf")}, "phrase_bonus must be"),
        ({"force_phrases": 2}, "force_phrases must be"),
        ({"force_phrases": True, "sample": True}, "force_phrases needs a beam"),
        ({"force_phrases": [True], "beam_size": 1}, "force_phrases with a value"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        kt.decoding.SearchOptions(**options)
