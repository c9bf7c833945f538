"""What may not come next: rules that the search lets each step's scores go through.

A rule takes the logits `(B, N, V)` that earlier rules left; a pair of the model's own
and their normalizer `(B, N, 1)`, less which they are log-probabilities; the step's
index, the tokens so far `(B, N, L)` and what is known of each sentence (see `search`).
It lowers what it forbids to `IMPOSSIBLE`. What it forces is possible, whatever earlier
rules forbade.
"""

import keras
import numpy as np
from keras import ops

from keras_transformer.kernels.impossible import IMPOSSIBLE


def only(allowed_tokens, vocabulary_size):
    """What comes is what `allowed_tokens(ids, index, source_ids)` allows."""

    def rule(logits, scored, index, ids, sentences):
        allowed = allowed_tokens(ids, index, sentences["source_ids"])
        allowed = _as_mask(allowed, vocabulary_size)
        room = logits.shape[-1] - vocabulary_size
        if room:
            allowed = ops.pad(allowed, ((0, 0), (0, 0), (0, room)))
        return ops.where(allowed, logits, IMPOSSIBLE)

    return rule


def _as_mask(allowed, vocabulary_size):
    """What `allowed_tokens` returned as a bool mask `(B, N, V)`."""
    allowed = ops.convert_to_tensor(allowed)
    dtype = keras.backend.standardize_dtype(allowed.dtype)
    shape = tuple(allowed.shape)
    is_mask = dtype.startswith(("bool", "int", "uint"))
    if not is_mask or len(shape) != 3 or shape[-1] not in (None, vocabulary_size):
        raise ValueError(
            f"allowed_tokens must return a bool mask (B, N, {vocabulary_size}); "
            f"received a tensor of dtype {dtype} and shape {shape}."
        )
    return ops.cast(allowed, "bool")


def never(token_ids):
    """These tokens don't come, unless a later rule forces them."""

    def rule(logits, scored, index, ids, sentences):
        tokens = np.arange(logits.shape[-1])
        return ops.where(np.isin(tokens, token_ids), IMPOSSIBLE, logits)

    return rule


def at_least(min_length, end_id):
    """The end token doesn't come before an answer has `min_length` tokens with it.

    Where `sentences` has a `"min_length"`, int32 `(B,)`, each has its own.
    """

    def rule(logits, scored, index, ids, sentences):
        is_end = ops.arange(logits.shape[-1]) == end_id
        if "min_length" not in sentences:
            too_early = index + 1 < min_length
            return ops.where(ops.logical_and(too_early, is_end), IMPOSSIBLE, logits)
        too_early = (index + 1 < sentences["min_length"])[:, None, None]
        # Mostly none is: a pass over all logits is saved then.
        return ops.cond(
            ops.any(too_early),
            lambda: ops.where(ops.logical_and(too_early, is_end), IMPOSSIBLE, logits),
            lambda: logits,
        )

    return rule


def force_end(end_id):
    """An answer's last possible token is the end token, at no cost."""

    def rule(logits, scored, index, ids, sentences):
        is_end = ops.arange(logits.shape[-1]) == end_id
        last = (index + 1 >= sentences["max_lengths"])[:, None, None]
        _, at_no_cost = scored
        forced = ops.where(is_end, at_no_cost, IMPOSSIBLE)
        return ops.where(last, forced, logits)

    return rule


def given_tokens(index, sentences):
    """What answers have at `index` by what is given of them, `(B, 1)`; 0 is free."""
    given = sentences["given"]
    last = ops.shape(given)[1] - 1
    return ops.take(given, ops.minimum(index, last), axis=1)[:, None]


def begin_with_given(free=False):
    """Answers begin with what is given of them, a prefix or a prompt.

    The log-probabilities of forced tokens still count in the scores, unless they are
    `free`: a prompt's.
    """

    def rule(logits, scored, index, ids, sentences):
        forced = given_tokens(index, sentences)[..., None]
        tokens = ops.arange(logits.shape[-1], dtype="int32")
        model_logits, at_no_cost = scored
        given = at_no_cost if free else model_logits
        given = ops.where(forced == tokens, given, IMPOSSIBLE)
        return ops.where(forced == 0, logits, given)

    return rule


def no_repeat(ngram_size):
    """No n-gram occurs twice in an answer."""
    before = ngram_size - 1

    def rule(logits, scored, index, ids, sentences):
        length = ops.shape(ids)[-1]
        if isinstance(length, int) and length <= before:
            return logits
        # Where n-grams of the answer may start, (count,), and their first n - 1 tokens.
        count, width = length - before, before
        if not isinstance(length, int):
            count, width = ops.maximum(count, 0), ops.minimum(before, length)
        starts = ops.arange(count, dtype="int32")
        offsets = ops.arange(width, dtype="int32")
        earlier = ops.take(ids, starts[:, None] + offsets, axis=2)
        latest = ops.take(ids, ops.maximum(index - before + offsets, 0), axis=2)
        same = ops.all(earlier == latest[:, :, None], axis=-1)
        # An n-gram that starts at `start` ends before the token to come.
        matches = ops.logical_and(starts + before < index, same)
        last = ops.take(ids, starts + before, axis=2)
        # Where nothing matches, padding is banned, which is banned anyway.
        banned = ops.where(matches, last, 0)
        shape = ops.shape(logits)
        rows = ops.arange(shape[0] * shape[1], dtype="int32")[:, None]
        rows = ops.broadcast_to(rows, (shape[0] * shape[1], count))
        places = ops.stack(
            [ops.reshape(rows, (-1,)), ops.reshape(banned, (-1,))], axis=-1
        )
        flat = ops.reshape(logits, (-1, shape[-1]))
        penalty = ops.scatter_update(
            ops.zeros_like(flat),
            places,
            ops.full((shape[0] * shape[1] * count,), IMPOSSIBLE),
        )
        return ops.reshape(flat + penalty, shape)

    return rule
