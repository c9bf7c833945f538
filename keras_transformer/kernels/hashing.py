"""A hash of int32, which every backend computes alike."""

from keras import ops


def mixed(bits):
    """MurmurHash3's finalizer: each bit of int32 flips half of the others."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        low = ops.bitwise_and(ops.right_shift(bits, shift), 2 ** (32 - shift) - 1)
        bits = ops.bitwise_xor(bits, low) * as_int32(factor)
    return bits


def as_int32(value):
    """A 32-bit constant as the int32 of the same bits."""
    return int(value - (1 << 32) if value >= 1 << 31 else value)
