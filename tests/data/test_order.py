"""Batches are a function of the seed and their number."""

import collections
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.data.order import CorpusOrder, bucket_lengths


def corpus_of(groups):
    """What the order looks at: how many pairs have which lengths."""
    rows = [(*lengths, count) for lengths, count in sorted(groups.items())]
    return types.SimpleNamespace(groups=np.array(rows, np.int64))


def random_groups(seed, pairs, spread=0.25):
    """As many pairs of lengths as parallel text has them."""
    random = np.random.default_rng(seed)
    source = np.clip(random.lognormal(3.2, 0.6, pairs), 2, 256).astype(int)
    target = np.clip(source * random.lognormal(0, spread, pairs), 2, 256).astype(int)
    return collections.Counter(zip(source.tolist(), target.tolist()))


lengths = st.tuples(st.integers(2, 60), st.integers(2, 60))
groups = st.dictionaries(lengths, st.integers(1, 90), min_size=1, max_size=40)


@settings(max_examples=25, deadline=None)
@given(groups, st.integers(60, 400), st.integers(0, 5), st.integers(0, 3))
def test_each_pair_comes_once_an_epoch_within_the_budget(groups, budget, seed, epoch):
    order = CorpusOrder(corpus_of(groups), budget, 60, seed)
    size = order.batches_per_epoch
    found = []
    for number in range(epoch * size, (epoch + 1) * size):
        rows = order.rows(number)
        assert rows.epoch == epoch
        assert len(rows) * max(rows.source_width, rows.target_width) <= budget
        assert rows.source_lengths.max() <= rows.source_width
        assert rows.target_lengths.max() <= rows.target_width
        found += rows.positions.tolist()
    assert sorted(found) == list(range(sum(groups.values())))


@settings(max_examples=10, deadline=None)
@given(groups)
def test_positions_have_the_lengths_of_their_group(groups):
    order = CorpusOrder(corpus_of(groups), 120, 60, 1)
    expected = [lengths for lengths in sorted(groups) for _ in range(groups[lengths])]
    for number in range(order.batches_per_epoch):
        rows = order.rows(number)
        found = zip(rows.source_lengths.tolist(), rows.target_lengths.tolist())
        assert list(found) == [expected[i] for i in rows.positions]


def test_a_batch_doesn_t_depend_on_what_was_asked_before():
    order = CorpusOrder(corpus_of(random_groups(0, 3000)), 512, 256, 7)
    numbers = range(3 * order.batches_per_epoch)
    walked = [order.rows(number).positions for number in numbers]
    other = CorpusOrder(corpus_of(random_groups(0, 3000)), 512, 256, 7)
    for number in reversed(numbers):
        np.testing.assert_array_equal(other.rows(number).positions, walked[number])


def test_seeds_and_epochs_have_orders_of_their_own():
    corpus = corpus_of(random_groups(0, 3000))
    orders = []
    for seed in (0, 1):
        order = CorpusOrder(corpus, 512, 256, seed)
        size = order.batches_per_epoch
        orders += [
            [
                order.rows(number).positions.tolist()
                for number in range(first, first + 20)
            ]
            for first in (0, size)
        ]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert not any(batch in other for batch in one)


def test_without_a_seed_each_epoch_is_the_same_and_by_length():
    order = CorpusOrder(corpus_of(random_groups(0, 500)), 512, 256, None)
    size = order.batches_per_epoch
    for number in range(size):
        first, second = order.rows(number), order.rows(number + size)
        np.testing.assert_array_equal(first.positions, second.positions)


def test_a_late_batch_of_a_huge_corpus_is_found_at_once():
    groups = {lengths: 10_000_000 * n for lengths, n in random_groups(0, 90).items()}
    order = CorpusOrder(corpus_of(groups), 4096, 256, 1)
    rows = order.rows(10**12)
    assert order.pairs == 900_000_000 and order.batches_per_epoch > 1_000_000
    assert len(set(rows.positions.tolist())) == len(rows)
    # No two neighbours: it is taken from all over its cell.
    assert np.diff(np.sort(rows.positions)).min() > 1


@pytest.mark.parametrize("spread", [0.15, 0.2])
def test_padding_is_under_8_percent_of_a_large_corpus(spread):
    order = CorpusOrder(corpus_of(random_groups(0, 300_000, spread)), 4096, 256, 0)
    assert 0.02 < order.padding_share < 0.08
    ids = padding = 0
    for number in range(200):
        rows = order.rows(number)
        size = len(rows) * (rows.source_width + rows.target_width)
        ids += size
        padding += size - rows.source_lengths.sum() - rows.target_lengths.sum()
    assert padding / ids == pytest.approx(order.padding_share, abs=0.02)
    shapes = {
        (rows.source_width, rows.target_width)
        for rows in map(order.rows, range(0, order.batches_per_epoch, 4))
    }
    assert len(shapes) <= 100
    assert {width for shape in shapes for width in shape} <= set(
        bucket_lengths(256, 4096)
    )


def test_a_rest_doesn_t_make_a_batch_for_itself():
    """All batches but the last are full, where lengths are close to each other."""
    groups = {(length, length): 37 for length in range(2, 60)}
    order = CorpusOrder(corpus_of(groups), 480, 60, 0)
    fill = [
        len(rows) * max(rows.source_width, rows.target_width) / 480
        for rows in map(order.rows, range(order.batches_per_epoch))
    ]
    assert sum(share < 0.5 for share in fill) <= 1


def test_many_short_pairs_aren_t_padded_to_one_long_pair():
    order = CorpusOrder(corpus_of({(4, 4): 100, (220, 220): 1}), 4096, 256, 0)
    widths = sorted(order.rows(i).source_width for i in range(order.batches_per_epoch))
    assert widths == [8, 220]


def test_pairs_over_the_maximum_length_are_left_out():
    order = CorpusOrder(corpus_of({(4, 4): 10, (4, 21): 5, (30, 4): 5}), 64, 20, 0)
    assert order.pairs == 10
    assert sum(len(order.rows(i)) for i in range(order.batches_per_epoch)) == 10
