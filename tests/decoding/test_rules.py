"""What may not come next, and where nothing may."""

import numpy as np
import pytest
from keras import ops

from keras_transformer.decoding import rules
from keras_transformer.kernels.impossible import IMPOSSIBLE
from tests.decoding import reference
from tests.decoding.reference import END
from tests.decoding.test_beam_search import (
    SOURCES,
    assert_same,
    search,
    tiny,
    unpadded,
)


def allowed_by(rule, ids, index, size=8, sentences=None):
    """The tokens that a rule leaves to each hypothesis of one sentence."""
    logits = ops.zeros((1, len(ids), size))
    ids = ops.convert_to_tensor(np.array([ids], "int32"))
    scored = logits, ops.full((1, ids.shape[1], 1), -2.0)
    found = rule(
        logits,
        scored,
        ops.convert_to_tensor(index),
        ids,
        sentences or {"source_ids": None},
    )
    found = ops.convert_to_numpy(found)[0]
    return [np.flatnonzero(row > IMPOSSIBLE / 2).tolist() for row in found]


ALL = list(range(8))


def test_never_lowers_its_tokens_alone():
    assert allowed_by(rules.never([2, 5]), [[1, 0]], 1) == [[0, 1, 3, 4, 6, 7]]


@pytest.mark.parametrize("index, ends", [(0, False), (1, False), (2, True)])
def test_the_end_comes_where_the_answer_is_long_enough(index, ends):
    (found,) = allowed_by(rules.at_least(3, END), [[4, 5, 0]], index)
    assert (END in found) is ends
    assert len(found) == 7 + ends


@pytest.mark.parametrize(
    "size, ids, index, banned",
    [
        (1, [4, 5, 4, 0, 0], 3, {4, 5}),
        (2, [4, 5, 4, 0, 0], 3, {5}),
        (2, [4, 4, 0, 0, 0], 2, {4}),
        (3, [4, 5, 6, 4, 5], 5, {6}),
        (3, [4, 5, 6, 5, 4], 5, set()),
        (4, [4, 5, 6, 0, 0], 3, set()),
        (5, [4, 4, 4, 4, 0], 4, set()),
        (1000, [4, 5, 6, 4, 5], 5, set()),
    ],
)
def test_no_n_gram_occurs_twice(size, ids, index, banned):
    (found,) = allowed_by(rules.no_repeat(size), [ids], index)
    # Where nothing is banned, padding is: it always is.
    assert set(ALL) - set(found) - {0} == banned


def test_hypotheses_are_looked_at_one_by_one():
    found = allowed_by(rules.no_repeat(2), [[4, 5, 4, 0], [6, 6, 7, 0]], 3)
    assert 5 not in found[0] and 5 in found[1]


@pytest.mark.parametrize("dtype, shape", [("float32", (1, 1, 8)), ("bool", (1, 1, 7))])
def test_what_is_allowed_must_be_a_mask_of_the_vocabulary(dtype, shape):
    rule = rules.only(lambda *_: ops.ones(shape, dtype), 8)
    with pytest.raises(ValueError, match=r"bool mask \(B, N, 8\); received a tensor"):
        allowed_by(rule, [[4, 5]], 1)


def nothing_after(count):
    """Allows no token after `count` of them, but to sources that begin with a 4."""

    def allowed(ids, index, source_ids):
        is_free = ops.equal(source_ids[:, :1], 4)[..., None]
        is_free = ops.logical_or(is_free, index < count)
        return ops.broadcast_to(is_free, (*ops.shape(ids)[:2], 12))

    return allowed


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("options", [{"beam_size": 1}, {"beam_size": 3}])
@pytest.mark.long
def test_an_answer_ends_with_what_it_has_where_nothing_is_allowed(options, count):
    model = tiny()
    sources = np.concatenate([SOURCES[:4], [[4, 5, 6, 0, 0, 0, 0]]])
    common = {"max_length": 7, "banned_ids": (END,), **options}
    found = search(model, sources, allowed_tokens=nothing_after(count), **common)
    for answer, source in zip(found, map(unpadded, sources), strict=True):
        rules = {"banned": (END,)}
        if source[0] != 4:
            rules["allowed"] = lambda tokens, new: len(tokens) < count
        if options["beam_size"] == 1:
            expected = reference.greedy(model, source, max_length=7, **rules)
        else:
            expected = reference.beam_search(
                model, source, beam_size=3, max_length=7, **rules
            )
        assert_same(answer, expected)
        assert len(answer[0][0]) == (7 if source[0] == 4 else count)


@pytest.mark.parametrize(
    "options",
    [
        {"banned_ids": range(1, 12)},
        {"banned_ids": [i for i in range(12) if i != END], "min_length": 3},
        {"no_repeat_ngram_size": 1, "banned_ids": (END,), "penalty_form": "power"},
    ],
)
@pytest.mark.parametrize("kind", [{"beam_size": 1}, {"beam_size": 3}, {"sample": True}])
@pytest.mark.long
def test_options_that_leave_nothing_end_answers(options, kind):
    found = search(tiny(), SOURCES[:3], max_length=14, **options, **kind)
    for ((tokens, score),) in found:
        expected = 9 if "no_repeat_ngram_size" in options else 0
        assert len(tokens) == len(set(tokens)) == expected
        assert np.isfinite(score) and score > -1e3
        assert expected or score == 0


def test_answers_that_a_beam_does_not_find_are_empty():
    found = search(
        tiny(),
        SOURCES[:2],
        beam_size=3,
        num_hypotheses=2,
        max_length=1,
        banned_ids=range(4, 12),
    )
    for best, second in found:
        assert best[0] in ((1,), (END,)) and second[0] in ((1,), (END,))
    found = search(
        tiny(),
        SOURCES[:2],
        beam_size=3,
        num_hypotheses=3,
        max_length=1,
        banned_ids=range(4, 12),
    )
    for _, _, third in found:
        assert third == ((), -1e9)
