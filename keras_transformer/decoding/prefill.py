"""The state that a search starts from, and prefill of what all answers begin with."""

import typing

from keras import ops

from keras_transformer.decoding.limits import cache_lengths
from keras_transformer.decoding.search import with_start
from keras_transformer.kernels import log_normalizer

# Rows of logits at once where forced tokens are scored: about as many as in a step.
_ROWS_OF_LOGITS = 64


class Start(typing.NamedTuple):
    """What a search starts from.

    Args:
        changing: Caches that steps change.
        read: Caches that steps only read.
        num_forced: Number of forced tokens that the caches contain, a scalar integer.
        scores: Sums of the log-probabilities of these tokens, float32 `(B,)`, or 0.
        lengths: List of the caches' lengths, one after the other.
    """

    changing: object
    read: object
    num_forced: object
    scores: object
    lengths: list


def start_decoding(decoder, source_ids, begins_with, max_lengths, longest, start_id):
    """The state before the first step of a search.

    Forced tokens go through the decoder in one pass, as far as all sentences of the
    batch have some. What longer prefixes and prompts have beyond takes steps.

    Args:
        decoder: A `CachedDecoder`.
        source_ids: Integer ids `(B, S)` of sources or prompts, 0 is padding.
        begins_with: Integer ids `(B, P)` that answers begin with, 0 is padding: target
            prefixes, which count in the scores, or the prompts, which don't; or None.
        max_lengths: Most tokens of each answer, int32 `(B,)`.
        longest: What none of them exceeds, an integer or a scalar tensor.
        start_id: Token that starts an answer.

    Returns:
        A `Start`.
    """
    if decoder.fixed_shapes:
        caches, read, tokens, lengths = _fixed(
            decoder, source_ids, begins_with, longest
        )
    else:
        caches, read = decoder.start(source_ids)
        tokens, lengths = begins_with, [longest]
    if tokens is None:
        return Start(caches, read, 0, 0.0, lengths)
    is_known = ops.logical_and(tokens > 0, tokens < decoder.vocabulary_size)
    tokens = ops.where(is_known, tokens, 0)
    count = shared_length(tokens, max_lengths)
    if not decoder.fixed_shapes:
        tokens = tokens[:, :count]
    inputs = with_start(tokens[:, :-1], start_id)

    def fill():
        filled, states = decoder.fill(caches, read, inputs)
        return filled, _sums(decoder, states, tokens, count)

    def leave():
        sums = ops.zeros(ops.shape(source_ids)[:1], "float32")
        return decoder.repeat(caches), sums

    caches, scores = ops.cond(count > 0, fill, leave)
    if decoder.fixed_shapes:
        # Steps write anew what lies past the tokens that all sentences have.
        caches = decoder.grow(caches, lengths[0])
    return Start(caches, read, count, scores, lengths)


def _fixed(decoder, source_ids, begins_with, longest):
    """Caches of fixed length, those only read, tokens to fill in, all lengths.

    The tokens are None where there are none, or their number isn't known.
    """
    batch, width = ops.shape(source_ids)[0], decoder.num_hypotheses
    length = None if begins_with is None else ops.shape(begins_with)[1]
    if not (isinstance(length, int) and length and isinstance(longest, int)):
        lengths = cache_lengths(batch, longest, width)
        return *decoder.start(source_ids, lengths[0] * width), None, lengths
    lengths = cache_lengths(batch, longest, width, least=length)
    tokens = begins_with[:, : lengths[0]]
    # Of one hypothesis of each sentence: all of them begin alike.
    return *decoder.start(source_ids, tokens.shape[1]), tokens, lengths


def shared_length(tokens, max_lengths):
    """How many tokens all sentences have, before an answer can end.

    Args:
        tokens: Integer ids `(B, P)`, 0 is padding.
        max_lengths: Most tokens of each answer, int32 `(B,)`.
    """
    in_all = ops.all(ops.not_equal(tokens, 0), axis=0)
    shared = ops.sum(ops.cumprod(ops.cast(in_all, "int32")))
    before_last = ops.maximum(ops.min(max_lengths, initial=2**30) - 1, 0)
    return ops.minimum(ops.cast(shared, "int32"), before_last)


def _sums(decoder, states, tokens, count):
    """Sums `(B,)` of the log-probabilities of the first `count` tokens `(B, T)`.

    Zeros where forced tokens don't count, as those of prompts. A few positions at a
    time: the logits of a long prefix would need more memory than the whole search.
    """
    batch, length = ops.shape(tokens)
    sums = ops.zeros((batch,), "float32")
    if decoder.has_prompts:
        return sums
    is_static = isinstance(batch, int) and isinstance(length, int)
    least, greatest = (min, max) if is_static else (ops.minimum, ops.maximum)
    size = least(greatest(_ROWS_OF_LOGITS // greatest(batch, 1), 1), length)
    within = ops.arange(size, dtype="int32")

    def add(start, sums):
        # The last part begins earlier, to be as long as the others.
        first = ops.minimum(start, length - size)
        part = ops.slice(states, (0, first, 0), (batch, size, states.shape[-1]))
        logits = ops.cast(decoder.logits(part), "float32")
        positions = first + within
        chosen = ops.slice(tokens, (0, first), (batch, size))
        is_new = ops.logical_and(positions >= start, positions < count)
        chosen = ops.where(is_new, chosen, 0)
        gained = ops.take_along_axis(logits, chosen[..., None], axis=-1)[..., 0]
        rows = ops.reshape(logits, (-1, 1, logits.shape[-1]))
        gained -= ops.reshape(log_normalizer(rows), (batch, size))
        return start + size, sums + ops.sum(ops.where(is_new, gained, 0.0), axis=1)

    start = ops.convert_to_tensor(0, "int32")
    return ops.while_loop(lambda start, _: start < count, add, (start, sums))[1]
