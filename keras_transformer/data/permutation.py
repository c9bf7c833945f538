"""A pseudo-random permutation that is computed index by index."""

from collections.abc import Sequence

import numpy as np

_ROUNDS = 8
_MASK = (1 << 64) - 1
# The constants of SplitMix64.
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Permutation:
    """A permutation of `range(size)` that holds no array.

    It is a Feistel network over the next power of two, walked until an index comes out
    that is less than `size`. So any part of the order of a billion pairs takes the
    time of that part. The numbers depend on the key alone: on no library's version,
    backend or machine.

    Args:
        size: Number of indexes, 1 at least.
        *key: Integers; other keys give other permutations.

    Example:

    >>> sorted(Permutation(5, 0)(range(5)).tolist())
    [0, 1, 2, 3, 4]

    Reference: Black and Rogaway, [Ciphers with Arbitrary Finite
    Domains](https://doi.org/10.1007/3-540-45760-7_9), the cycle-walking cipher.
    """

    def __init__(self, size: int, *key: int) -> None:
        self.size = size
        bits = max(2, int(size - 1).bit_length())
        self._low = np.uint64(bits // 2)
        self._low_mask = np.uint64((1 << bits // 2) - 1)
        self._high_mask = np.uint64((1 << (bits - bits // 2)) - 1)
        self._keys = _round_keys(key)

    def __call__(self, indexes: Sequence[int] | np.ndarray) -> np.ndarray:
        """Indexes, an integer array (n,) -> permuted ones, int64 (n,)."""
        found = self._walk(np.asarray(indexes, np.uint64))
        outside = found >= self.size
        while outside.any():
            found[outside] = self._walk(found[outside])
            outside = found >= self.size
        return found.astype(np.int64)

    def _walk(self, values):
        high, low = values >> self._low, values & self._low_mask
        for first, second in zip(self._keys[::2], self._keys[1::2]):
            high = high ^ (_mixed(low + first) & self._high_mask)
            low = low ^ (_mixed(high + second) & self._low_mask)
        return high << self._low | low


def _mixed(values):
    """The finalizer of SplitMix64, whose output bits depend on all input bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_SECOND)
    return values ^ (values >> np.uint64(31))


def _round_keys(key):
    """The keys of all rounds, by SplitMix64 from the parts of a key."""
    state = _GOLDEN
    for part in key:
        state = _mixed_integer(state + int(part))
    return [
        np.uint64(_mixed_integer(state + i * _GOLDEN)) for i in range(1, 1 + _ROUNDS)
    ]


def _mixed_integer(value):
    """`_mixed` of a Python integer."""
    value &= _MASK
    value = (value ^ (value >> 30)) * _FIRST & _MASK
    value = (value ^ (value >> 27)) * _SECOND & _MASK
    return value ^ (value >> 31)
