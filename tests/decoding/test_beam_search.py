"""Beam search against an exhaustive search, on a model small enough for both."""

import itertools

import numpy as np
import pytest

from keras_transformer.decoding import generate

START, END = 2, 3


def log_probs(model, source, target):
    """Log-probability of each next token, the start and padding ids left out."""
    inputs = {"source_ids": source[None], "target_ids": np.array([target])}
    logits = np.asarray(model(inputs, training=False))[0].astype("float64")
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def total(model, source, tokens):
    scores = log_probs(model, source, [START, *tokens[:-1]])
    return sum(row[token] for row, token in zip(scores, tokens))


def search(model, source, **options):
    options = {"start_id": START, "end_id": END, **options}
    found = generate(model, source[None], **options)
    ids = [tuple(x for x in row if x) for row in np.asarray(found["ids"])[0]]
    return ids, np.asarray(found["scores"])[0]


@pytest.fixture(scope="module")
def tiny():
    import keras

    import keras_transformer as kt

    keras.utils.set_random_seed(3)
    model = kt.Transformer(
        6, num_layers=1, hidden_dim=8, num_heads=2, intermediate_dim=16
    )
    for weight in model.weights:
        weight.assign(np.asarray(weight) * 3.0)
    return model


SOURCE = np.array([4, 5, 4, 3])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_wide_beam_finds_the_best_of_all_answers(tiny, alpha):
    length = 3
    answers = []
    for n in range(1, length + 1):
        for tokens in itertools.product((1, 4, 5), repeat=n - 1):
            answers.append((*tokens, END))
    answers += list(itertools.product((1, 4, 5), repeat=length))
    scores = {a: total(tiny, SOURCE, a) for a in answers}
    best = sorted(
        ((s / ((5 + len(a)) / 6) ** alpha, a) for a, s in scores.items()), reverse=True
    )
    ids, found = search(
        tiny,
        SOURCE,
        beam_size=40,
        num_hypotheses=5,
        length_penalty=alpha,
        max_length=length,
    )
    print(best[:5], ids, found)
    np.testing.assert_allclose(found, [s for s, _ in best[:5]], atol=1e-4)


def test_greedy_takes_the_best_token_at_each_step(tiny):
    tokens = []
    for _ in range(6):
        row = log_probs(tiny, SOURCE, [START, *tokens])[-1]
        row[[0, START]] = -np.inf
        tokens.append(int(row.argmax()))
        if tokens[-1] == END:
            break
    ids, _ = search(tiny, SOURCE, beam_size=1, max_length=6)
    assert [t for t in ids[0] if t != END] == [t for t in tokens if t != END]


def test_hypotheses_are_distinct_and_best_first(tiny):
    ids, scores = search(tiny, SOURCE, beam_size=4, num_hypotheses=4, max_length=5)
    assert len(set(ids)) == 4
    assert (np.diff(scores) <= 0).all()


def test_padding_and_other_sentences_change_nothing(tiny):
    alone, alone_scores = search(tiny, SOURCE, beam_size=3, max_length=5)
    batch = np.array([[4, 4, 4, 4, 5, 3], [*SOURCE, 0, 0]])
    found = generate(tiny, batch, start_id=START, end_id=END, beam_size=3, max_length=5)
    assert tuple(x for x in np.asarray(found["ids"])[1, 0] if x) == alone[0]
    assert np.asarray(found["scores"])[1, 0] == pytest.approx(alone_scores[0], abs=1e-5)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"beam_size": 0}, "beam_size"),
        ({"beam_size": 2, "num_hypotheses": 3}, "num_hypotheses"),
        ({"max_length": 0}, "max_length"),
    ],
)
def test_options_out_of_range_are_named(tiny, options, word):
    with pytest.raises(ValueError, match=word):
        search(tiny, SOURCE, **options)
