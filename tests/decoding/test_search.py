"""The search's loop, with a table of probabilities in place of a model."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_transformer.decoding import BeamSearch, Sampling, search
from keras_transformer.decoding.rules import begin_with_given
from keras_transformer.decoding.search import with_start, write_token
from keras_transformer.kernels.impossible import IMPOSSIBLE

START, END, SIZE, LONGEST = 2, 3, 7, 5
# Logits of the next token, by the token before it.
LOGITS = np.random.default_rng(5).normal(size=(SIZE, SIZE)).astype("float32") * 2
LOG_PROBS = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
NEVER = (0, START)
GREEDY = Sampling(temperature=0)
SELECTIONS = [GREEDY, BeamSearch(3, 2)]


def step(ids, index, state, sentences, mask):
    logits = ops.take(ops.convert_to_tensor(LOGITS), ids[:, 0], axis=0)
    return logits, {name: value + 1 for name, value in state.items()}


def sentences(max_lengths, given=None, alpha=0.0):
    found = {
        "max_lengths": ops.convert_to_tensor(max_lengths, "int32"),
        "length_penalty": ops.full((len(max_lengths), 1), alpha),
    }
    if given is not None:
        # Zeros in the last column: what follows is free.
        given = np.pad(np.array(given), ((0, 0), (0, 1)))
        found["given"] = ops.convert_to_tensor(given, "int32")
    return found


def run(selection, known, longest=LONGEST, step=step, **options):
    batch = known["max_lengths"].shape[0]
    options = {"stages": [longest], "grow": lambda state, _: state, **options}
    found = search(
        step,
        {"steps": ops.zeros((batch, 1))},
        known,
        selection,
        banned_ids=NEVER,
        start_id=START,
        end_id=END,
        **options,
    )
    return {name: ops.convert_to_numpy(value) for name, value in found.items()}


def score(tokens):
    return sum(LOG_PROBS[a, b] for a, b in itertools.pairwise((START, *tokens)))


def all_answers(longest):
    """Every answer of up to `longest` tokens; those as long need no end token."""
    free = [token for token in range(SIZE) if token not in (*NEVER, END)]
    for length in range(longest):
        for tokens in itertools.product(free, repeat=length):
            yield (*tokens, END)
    yield from itertools.product(free, repeat=longest)


def likeliest(token):
    return max(set(range(SIZE)) - set(NEVER), key=lambda t: LOGITS[token, t])


def greedy(longest, first=()):
    tokens = list(first)
    while len(tokens) < longest and (len(tokens) <= len(first) or tokens[-1] != END):
        tokens.append(likeliest(tokens[-1] if tokens else START))
    return tokens


def trimmed(row):
    return tuple(int(token) for token in row if token)


@pytest.mark.parametrize("longest", [1, 2, LONGEST])
def test_greedy_search_takes_the_likeliest_token_at_each_step(longest):
    found = run(GREEDY, sentences([longest]), longest)
    assert found["ids"].shape == (1, 1, longest)
    assert list(trimmed(found["ids"][0, 0])) == greedy(longest)
    assert found["scores"][0, 0] == pytest.approx(score(greedy(longest)), abs=1e-4)


@pytest.mark.parametrize("longest", [1, 2, 4])
def test_a_beam_as_wide_as_all_answers_finds_the_best_ones(longest):
    width = 4**longest
    expected = sorted(all_answers(longest), key=score, reverse=True)[:3]
    found = run(BeamSearch(width, min(3, width)), sentences([longest]), longest)
    for row, value, answer in zip(found["ids"][0], found["scores"][0], expected):
        assert trimmed(row) == answer
        assert value == pytest.approx(score(answer), abs=1e-4)


@pytest.mark.parametrize(
    "selection", [GREEDY, BeamSearch(3, 2)], ids=["greedy", "beam"]
)
def test_sentences_of_a_batch_are_searched_as_if_alone(selection):
    lengths = [3, 1, 5, 2]
    together = run(selection, sentences(lengths))
    for row, length in enumerate(lengths):
        alone = run(selection, sentences([length]))
        np.testing.assert_array_equal(together["ids"][row], alone["ids"][0])
        np.testing.assert_allclose(together["scores"][row], alone["scores"][0], 1e-5)
        assert all(len(trimmed(ids)) <= length for ids in alone["ids"][0])


@pytest.mark.parametrize(
    "selection", [GREEDY, BeamSearch(3, 2)], ids=["greedy", "beam"]
)
def test_sentences_that_leave_a_batch_of_a_graph_keep_their_answers(selection):
    lengths = [1, 5, 2, 5, 1]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32)])
    def answers(max_lengths):
        batch = tf.shape(max_lengths)[0]
        known = {"max_lengths": max_lengths, "length_penalty": tf.zeros((batch, 1))}
        return search(
            step,
            {"steps": tf.zeros((batch, 1))},
            known,
            selection,
            banned_ids=NEVER,
            stages=[LONGEST],
            grow=None,
            start_id=START,
            end_id=END,
        )

    found, expected = answers(np.array(lengths)), run(selection, sentences(lengths))
    for name in ("ids", "scores"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


@pytest.mark.parametrize("start_index", [0, 1, 2])
@pytest.mark.parametrize("first", [(4, 5), (4, END)])
def test_what_is_given_begins_answers_whether_steps_take_it_or_not(start_index, first):
    taken = []

    def counted(ids, index, *rest):
        taken.append(int(index))
        return step(ids, index, *rest)

    found = run(
        GREEDY,
        sentences([LONGEST], given=[first]),
        step=counted,
        rules=[begin_with_given(free=True)],
        start_index=start_index,
    )
    # An end token within what is given ends nothing.
    expected = greedy(LONGEST, first)
    assert list(trimmed(found["ids"][0, 0])) == expected
    assert taken == list(range(start_index, len(expected)))
    assert found["scores"][0, 0] == pytest.approx(
        score(expected) - score(first), abs=1e-4
    )


def test_rules_go_one_after_the_other_and_see_the_tokens_so_far():
    seen = []

    def ban(token):
        def rule(logits, scored, index, ids, sentences):
            seen.append((token, int(index), trimmed(ops.convert_to_numpy(ids)[0, 0])))
            is_token = ops.arange(SIZE) == token
            return ops.where(is_token, IMPOSSIBLE, logits)

        return rule

    found = run(GREEDY, sentences([3]), 3, rules=[ban(END), ban(4)])
    answer = trimmed(found["ids"][0, 0])
    assert len(answer) == 3 and not {END, 4} & set(answer)
    assert seen == [
        (token, index, answer[:index]) for index in range(3) for token in (END, 4)
    ]
    # Scores are the model's own, whatever was forbidden.
    assert found["scores"][0, 0] == pytest.approx(score(answer), abs=1e-4)


@pytest.mark.parametrize(
    "selection", [GREEDY, BeamSearch(3, 2)], ids=["greedy", "beam"]
)
def test_caches_grow_between_lengths_and_answers_stay(selection):
    grown = []

    def never_ends(logits, scored, index, ids, sentences):
        return ops.where(ops.arange(SIZE) == END, IMPOSSIBLE, logits)

    def grow(state, length):
        grown.append((length, float(state["steps"][0, 0])))
        return state

    options = {"rules": [never_ends]}
    known = sentences([LONGEST, 4])
    found = run(selection, known, stages=[1, 3, LONGEST], grow=grow, **options)
    expected = run(selection, known, **options)
    for name in ("ids", "scores"):
        np.testing.assert_array_equal(found[name], expected[name])
    # The state is what as many steps left as the caches were long.
    assert grown == [(3, 1.0), (LONGEST, 3.0)]


def test_hypotheses_are_told_which_earlier_steps_are_their_own():
    masks = []

    def masked(ids, index, state, sentences, mask):
        masks.append(None if mask is None else ops.convert_to_numpy(mask))
        return step(ids, index, state, sentences, mask)

    run(GREEDY, sentences([3]), 3, step=masked)
    assert masks == [None] * len(masks)
    masks.clear()
    width = 2
    run(BeamSearch(width), sentences([3]), 3, step=masked)
    for index, mask in enumerate(masks):
        assert mask.shape == (1, width, 3 * width)
        by_position = mask[0].reshape(width, 3, width)[:, : index + 1]
        # One step at each position, the newest its own.
        assert (by_position.sum(-1) == 1).all()
        np.testing.assert_array_equal(by_position[:, index], np.eye(width))


def test_tokens_are_written_at_one_position():
    ids = ops.zeros((1, 2, 3), "int32")
    found = write_token(ids, 1, ops.convert_to_tensor([[7, 8]], "int32"))
    np.testing.assert_array_equal(found, [[[0, 7, 0], [0, 8, 0]]])


def test_the_start_token_comes_first_even_before_nothing():
    ids = ops.convert_to_tensor([[5, 6], [7, 0]], "int32")
    np.testing.assert_array_equal(with_start(ids, START), [[2, 5, 6], [2, 7, 0]])
    np.testing.assert_array_equal(with_start(ids[:, :0], START), [[2], [2]])
