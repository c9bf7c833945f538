"""What a search computes over the whole vocabulary, at each step.

Its axis is cut into pieces: maxima of pieces are cheap, and only the pieces with the
best maxima are looked at closer. For XLA it comes first: XLA reduces it in one pass
then, many rows at a time, and where the output projection gives logits in that order
nothing is moved.
"""

import functools

import keras
import numpy as np
from keras import ops

from keras_transformer.kernels.impossible import FILLING
from keras_transformer.kernels.plain import banned, take_rows
from keras_transformer.kernels.scopes import compiled_by_xla

_PIECE = 64
# XLA makes no part of an operation of what that would compute more than 15 times.
_SLICES = 8


def is_worth_pieces(logits, k=None, scores=0.0, banned_ids=()):
    """Whether there is so much to compute that pieces are faster.

    Of a single row the fewest operations count, unless XLA compiles them to few.
    """
    is_little = logits.shape[:2] == (1, 1) and not compiled_by_xla()
    _, width, size = logits.shape
    return not is_little and (k is None or width * size >= 4 * k * _PIECE)


def is_for_xla(logits, k=None, scores=0.0, banned_ids=()):
    """Whether XLA compiles it, with a fixed shape, and columns are worth it."""
    is_compiled = compiled_by_xla() or keras.backend.backend() == "jax"
    is_fixed = logits.shape[0] is not None
    return is_compiled and is_fixed and is_worth_pieces(logits, k)


def log_normalizer_of_columns(logits):
    """`plain.log_normalizer` where all shapes are fixed."""
    slices = _slices(_columns(logits))
    greatest = _over_slices(ops.maximum, ops.max, slices)
    powers = [ops.exp(each - greatest) for each in slices]
    normalizer = greatest + ops.log(_over_slices(ops.add, ops.sum, powers))
    return ops.reshape(normalizer, (*logits.shape[:2], 1))


def log_normalizer_of_pieces(logits):
    """`plain.log_normalizer`, a third faster.

    The softmax of the greatest logit is `1 / sum(exp(logits - greatest))`, and a
    softmax is a single pass where its parts are several.
    """
    size, outer = logits.shape[-1], ops.shape(logits)[:-1]
    maxima = ops.max(_pieces(logits), axis=-1)
    probabilities = _pieces(ops.softmax(ops.reshape(logits, (-1, size)))[:, None])
    best = ops.argmax(maxima, axis=-1)
    best = ops.reshape(ops.cast(best, "int32"), (-1, 1))
    greatest = ops.max(_take_pieces(probabilities, best), axis=(1, 2))
    greatest = ops.reshape(greatest, (*outer, 1))
    return ops.max(maxima, axis=-1, keepdims=True) - ops.log(greatest)


