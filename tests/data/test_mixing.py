"""Several corpora in one order of batches: shares, permutations, purity."""

import collections
import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from keras_transformer.data.mixing import MixedOrder, interleaved, mixture_weights


def groups(seed, pairs, longest=30):
    """Lengths of a made-up corpus, as `PreparedCorpus.groups` has them."""
    generator = np.random.default_rng(seed)
    source = generator.integers(2, longest + 1, pairs)
    target = np.clip(source + generator.integers(-4, 5, pairs), 2, longest)
    found, counts = np.unique(np.stack([source, target], 1), axis=0, return_counts=True)
    return np.concatenate([found, counts[:, None]], axis=1)


def order(sizes, weights, seed=1, tokens_per_batch=256, longest=30):
    lengths = [groups(i, size, longest) for i, size in enumerate(sizes)]
    corpora = [f"corpus {i}" for i in range(len(sizes))]
    return MixedOrder(
        corpora, lengths, weights, tokens_per_batch, longest, seed
    ), lengths


def epoch(mixed, number=0):
    size = mixed.batches_per_epoch
    return [mixed.rows(number * size + i) for i in range(size)]


SIZES = [(300, 100), (50, 2000), (400, 30, 170), (200,), (7, 7)]
WEIGHTS = [(0.5, 0.5), (0.7, 0.3), (0.2, 0.5, 0.3), (1.0,), (0.9, 0.1)]


@pytest.mark.parametrize("sizes, weights", zip(SIZES, WEIGHTS))
def test_each_corpus_has_its_share_and_all_its_pairs_in_an_epoch(sizes, weights):
    mixed, lengths = order(sizes, weights)
    counts = [collections.Counter() for _ in sizes]
    for rows in epoch(mixed):
        for corpus, position in zip(rows.corpus.tolist(), rows.positions.tolist()):
            counts[corpus][position] += 1
    totals = [sum(count.values()) for count in counts]
    assert sum(totals) == mixed.pairs
    for size, weight, count, total, share in zip(
        sizes, weights, counts, totals, mixed.shares
    ):
        assert sorted(count) == list(range(size)), "all pairs, and no others"
        assert total / mixed.pairs == share
        assert abs(total - weight * mixed.pairs) <= 1 + len(mixed._cells)
        assert max(count.values()) <= min(count.values()) + 1
    largest = max(size / weight for size, weight in zip(sizes, weights))
    assert abs(mixed.pairs - largest) <= len(sizes) * (1 + len(mixed._cells))


@pytest.mark.parametrize("sizes, weights", zip(SIZES, WEIGHTS))
def test_batches_hold_the_budget_and_the_lengths(sizes, weights):
    mixed, lengths = order(sizes, weights)
    spans = [np.repeat(part[:, :2], part[:, 2], axis=0) for part in lengths]
    for rows in epoch(mixed):
        assert len(rows) * rows.source_width <= 256
        assert len(rows) * rows.target_width <= 256
        assert rows.source_lengths.max() <= rows.source_width
        assert rows.target_lengths.max() <= rows.target_width
        for corpus, position, *pair in zip(
            rows.corpus, rows.positions, rows.source_lengths, rows.target_lengths
        ):
            assert spans[corpus][position].tolist() == pair
    assert 0 <= mixed.padding_share < 0.35


def test_a_batch_has_its_shapes_shares_up_to_a_row():
    mixed, _ = order((3000, 500, 200), (0.5, 0.3, 0.2), tokens_per_batch=512)
    seen = collections.defaultdict(list)
    for rows in epoch(mixed):
        shape = len(rows), rows.source_width, rows.target_width
        seen[shape].append(np.bincount(rows.corpus, minlength=3))
    assert len(seen) >= 5
    for counts in seen.values():
        assert np.ptp(counts, axis=0).max() <= 2


def test_shares_are_met_long_before_an_epoch_ends():
    mixed, _ = order((20_000, 1000), (0.25, 0.75))
    assert mixed.batches_per_epoch > 4000
    rows = [mixed.rows(i).corpus for i in range(100)]
    assert abs(np.concatenate(rows).mean() - 0.75) < 0.02


def test_a_batch_depends_on_seed_and_number_alone():
    first, _ = order((300, 100), (0.5, 0.5), seed=3)
    again, _ = order((300, 100), (0.5, 0.5), seed=3)
    other, _ = order((300, 100), (0.5, 0.5), seed=4)
    numbers = [0, 5, 10**9, 3, 5]
    for number in reversed(numbers):
        again.rows(number)
    for number in numbers:
        one, two, three = (mixed.rows(number) for mixed in (first, again, other))
        assert one.corpus.tolist() == two.corpus.tolist()
        assert one.positions.tolist() == two.positions.tolist()
        assert one.positions.tolist() != three.positions.tolist()


