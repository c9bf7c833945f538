"""How long answers may get, and the caches that hold them."""

import numpy as np
from keras import ops

from keras_transformer.compilation import compiles_when_called


def limits(model, source_ids, options):
    """The most tokens of each answer, as options and the model's positions allow.

    Args:
        model: A `kt.Transformer` or a `kt.LanguageModel`.
        source_ids: Integer ids `(B, S)`, 0 is padding.
        options: A `SearchOptions`.

    Returns:
        A tuple of int32 `(B,)` and of what none of them exceeds, an integer or a scalar
        tensor.
    """
    batch, source_length = ops.shape(source_ids)
    max_length = options.max_length
    if max_length is None:
        lengths = ops.sum(ops.cast(ops.not_equal(source_ids, 0), "int32"), axis=1)
        max_lengths = lengths + options.extra_length
        if not model.decoder_only:
            # A row of padding alone, which fills a batch up, is over at once.
            max_lengths = ops.where(lengths > 0, max_lengths, 1)
        longest = source_length + options.extra_length
    else:
        max_lengths = ops.broadcast_to(ops.cast(max_length, "int32"), (batch,))
        longest = options.longest
        if longest is None:
            longest = _longest(max_length)
    if limit := model.max_length:
        # Learned positions end.
        least = ops.minimum if ops.is_tensor(longest) else min
        longest = least(longest, limit)
        max_lengths = ops.minimum(max_lengths, limit)
    return max_lengths, longest


def _longest(max_length):
    """The greatest of the maximum lengths, where it can be told."""
    if ops.is_tensor(max_length):
        if len(max_length.shape):
            raise ValueError(
                "longest must be given where max_length is a tensor with a number for "
                f"each sentence; received longest=None, max_length={max_length}."
            )
        return max_length
    return int(np.max(max_length, initial=1))


def cache_lengths(batch, longest, num_hypotheses, least=1):
    """Lengths of caches of fixed shape, one after the other: a quarter, a half, all.

    A step reads caches in full, and most answers are far shorter than the longest that
    may be. Each length is another loop to compile. That doesn't pay for one sentence,
    whose caches are small beside the weights. Nor does it for greedy search where the
    caller waits for the compilation.

    Args:
        batch: Number of sentences.
        longest: Most tokens of an answer.
        num_hypotheses: Number of hypotheses of a sentence.
        least: Least length, a prompt's.
    """
    are_known = isinstance(batch, int) and isinstance(longest, int)
    is_greedy_at_call = num_hypotheses == 1 and compiles_when_called()
    if not are_known or batch == 1 or is_greedy_at_call:
        return [longest]
    least = min(least, longest)
    return sorted({max(-(-longest // part), least) for part in (4, 2, 1)})