def best_tokens_of_pieces(logits, k, scores=0.0, banned_ids=()):
    """`plain.best_tokens`, looking closer only at the best pieces."""
    width = logits.shape[1]
    pieces = _pieces(logits)
    count = pieces.shape[2]
    lowered = banned(count * _PIECE, banned_ids).reshape(count, _PIECE)
    maxima = ops.reshape(_maxima(pieces, lowered) + scores, (-1, width * count))
    chosen = _best_pieces(maxima, k)
    values = _take_pieces(pieces, chosen)
    scores = ops.broadcast_to(scores, (*ops.shape(logits)[:2], 1))
    values = values + take_rows(scores, chosen // count)
    if lowered.any():
        lowered = ops.convert_to_tensor(lowered)
        values = values + ops.take(lowered, chosen % count, axis=0)
    return _best_within(values, chosen, count)


def best_tokens_of_columns(logits, k, scores=0.0, banned_ids=()):
    """`plain.best_tokens` where all shapes are fixed: of columns `(V, B N)`."""
    batch, width, size = logits.shape
    rows = batch * width
    scores = ops.reshape(ops.broadcast_to(scores, (batch, width, 1)), (rows,))
    lowered = ops.convert_to_tensor(banned(size, banned_ids))[:, None]
    columns = _columns(logits) + scores + lowered
    if k == width == 1:
        slices = _slices(columns)
        best = _over_slices(ops.maximum, ops.max, slices)
        tokens = _slices(ops.arange(size, dtype="int32")[:, None], filling=size - 1)
        tokens = [
            ops.where(each >= best, token, size - 1)
            for each, token in zip(slices, tokens)
        ]
        tokens = _over_slices(ops.minimum, ops.min, tokens)
        return best[:, None], ops.zeros((batch, 1), "int32"), tokens[:, None]

    missing = -size % _PIECE
    count = (size + missing) // _PIECE
    if missing:
        filling = ((0, missing), (0, 0))
        columns = ops.pad(columns, filling, constant_values=FILLING)
    maxima = ops.max(ops.reshape(columns, (count, _PIECE, rows)), axis=1)
    maxima = ops.reshape(ops.transpose(maxima), (batch, width * count))
    chosen = _best_pieces(maxima, k)
    row = ops.arange(batch, dtype="int32")[:, None] * width + chosen // count
    within = ops.arange(_PIECE, dtype="int32")
    indices = (chosen % count * _PIECE)[..., None] + within
    values = ops.take(ops.reshape(columns, (-1,)), indices * rows + row[..., None])
    return _best_within(values, chosen, count)


def _best_pieces(maxima, k):
    """Which k pieces have the best maxima `(B, N count)`, in their order: `(B, k)`.

    The k best continuations are in them.
    """
    _, chosen = ops.top_k(maxima, k)
    return ops.sort(ops.cast(chosen, "int32"), axis=-1)


def _best_within(values, chosen, count):
    """What `best_tokens` returns, from the values of chosen pieces `(B, k, piece)`."""
    k = chosen.shape[1]
    values, indices = ops.top_k(ops.reshape(values, (-1, k * _PIECE)), k)
    indices = ops.cast(indices, "int32")
    piece = take_rows(chosen[..., None], indices // _PIECE)[..., 0]
    return values, piece // count, piece % count * _PIECE + indices % _PIECE


def draw(probabilities, top_p, numbers):
    """`plain.draw` without sorting.

    A token drawn from all is in the nucleus if what is more probable than it sums up
    to less than `top_p`. If it isn't in it, none of the less probable is either: the
    next attempt draws from what is more probable. A few attempts are enough, as each
    leaves a random part of the rest.
    """
    rows = ops.shape(probabilities)[0]
    pieces = _pieces(probabilities[:, None], filling=0.0)[:, 0]

    def above(floor):
        """Of each piece the sum of what is more probable."""
        return ops.sum(ops.where(pieces > floor[:, :, None], pieces, 0.0), axis=-1)

    def attempt_draw(attempt, found, tokens, floor, sums):
        total = ops.sum(sums, axis=-1, keepdims=True)
        piece, rest = _passed(sums, numbers(rows, attempt) * total)
        values = take_rows(pieces, piece)[:, 0]
        index, _ = _passed(ops.where(values > floor, values, 0.0), rest)
        probability = ops.take_along_axis(values, index, axis=1)
        higher = above(probability)
        mass = ops.sum(higher, axis=-1, keepdims=True)
        # With all tokens in the nucleus, rounding mustn't leave any out; and what isn't
        # a number must end too.
        outside = ops.logical_and(mass >= top_p, ops.convert_to_tensor(top_p) < 1.0)
        tokens = ops.where(found, tokens, piece * _PIECE + index)
        found = ops.logical_or(found, ops.logical_not(outside))
        floor = ops.where(found, floor, probability)
        return attempt + 1, found, tokens, floor, ops.where(found, sums, higher)

    def some_missing(attempt, found, *_):
        return ops.logical_not(ops.all(found))

    floor = ops.zeros_like(probabilities[:, :1])
    found, tokens = ops.zeros_like(floor, "bool"), ops.zeros_like(floor, "int32")
    start = ops.convert_to_tensor(0, "int32"), found, tokens, floor, above(floor)
    return ops.while_loop(some_missing, attempt_draw, start)[2]


def _passed(weights, target):
    """Where the sums of weights `(R, n)` up to each index first exceed a target.

    Returns:
        A tuple of that index, int32 `(R, 1)`, whose weight isn't zero, and what the
        weights before it leave of the target `(R, 1)`.
    """
    sums = ops.cumsum(weights, axis=-1)
    # Below the last sum, whatever was rounded.
    target = ops.minimum(target, sums[:, -1:] * (1 - 2**-22))
    before = sums <= target
    index = ops.sum(ops.cast(before, "int32"), axis=-1, keepdims=True)
    index = ops.minimum(index, weights.shape[-1] - 1)
    rest = target - ops.max(ops.where(before, sums, 0.0), axis=-1, keepdims=True)
    return index, rest


def _maxima(pieces, lowered):
    """The maxima of the sums of `pieces` (B, N, count, piece) and `lowered`."""
    maxima = ops.max(pieces, axis=-1)
    (touched,) = np.nonzero(lowered.any(axis=-1))
    if not len(touched):
        return maxima
    # Only a few pieces have banned tokens: theirs are computed anew.
    few = ops.take(pieces, touched, axis=2) + ops.convert_to_tensor(lowered[touched])
    few = ops.max(few, axis=-1)
    source = np.arange(len(lowered))
    source[touched] = len(lowered) + np.arange(len(touched))
    return ops.take(ops.concatenate([maxima, few], axis=-1), source, axis=-1)


def _columns(logits):
    """`(B, N, V)` -> `(V, B N)`."""
    return ops.transpose(ops.reshape(logits, (-1, logits.shape[-1])))


def _slices(columns, filling=FILLING):
    """Columns `(V, R)` in a few slices `(L, R)`, the last filled where it isn't new.

    Compilers make one pass of what is done with each slice and with them together,
    where they write what is to be reduced first.
    """
    size = columns.shape[0]
    length = -(-size // _SLICES)
    firsts = range(0, size, length)
    slices = [columns[min(first, size - length) :][:length] for first in firsts]
    if again := len(firsts) * length - size:
        is_new = ops.arange(length)[:, None] >= again
        slices[-1] = ops.where(is_new, slices[-1], filling)
    return slices


def _over_slices(combine, reduce, slices):
    """Slices `(L, R)` combined with each other and reduced to `(R,)`."""
    return reduce(functools.reduce(combine, slices), axis=0)


def _pieces(values, filling=FILLING):
    """`(B, N, V)` -> `(B, N, V / piece, piece)`, filled up with what isn't chosen."""
    _, width, size = values.shape
    if missing := -size % _PIECE:
        values = ops.pad(
            values, ((0, 0), (0, 0), (0, missing)), constant_values=filling
        )
    return ops.reshape(values, (-1, width, (size + missing) // _PIECE, _PIECE))


def _take_pieces(pieces, indices):
    """Of pieces `(B, N, count, piece)` those at `indices` (B, n) of the N count."""
    _, width, count, length = pieces.shape
    return take_rows(ops.reshape(pieces, (-1, width * count, length)), indices)
