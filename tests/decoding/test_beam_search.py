"""Search inside the graph against plain NumPy, and against all answers there are."""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_transformer as kt
from keras_transformer.decoding import generate
from tests.decoding import reference
from tests.decoding.reference import END, START

# Ragged sources; 0 is padding.
SOURCES = np.zeros((9, 7), "int32")
for _i, _row in enumerate(SOURCES):
    _length = 1 + (5 * _i) % 7
    _row[:_length] = np.random.default_rng(_i).integers(4, 12, _length)


@functools.cache
def tiny(vocabulary_size=12, num_layers=2, **options):
    keras.utils.set_random_seed(3)
    model = kt.Transformer(
        vocabulary_size,
        num_layers=num_layers,
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=16,
        **options,
    )
    # Larger weights: surer about the next token. Not those of normalizations, which
    # would make a model of this width magnify rounding to more than 1e-4.
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(np.asarray(weight) * 2.0)
    return model


def unpadded(row):
    return row[row > 0]


def search(model, sources, compiled=True, **options):
    """Answers of each source: lists of (tokens, score)."""

    def run(source_ids):
        return generate(model, source_ids, start_id=START, end_id=END, **options)

    if compiled:
        run = tf.function(run, input_signature=[tf.TensorSpec((None, None), tf.int32)])
    found = run(np.asarray(sources, "int32"))
    return answers(found)


def answers(found):
    ids, scores = np.asarray(found["ids"]), np.asarray(found["scores"])
    return [
        [(tuple(unpadded(tokens).tolist()), s) for tokens, s in zip(*sentence)]
        for sentence in zip(ids, scores)
    ]


def assert_same(found, expected):
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in expected]
    np.testing.assert_allclose(
        [score for _, score in found], [score for _, score in expected], atol=1e-4
    )


@pytest.mark.parametrize("stop_when", ["certain", "likely", "full"])
@pytest.mark.parametrize("form", ["gnmt", "power"])
@pytest.mark.long
def test_penalties_and_rules_to_stop_equal_plain_numpy(form, stop_when):
    model = tiny()
    found = search(
        model,
        SOURCES,
        beam_size=3,
        num_hypotheses=2,
        length_penalty=1.0,
        penalty_form=form,
        stop_when=stop_when,
        max_length=8,
    )
    for source, answer in zip(map(unpadded, SOURCES), found):
        expected = reference.beam_search(
            model,
            source,
            beam_size=3,
            num_hypotheses=2,
            alpha=1.0,
            form=form,
            stop_when=stop_when,
            max_length=8,
        )
        assert_same(answer, expected)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_forced_end_costs_nothing(beam_size):
    model = tiny()
    options = {"beam_size": beam_size, "length_penalty": 0.0}
    for forced, plain in zip(
        search(model, SOURCES, max_length=4, force_end=True, **options),
        search(model, SOURCES, max_length=3, **options),
    ):
        (tokens, score), (before, cut_off) = forced[0], plain[0]
        assert tokens[-1] == END
        if beam_size == 1 and before[-1] != END:
            assert tokens == (*before, END)
            assert score == pytest.approx(cut_off, abs=1e-4)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_banned_end_can_be_forced_all_the_same(beam_size):
    options = {"banned_ids": (END,), "force_end": True, "max_length": 5}
    for ((tokens, score),) in search(tiny(), SOURCES, beam_size=beam_size, **options):
        assert len(tokens) == 5 and tokens.index(END) == 4
        assert score > -100


@pytest.mark.parametrize("name", ["penalty_form", "stop_when"])
def test_unknown_names_are_errors(name):
    with pytest.raises(ValueError, match=f"{name} must be one of .*'else'"):
        generate(tiny(), SOURCES, **{name: "else"})


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("beam_size", [1, 2, 4, 8])
@pytest.mark.long
def test_equals_plain_numpy_in_batches_of_any_size(beam_size, alpha):
    model, n = tiny(), min(beam_size, 3)
    expected = []
    for source in map(unpadded, SOURCES):
        if beam_size == 1:
            expected.append(reference.greedy(model, source, alpha=alpha, max_length=8))
        else:
            expected.append(
                reference.beam_search(
                    model,
                    source,
                    beam_size=beam_size,
                    num_hypotheses=n,
                    alpha=alpha,
                    max_length=8,
                )
            )
    run = tf.function(
        lambda source_ids: generate(
            model,
            source_ids,
            beam_size=beam_size,
            num_hypotheses=n,
            length_penalty=alpha,
            max_length=8,
        ),
        input_signature=[tf.TensorSpec((None, None), tf.int32)],
    )
    for size in range(1, 10):
        for start in range(0, 9, size):
            rows = slice(start, start + size)
            for found, right in zip(answers(run(SOURCES[rows])), expected[rows]):
                assert_same(found, right)