def test_epochs_differ_and_each_pass_is_a_permutation():
    mixed, _ = order((90, 20), (0.5, 0.5))
    seen = collections.defaultdict(collections.Counter)
    batches = [epoch(mixed, number) for number in range(4)]
    for batch in itertools.chain(*batches):
        shape = batch.source_width, batch.target_width
        seen[shape].update(batch.positions[batch.corpus == 1].tolist())
    for counts in seen.values():
        assert max(counts.values()) - min(counts.values()) <= 1
    one, two = (
        [batch.positions.tolist() for batch in batches[number]] for number in (0, 1)
    )
    assert one != two


def test_without_a_seed_each_epoch_is_the_same_and_by_length():
    mixed, _ = order((90, 90), (0.5, 0.5), seed=None)
    one, two = epoch(mixed), epoch(mixed, 1)
    assert [b.positions.tolist() for b in one] == [b.positions.tolist() for b in two]
    widths = [max(b.source_width, b.target_width) for b in one]
    assert widths == sorted(widths)


def test_huge_corpora_and_tiny_weights_are_no_matter():
    lengths = [groups(0, 500), groups(1, 100)]
    lengths[0][:, 2] *= 10**8
    mixed = MixedOrder(["a", "b"], lengths, [1e-3, 1 - 1e-3], 4096, 30, 1)
    assert mixed.pairs > 10**13
    for number in (0, 7, mixed.batches_per_epoch * 3 - 1):
        rows = mixed.rows(number)
        assert rows.positions[rows.corpus == 0].max(initial=0) < 5 * 10**10
        assert rows.positions[rows.corpus == 1].max() < 100
    share = np.mean([np.mean(mixed.rows(i).corpus) for i in range(50)])
    assert share > 0.99


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_interleaved_rows_are_spread_evenly_and_none_is_lost(counts):
    total = sum(counts)
    hypothesis.assume(total)
    kinds, numbers = interleaved(range(total), counts)
    for kind, count in enumerate(counts):
        own = np.flatnonzero(kinds == kind)
        assert numbers[own].tolist() == list(range(count))
        gaps = np.diff(own)
        if count > 1:
            assert gaps.max() <= len(counts) * (1 + total / count)
    for rank in range(total):
        kind, number = interleaved([rank], counts)
        assert (kind[0], number[0]) == (kinds[rank], numbers[rank])


def test_weights_are_by_size_to_the_power_of_one_over_the_temperature():
    sizes = [1000, 10, 100]
    by_size = np.array(sizes) / 1110
    assert np.allclose(mixture_weights(sizes), by_size)
    assert np.allclose(mixture_weights(sizes, temperature=1), by_size)
    root = np.sqrt(sizes) / np.sqrt(sizes).sum()
    assert np.allclose(mixture_weights(sizes, temperature=2), root)
    assert np.allclose(mixture_weights(sizes, temperature=1e9), 1 / 3)
    assert np.allclose(mixture_weights(sizes, [2, 1, 1]), [0.5, 0.25, 0.25])

    huge = np.array([3e307, 1.5e308])
    assert mixture_weights([1, 1], huge) == pytest.approx([1 / 6, 5 / 6])


@pytest.mark.parametrize(
    "given, name, error",
    [
        ({"weights": [1]}, "weights", ValueError),
        ({"weights": [1, 2, 3]}, "weights", ValueError),
        ({"weights": [1, 0]}, "weights", ValueError),
        ({"weights": [1, -1]}, "weights", ValueError),
        ({"weights": [1, float("nan")]}, "weights", ValueError),
        ({"weights": [1, "1"]}, "weights", TypeError),
        ({"weights": 0.5}, "weights", TypeError),
        ({"weights": "12"}, "weights", TypeError),
        ({"weights": {1: 2, 3: 4}}, "weights", TypeError),
        ({"weights": np.array(0.5)}, "weights", TypeError),
        ({"weights": [1, 10**400]}, "weights", ValueError),
        ({"weights": [1, 1], "temperature": 2}, "temperature", ValueError),
        ({"temperature": 0}, "temperature", ValueError),
        ({"temperature": 1e-3}, "temperature", ValueError),
        ({"weights": [1, 1e-12]}, "weights", ValueError),
        ({"temperature": "2"}, "temperature", TypeError),
    ],
)
def test_weights_that_mean_nothing_are_named(given, name, error):
    with pytest.raises(error, match=name):
        mixture_weights([10, 20], **given)
