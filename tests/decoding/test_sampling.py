import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_transformer.decoding import generate
from keras_transformer.decoding.sampling import uniform
from keras_transformer.kernels import draw
from tests.decoding import reference
from tests.decoding.test_beam_search import SOURCES, answers, search, tiny


def test_the_one_most_probable_token_is_greedy_search():
    model = tiny()
    expected = search(model, SOURCES, beam_size=1, max_length=8)
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}):
        found = search(model, SOURCES, sample=True, max_length=8, **options)
        assert [s[0][0] for s in found] == [s[0][0] for s in expected]


def test_tokens_come_as_often_as_they_are_probable():
    model, source = tiny(), SOURCES[1][SOURCES[1] > 0]
    count = 4000
    found = generate(
        model, source[None], sample=True, num_hypotheses=count, max_length=1, seed=5
    )
    drawn = np.bincount(np.asarray(found["ids"])[0, :, 0], minlength=12) / count
    row = np.exp(reference.next_log_probs(model, source, [()])[0])
    row[[0, reference.START]] = 0
    expected = row / row.sum()
    deviation = np.sqrt(expected * (1 - expected) / count)
    # Of what is hardly ever drawn, one or two draws are no surprise.
    assert (np.abs(drawn - expected) <= 4 * deviation + 2 / count).all()


@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.6}])
def test_only_the_most_probable_tokens_are_drawn(options):
    model, source = tiny(), SOURCES[1][SOURCES[1] > 0]
    found = generate(
        model, source[None], sample=True, num_hypotheses=500, max_length=1, **options
    )
    row = np.exp(reference.next_log_probs(model, source, [()])[0])
    row[[0, reference.START]] = 0
    order = np.argsort(-row)
    total = np.cumsum(row[order]) / row.sum()
    size = options.get("top_k") or int((total < 0.6).sum()) + 1
    drawn = set(np.asarray(found["ids"]).ravel().tolist())
    assert drawn == set(order[:size].tolist())


def drawn(probabilities, top_p, count=20_000):
    """How often each token is drawn, of all draws."""
    rows = np.tile(np.asarray(probabilities, "float32"), (count, 1))

    def numbers(rows, attempt):
        return uniform(7, attempt, count)[:, None]

    tokens = np.asarray(draw(ops.convert_to_tensor(rows), top_p, numbers))[:, 0]
    return np.bincount(tokens, minlength=len(probabilities)) / count


@pytest.mark.parametrize("size", [5, 64, 150])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.4, 1e-6])
def test_the_nucleus_is_drawn_from_as_if_sorted(size, top_p):
    probabilities = np.random.default_rng(size).dirichlet(np.full(size, 0.3))
    order = np.argsort(-probabilities)
    before = np.cumsum(probabilities[order]) - probabilities[order]
    nucleus = order[before < top_p]
    expected = np.zeros(size)
    expected[nucleus] = probabilities[nucleus] / probabilities[nucleus].sum()
    found = drawn(probabilities, top_p)
    deviation = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(found - expected) <= 4 * deviation + 2 / 20_000).all()
    assert set(np.flatnonzero(found)) <= set(nucleus)


def test_tokens_as_probable_as_the_last_of_the_nucleus_are_in_it():
    found = drawn([0.1, 0.0, 0.3, 0.3, 0.3], top_p=0.5)
    assert found[[0, 1]].tolist() == [0, 0]
    np.testing.assert_allclose(found[2:], 1 / 3, atol=0.02)


def test_drawing_ends_where_probabilities_are_not_numbers():
    assert drawn([np.nan] * 150, top_p=0.5, count=10).sum() == 1


def test_a_seed_gives_the_same_answers_in_any_batch():
    model = tiny()
    options = {"sample": True, "num_hypotheses": 3, "max_length": 8}
    together = search(model, SOURCES, seed=7, **options)
    alone = search(model, SOURCES[4:5], seed=7, **options)
    assert [tokens for tokens, _ in together[4]] == [tokens for tokens, _ in alone[0]]
    other = search(model, SOURCES, seed=8, **options)
    assert [s[0][0] for s in other] != [s[0][0] for s in together]