def takes_turns(ids, index, source_ids):
    """Odd tokens follow even ones and even ones odd ones; the first is odd."""
    length = ops.shape(ids)[-1]
    latest = ops.take(ids, ops.clip(index - 1, 0, length - 1)[None], axis=2)
    latest = ops.where(index == 0, 0, latest)
    return (latest + ops.arange(12, dtype="int32")) % 2 == 1


@pytest.mark.parametrize(
    "options, rules",
    [
        ({"min_length": 5}, {"min_length": 5}),
        ({"banned_ids": (5, 7)}, {"banned": (5, 7)}),
        ({"no_repeat_ngram_size": 1}, {"ngram": 1}),
        ({"no_repeat_ngram_size": 2}, {"ngram": 2}),
        ({"target_prefix": [[6, 9, 4]]}, {"prefix": (6, 9, 4)}),
        ({"target_prefix": [[6, 3, 4, 3]]}, {"prefix": (6, 3, 4, 3)}),
        (
            {"allowed_tokens": takes_turns},
            {"allowed": lambda tokens, new: ((0, *tokens)[-1] + new) % 2 == 1},
        ),
        # What is forced comes, whatever else is asked for.
        (
            {"target_prefix": [[6, 6, 5]], "no_repeat_ngram_size": 1},
            {"prefix": (6, 6, 5), "ngram": 1},
        ),
        (
            {"target_prefix": [[5, 2]], "banned_ids": (5,)},
            {"prefix": (5, 2), "banned": (5,)},
        ),
        (
            {"target_prefix": [[6, 0]], "min_length": 3, "no_repeat_ngram_size": 2},
            {"prefix": (6,), "min_length": 3, "ngram": 2},
        ),
    ],
)
@pytest.mark.parametrize("beam_size", [1, 4])
def test_rules_equal_plain_numpy(options, rules, beam_size):
    model, sources = tiny(), SOURCES[:4]
    if "target_prefix" in options:
        prefix = np.repeat(options["target_prefix"], len(sources), axis=0)
        options = {**options, "target_prefix": prefix}
    options = {**options, "beam_size": beam_size, "max_length": 7}
    found = search(model, sources, False, **options)
    for source, answer in zip(map(unpadded, sources), found, strict=True):
        if beam_size == 1:
            expected = reference.greedy(model, source, max_length=7, **rules)
        else:
            expected = reference.beam_search(
                model, source, beam_size=beam_size, max_length=7, **rules
            )
        assert_same(answer, expected)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_what_is_allowed_may_depend_on_the_source(beam_size):
    def copies(ids, index, source_ids):
        # The source's tokens in their order, then the end.
        length = ops.shape(source_ids)[1]
        padded = ops.pad(source_ids, [[0, 0], [0, 1]])
        token = ops.take(padded, ops.minimum(index, length), axis=1)
        token = ops.where(token == 0, END, token)[:, None, None]
        return ops.arange(12, dtype="int32") == token

    found = search(tiny(), SOURCES, beam_size=beam_size, allowed_tokens=copies)
    for sentence, source in zip(found, SOURCES):
        assert sentence[0][0] == (*unpadded(source), END)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_wide_beam_finds_the_best_of_all_answers(alpha):
    model, source, length = tiny(6), np.array([4, 5, 4, 3]), 3
    ending = [
        (*tokens, END)
        for n in range(length)
        for tokens in itertools.product((1, 4, 5), repeat=n)
    ]
    scored = []
    for tokens in ending + list(itertools.product((1, 4, 5), repeat=length)):
        score = sum(
            reference.next_log_probs(model, source, [tokens[:i]])[0, token]
            for i, token in enumerate(tokens)
        )
        scored.append((tokens, score / ((5 + len(tokens)) / 6) ** alpha))
    scored.sort(key=lambda answer: -answer[1])
    found = search(
        model,
        source[None],
        beam_size=40,
        num_hypotheses=5,
        length_penalty=alpha,
        max_length=length,
    )
    assert_same(found[0], scored[:5])


def test_the_default_maximum_is_each_source_s_length_plus_50():
    found = search(tiny(), SOURCES, beam_size=1, banned_ids=(END,))
    lengths = [len(sentence[0][0]) for sentence in found]
    assert lengths == [len(unpadded(source)) + 50 for source in SOURCES]


