"""The caches that a search starts from, and prefill of what all prompts have."""

from keras import ops

from keras_transformer.decoding.limits import cache_lengths
from keras_transformer.decoding.search import with_start


def start_decoding(decoder, source_ids, max_lengths, longest, start_id):
    """The caches before the first step of a search.

    A language model's prompts go through it in one pass, as far as all of them have
    tokens. What longer prompts have beyond takes steps.

    Args:
        decoder: A `CachedDecoder`.
        source_ids: Integer ids `(B, S)` of sources or prompts, 0 is padding.
        max_lengths: Most tokens of each answer, int32 `(B,)`.
        longest: What none of them exceeds, an integer or a scalar tensor.
        start_id: Token that starts an answer.

    Returns:
        A tuple of the caches that steps change, of those that they only read, of the
        number of tokens that were filled in, and of a list of the caches' lengths, one
        after the other.
    """
    start = _start_fixed if decoder.fixed_shapes else _start_growing
    return start(decoder, source_ids, max_lengths, longest, start_id)


def _start_growing(decoder, source_ids, max_lengths, longest, start_id):
    caches, read = decoder.start(source_ids)
    if not decoder.has_prompts:
        return caches, read, 0, [longest]
    count = shared_length(source_ids, max_lengths)
    tokens = with_start(source_ids[:, :-1], start_id)
    filled = ops.cond(
        count > 0, lambda: decoder.fill(caches, tokens[:, :count]), lambda: caches
    )
    return filled, read, count, [longest]


def _start_fixed(decoder, source_ids, max_lengths, longest, start_id):
    batch, length = ops.shape(source_ids)
    width = decoder.num_hypotheses
    are_known = isinstance(length, int) and isinstance(longest, int)
    if not (decoder.has_prompts and are_known):
        lengths = cache_lengths(batch, longest, width)
        caches, read = decoder.start(source_ids, lengths[0] * width)
        return caches, read, 0, lengths
    lengths = cache_lengths(batch, longest, width, least=length)
    length = min(max(length, 1), lengths[0])
    caches, read = decoder.start(source_ids, length)
    tokens = with_start(source_ids[:, :-1], start_id)
    # Steps write anew what lies past the part that all prompts have.
    caches = decoder.grow(decoder.fill(caches, tokens[:, :length]), lengths[0])
    return caches, read, shared_length(source_ids, max_lengths), lengths


def shared_length(prompts, max_lengths):
    """How many tokens all prompts have, before an answer can end."""
    in_all = ops.all(ops.not_equal(prompts, 0), axis=0)
    shared = ops.sum(ops.cumprod(ops.cast(in_all, "int32")))
    before_last = ops.maximum(ops.min(max_lengths, initial=2**30) - 1, 0)
    return ops.minimum(ops.cast(shared, "int32"), before_last)