def test_scores_are_the_model_s_own_and_best_first():
    model, source = tiny(), SOURCES[1][SOURCES[1] > 0]
    options = {"sample": True, "num_hypotheses": 4, "temperature": 2.0}
    found = search(model, source[None], max_length=5, **options)[0]
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    for tokens, score in found:
        total = sum(
            reference.next_log_probs(model, source, [tokens[:i]])[0, token]
            for i, token in enumerate(tokens)
        )
        expected = total / ((5 + len(tokens)) / 6) ** 0.6
        assert score == pytest.approx(expected, abs=1e-4)


def test_uniform_numbers_are_uniform_and_independent():
    draws = np.stack([np.asarray(uniform(3, i, 500)) for i in range(200)])
    assert draws.min() >= 0 and draws.max() < 1
    histogram, _ = np.histogram(draws, bins=20, range=(0, 1))
    assert np.abs(histogram - 5000).max() < 5 * np.sqrt(5000)
    centred = draws - 0.5
    for other in (centred[1:] * centred[:-1], centred[:, 1:] * centred[:, :-1]):
        assert abs(other.mean()) * 12 < 5 / np.sqrt(other.size)


@pytest.mark.slow
def test_each_sentence_may_have_options_of_its_own():
    model, count = tiny(), len(SOURCES)
    options = {
        "temperature": np.resize([0.5, 1.0, 3.0], count).astype("float32"),
        "top_p": np.resize([1.0, 0.9, 0.5, 0.7], count).astype("float32"),
        "seed": np.arange(count) - 4,
        "min_length": 1 + np.arange(count) % 4,
    }
    common = {"sample": True, "num_hypotheses": 2, "max_length": 8}
    common |= {"start_id": reference.START, "end_id": reference.END}

    def found(rows, **own):
        return np.asarray(model.generate(SOURCES[rows], **common, **own)["ids"])

    together = found(slice(None), **options)
    for row in range(count):
        rows = slice(row, row + 1)
        alone = found(rows, **{name: value[rows] for name, value in options.items()})
        number = {name: value[row].item() for name, value in options.items()}
        np.testing.assert_array_equal(together[rows], alone)
        np.testing.assert_array_equal(together[rows], found(rows, **number))
        assert np.all((together[row] > 0).sum(-1) >= options["min_length"][row])


def test_a_sentence_of_temperature_0_gets_the_most_probable_tokens():
    model = tiny()
    greedy = search(model, SOURCES, beam_size=1, max_length=8)
    temperature = tf.constant([0.0, 2.0] * 4 + [0.0])

    ids = tf.TensorSpec((None, None), tf.int32)

    @tf.function(input_signature=[ids, tf.TensorSpec((None,), tf.float32)])
    def draw_some(source_ids, temperature):
        return generate(
            model,
            source_ids,
            sample=True,
            temperature=temperature,
            seed=3,
            max_length=8,
            start_id=reference.START,
            end_id=reference.END,
        )

    found = answers(draw_some(SOURCES, temperature))
    same = [ours[0][0] == best[0][0] for ours, best in zip(found, greedy)]
    assert all(same[::2]) and not all(same)


def test_each_sentence_takes_as_many_answers_as_it_asks_for():
    model, counts = tiny(), np.arange(len(SOURCES), dtype="int32") % 3 + 1
    options = {"sample": True, "seed": 5, "max_length": 6, "beam_size": 3}
    options |= {"start_id": reference.START, "end_id": reference.END}
    found = model.generate(SOURCES, num_hypotheses=counts, **options)
    for row, count in enumerate(counts.tolist()):
        alone = model.generate(SOURCES[row : row + 1], num_hypotheses=count, **options)
        np.testing.assert_array_equal(found["ids"][row, :count], alone["ids"][0])
        np.testing.assert_array_equal(found["scores"][row, count:], -1e9)
