"""Masks of attention: True where a query may look at a key."""

from keras import ops


def combined_mask(tensor, mask=None):
    """The mask Keras carries on `tensor` and the explicit `mask`, joined by `and`."""
    implicit = getattr(tensor, "_keras_mask", None)
    if mask is None or mask is implicit:
        return implicit
    return join_masks(implicit, ops.cast(mask, "bool"))


def keys_mask(mask):
    """`(B, S)` -> `(B, 1, 1, S)`."""
    return None if mask is None else ops.cast(mask, "bool")[:, None, None, :]


def full_mask(mask):
    """`(T, S)`, `(B, T, S)` or `(B, H, T, S)` -> four dimensions."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    if len(mask.shape) == 2:
        return mask[None, None]
    return mask[:, None] if len(mask.shape) == 3 else mask


def causal_mask(query_positions, key_positions):
    """Which keys aren't after a query: `(T,)` and `(S,)` -> `(1, 1, T, S)`."""
    return (key_positions[None, :] <= query_positions[:, None])[None, None]


def join_masks(*masks):
    """All masks joined by `and`; None, which masks nothing, if all are None."""
    joined = None
    for mask in masks:
        if mask is not None:
            joined = mask if joined is None else ops.logical_and(joined, mask)
    return joined
