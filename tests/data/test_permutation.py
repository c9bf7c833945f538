"""A permutation that holds no array is one, and looks like one drawn by chance."""

import collections
import itertools

import numpy as np
import pytest

from keras_transformer.data.permutation import Permutation


@pytest.mark.parametrize("size", [*range(1, 40), 127, 128, 129, 1000, 4097])
def test_each_index_comes_once(size):
    for key in ((0,), (-5, 3), (2**80, 1, 2)):
        found = Permutation(size, *key)(np.arange(size))
        assert sorted(found.tolist()) == list(range(size))


def test_all_permutations_come_about_equally_often():
    found = collections.Counter(
        tuple(Permutation(4, key)(np.arange(4)).tolist()) for key in range(4800)
    )
    assert set(found) == set(itertools.permutations(range(4)))
    # A standard deviation is 14.
    assert all(140 < count < 260 for count in found.values())


def test_a_part_of_a_billion_is_spread_over_all_of_it():
    size = 10**9
    found = Permutation(size, 3)(np.arange(20_000) + 77_000_000)
    assert len(set(found.tolist())) == 20_000
    tenths = np.bincount(found // (size // 10), minlength=10)
    assert (abs(tenths - 2000) < 250).all()
    assert abs(np.corrcoef(np.arange(20_000), found)[0, 1]) < 0.05


def test_numbers_are_those_of_every_version_and_machine():
    """What they are goes into the order of every run."""
    assert Permutation(10, 1, 2)(np.arange(10)).tolist() == [
        6,
        3,
        2,
        0,
        7,
        1,
        4,
        5,
        8,
        9,
    ]
