"""The key/value cache: what a decoder keeps from step to step.

An attention's cache is a dict of `"key"` and `"value"`, each `(B, H, L N, K)`: L
positions, and at each position the keys of the N hypotheses of a sentence, side by
side. Its length is fixed, and positions that aren't written yet are zeros; or it grows
with each step. A block's cache is a dict of `"self"`, the cache of its self-attention,
and with cross-attention `"cross"`, the keys and values of the source, which no step
changes.

Functions of `caches` take any nested structure of attentions' caches.
"""

import keras
from keras import ops

_LENGTH_AXIS = 2


def empty(batch_size, num_heads, length, head_dim, dtype):
    """A cache of `length` positions, none of them written; of 0 if it grows."""
    shape = (batch_size, num_heads, length or 0, head_dim)
    return {name: ops.zeros(shape, dtype) for name in ("key", "value")}


def append(cache, keys, values, index=None, num_hypotheses=1):
    """The cache with the keys and values of the next positions.

    Args:
        cache: An attention's cache.
        keys: Tensor `(B, H, T N, K)`.
        values: Tensor `(B, H, T N, K)`.
        index: Scalar integer, the first of these positions, in a cache of fixed length.
            None for a cache that grows.
        num_hypotheses: Number N of hypotheses.
    """
    new = {"key": keys, "value": values}
    if index is None:
        return {
            name: ops.concatenate([cache[name], new[name]], axis=_LENGTH_AXIS)
            for name in ("key", "value")
        }
    start = (0, 0, index * num_hypotheses, 0)
    return {
        name: ops.slice_update(cache[name], start, new[name])
        for name in ("key", "value")
    }


def length(cache, num_hypotheses=1):
    """The number L of positions, an integer or a scalar tensor."""
    return ops.shape(cache["key"])[_LENGTH_AXIS] // num_hypotheses


def known_length(cache, num_hypotheses=1):
    """The number L of positions where it is known while tracing, or None."""
    slots = cache["key"].shape[_LENGTH_AXIS]
    return slots // num_hypotheses if isinstance(slots, int) else None


def positions(cache, num_hypotheses=1):
    """The position of each key, int32 `(L N,)`."""
    slots = ops.arange(ops.shape(cache["key"])[_LENGTH_AXIS], dtype="int32")
    return slots // num_hypotheses


def split(caches):
    """Blocks' caches in two lists: what steps change, and what they only read.

    Returns:
        A tuple of the caches of self-attention, and of dicts of the rest.
    """
    changing = [cache["self"] for cache in caches]
    read = [{n: part for n, part in cache.items() if n != "self"} for cache in caches]
    return changing, read


def join(changing, read=None):
    """Blocks' caches, of the two lists that `split` gave."""
    read = [{}] * len(changing) if read is None else read
    return [{**rest, "self": own} for own, rest in zip(changing, read)]


def emptied(caches, ids):
    """The caches without positions, in a graph of TensorFlow that may grow in its loop.

    Loops want shapes that stay, unless they aren't known beforehand.

    Args:
        caches: Caches of one position or more.
        ids: Any integer tensor that isn't known while tracing.
    """
    none = ops.minimum(ops.min(ops.abs(ids), initial=0), 0)
    return keras.tree.map_structure(lambda x: x[:, :, :none], caches)


def grow(caches, length, num_hypotheses=1):
    """Caches of fixed length, padded to `length` positions."""

    def pad(x):
        missing = length * num_hypotheses - x.shape[_LENGTH_AXIS]
        return ops.pad(x, ((0, 0), (0, 0), (0, missing), (0, 0)))

    return keras.tree.map_structure(pad, caches)


def repeat(caches, num_hypotheses):
    """The caches of one hypothesis, for N hypotheses that begin alike."""
    return keras.tree.map_structure(
        lambda x: ops.repeat(x, num_hypotheses, axis=_LENGTH_AXIS), caches
    )


def cut_mask(mask, caches, index=None, num_hypotheses=1):
    """A mask `(B, N, L' N)` of the positions that attention meets in a step.

    Args:
        mask: Bool tensor with as many positions as an answer can have, or None.
        caches: The caches before the step.
        index: Scalar integer, the position of the step in caches that grow. None for
            caches of fixed length, whose positions attention meets all.
        num_hypotheses: Number N of hypotheses.
    """
    if mask is None:
        return None
    if index is None:
        slots = keras.tree.flatten(caches)[0].shape[_LENGTH_AXIS]
    else:
        slots = (index + 1) * num_hypotheses
    return mask[:, :, :slots]