def test_maximum_lengths_may_differ_in_a_batch():
    model, lengths = tiny(), np.array([2, 5, 3])
    options = {"beam_size": 3, "banned_ids": (END,)}
    found = search(model, SOURCES[:3], max_length=lengths, longest=6, **options)
    for i, length in enumerate(lengths):
        alone = search(model, SOURCES[i : i + 1], max_length=int(length), **options)
        assert_same(found[i], alone[0])


@pytest.mark.parametrize("beam_size", [1, 3])
def test_sentences_that_are_done_leave_the_batch(beam_size):
    model, lengths = tiny(), np.array([2, 1, 7, 4, 5, 2, 3, 2, 2], "int32")
    batches = []

    def remember(ids, index, source_ids):
        batch = tf.numpy_function(
            lambda rows: batches.append(rows) or np.int32(len(rows)),
            [source_ids],
            tf.int32,
        )
        return tf.fill([batch, beam_size, 12], True)

    def run(source_ids, max_length, allowed_tokens=None):
        return generate(
            model,
            source_ids,
            max_length=max_length,
            longest=7,
            allowed_tokens=allowed_tokens,
            beam_size=beam_size,
            banned_ids=(END,),
        )

    signature = [tf.TensorSpec(shape, tf.int32) for shape in ((None, None), (None,))]
    leaving = tf.function(
        lambda *inputs: run(*inputs, remember), input_signature=signature
    )
    found = answers(leaving(SOURCES, lengths))
    sizes = [len(rows) for rows in batches]
    assert sizes[0] == 9 and sorted(sizes, reverse=True) == sizes
    # In the last two steps only the longest is left, and its own source is looked at.
    for rows in batches[-2:]:
        np.testing.assert_array_equal(rows, SOURCES[2:3])
    # In a batch of fixed size all stay.
    for sentence, right in zip(found, answers(run(SOURCES, lengths))):
        assert_same(sentence, right)


POSITIONS = ["sinusoidal", "learned", "rotary", "relative", "t5", "alibi", None]


@pytest.mark.parametrize("position_encoding", POSITIONS)
@pytest.mark.long
def test_every_position_encoding_is_searched_step_by_step(position_encoding):
    model = tiny(position_encoding=position_encoding)
    expected = [
        reference.beam_search(model, source, beam_size=3, max_length=6)
        for source in map(unpadded, SOURCES[:4])
    ]
    options = {"beam_size": 3, "max_length": 6}
    found = search(model, SOURCES[:4], **options)
    # Caches of two, three and six positions, one after the other.
    fixed = search(model, SOURCES[:4], compiled=False, fixed_shapes=True, **options)
    for answer, same, right in zip(found, fixed, expected, strict=True):
        assert_same(answer, right)
        assert_same(same, right)


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize(
    "lengths",
    [{"max_length": 8}, {"max_length": 11, "min_length": 9}, {"max_length": 1}],
)
@pytest.mark.long
def test_fixed_shapes_compiled_by_xla_give_the_same_answers(beam_size, lengths):
    model = tiny()
    options = {"beam_size": beam_size, **lengths}
    run = tf.function(
        lambda source_ids: generate(model, source_ids, fixed_shapes=True, **options),
        input_signature=[tf.TensorSpec(SOURCES.shape, tf.int32)],
        jit_compile=True,
    )
    for found, right in zip(answers(run(SOURCES)), search(model, SOURCES, **options)):
        assert_same(found, right)


def test_learned_positions_end_the_answers():
    position = kt.layers.LearnedPositionalEncoding(max_length=9)
    model = kt.Transformer(
        12,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=16,
        position_encoding=position,
    )
    found = search(model, SOURCES, beam_size=2, banned_ids=(END,))
    assert {len(sentence[0][0]) for sentence in found} == {9}
    short = generate(model, SOURCES, beam_size=2, max_length=4)
    assert short["ids"].shape == (9, 1, 4)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"beam_size": 0}, "beam_size=0"),
        ({"beam_size": 2, "num_hypotheses": 3}, "num_hypotheses=3"),
        ({"max_length": 0}, "max_length=0"),
        ({"banned_ids": (3, 12)}, r"between 0 and 11; received \[12\]"),
        ({"allowed_tokens": [4, 5]}, r"allowed_tokens=\[4, 5\]"),
        ({"max_length": 3, "min_length": 4}, "min_length=4"),
        ({"length_penalty": -1.0}, "length_penalty=-1.0"),
        ({"sample": True, "temperature": 0.0}, "temperature=0.0"),
        ({"sample": True, "top_p": 1.5}, "top_p=1.5"),
        ({"sample": True, "top_k": 0}, "top_k=0"),
    ],
)
def test_options_out_of_range_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        search(tiny(), SOURCES[:1], False, **options)
