"""From source ids to target ids with a Transformer."""

import keras
import numpy as np
from keras import ops

from keras_transformer.decoding import rules
from keras_transformer.decoding.beam_search import BeamSearch
from keras_transformer.decoding.options import as_options
from keras_transformer.decoding.sampling import Sampling
from keras_transformer.decoding.search import search, with_start


def generate(model, source_ids, options=None, **changes):
    """Translates ids to ids: encodes once, then decodes step by step with caches.

    A sentence's answer doesn't depend on the others of its batch, nor on padding.

    This is for a program that is compiled, by `tf.function` or `jax.jit`: called
    directly it runs operation by operation, 20 times as slow. `model.generate` compiles
    it for you (docs/decoding.md).

    A language model has no source but a prompt: its answers begin with it, lengths
    count it, scores don't.

    Args:
        model: A `kt.Transformer` or a `kt.LanguageModel`.
        source_ids: Integer ids `(B, S)`, 0 is padding at the end of a row. Of a
            language model: the prompt, without a start token.
        options: A `SearchOptions`; by default all options are at their defaults.
        **changes: Options by name, such as `beam_size=8`, over those of `options`.

    Returns:
        A dict: `"ids"` int32 `(B, num_hypotheses, L)` with the end token and then
        zeros, best first; `"scores"` float32 `(B, num_hypotheses)`, log-probabilities
        divided by the length penalty. An answer ends without an end token where nothing
        is allowed to come next. A beam that finds fewer answers than asked for fills up
        with empty ones, whose score is -1e9. A model whose logits aren't numbers gives
        empty answers, whose score is NaN.

    Raises:
        ValueError: For an option out of range; it is named.
        TypeError: For an unknown option; the nearest known one is named.

    Example:

    >>> answers = kt.decoding.generate(model, np.array([[17, 5, 3]]), beam_size=4)
    >>> answers["ids"][0, 0]

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 6.1.
    """
    options = as_options(options).changed(**changes)
    if model.decoder_only and options.target_prefix is not None:
        raise ValueError("A language model's prompt is its prefix: no target_prefix.")
    source_ids = ops.convert_to_tensor(source_ids, "int32")
    if len(source_ids.shape) != 2:
        raise ValueError(
            f"source_ids must have the shape (B, S); received {source_ids.shape}."
        )
    batch, source_length = ops.shape(source_ids)
    # What answers begin with.
    given = source_ids if model.decoder_only else options.target_prefix
    max_lengths, longest = _limits(model, source_ids, options)
    projection = model.target_embedding.output_projection()
    applied, banned, has_dead_ends = _rules(
        model, projection.num_columns, options, begins_with_given=given is not None
    )
    selection = _selection(options, has_dead_ends)
    fixed_shapes = options.fixed_shapes
    if fixed_shapes is None:
        fixed_shapes = keras.backend.backend() != "tensorflow"
    # A prompt is gone through at once, where its length is as fixed as the caches'.
    are_known = isinstance(source_length, int) and isinstance(longest, int)
    at_once = model.decoder_only and (are_known or not fixed_shapes)
    stages, cache_length = [longest], 1
    if fixed_shapes:
        room = max(source_length, 1) if at_once else 1
        stages = _stages(batch, longest, selection.width, room)
        cache_length = stages[0] * selection.width
        if at_once:
            # They get the room of all steps after the prompt.
            cache_length = min(room, stages[0])
    caches = model.start_decoding(source_ids, cache_length)
    # Only what a step changes travels through the loop.
    state = [cache.pop("self") for cache in caches]
    if not fixed_shapes:
        # A bound that isn't known beforehand, so that the caches may grow in the loop.
        none = ops.minimum(ops.min(ops.abs(source_ids), initial=0), 0)
        state = keras.tree.map_structure(lambda x: x[:, :, :none], state)
    penalty = ops.reshape(ops.cast(options.length_penalty, "float32"), (-1, 1))
    sentences = {
        "source_ids": source_ids,
        "max_lengths": max_lengths,
        "length_penalty": ops.broadcast_to(penalty, (batch, 1)),
        "caches": caches,
    }
    if options.sample:
        sentences |= selection.options_of_sentences(batch)
    if hasattr(options.min_length, "shape"):
        min_lengths = ops.cast(options.min_length, "int32")
        sentences["min_length"] = ops.broadcast_to(min_lengths, (batch,))
    if given is not None:
        given = ops.convert_to_tensor(given, "int32")
        sentences["given"] = ops.pad(given, ((0, 0), (0, 1)))

    # Values, which are read once; as variables they would be at each step.
    weights = [(v, ops.stop_gradient(v)) for v in model.trainable_variables]

    def step(ids, index, state, sentences, mask):
        caches = [
            {**cache, "self": own} for cache, own in zip(sentences["caches"], state)
        ]
        if mask is not None:
            fixed, grown = state[0]["key"].shape[2], (index + 1) * selection.width
            mask = mask[:, :, : fixed if fixed_shapes else grown]
        with keras.StatelessScope(state_mapping=weights):
            logits, caches = model.decode_step(
                ids,
                index,
                caches,
                mask=mask,
                fixed_shapes=fixed_shapes,
                output_projection=projection,
            )
        return logits, [cache["self"] for cache in caches]

    def grow(state, length):
        def pad(cache):
            room = length * selection.width - cache.shape[2]
            return ops.pad(cache, ((0, 0), (0, 0), (0, room), (0, 0)))

        return keras.tree.map_structure(pad, state)

    count = 0
    if at_once:
        # What all prompts have, that is: the rest of longer ones takes steps.
        count = _shared_length(source_ids, max_lengths)
        tokens = with_start(source_ids[:, :-1], options.start_id)
        empty = [{"self": cache} for cache in state]

        def filled(tokens):
            with keras.StatelessScope(state_mapping=weights):
                caches = model.fill_caches(tokens, empty, fixed_shapes)
            # All hypotheses have the same prompt.
            return keras.tree.map_structure(
                lambda cache: ops.repeat(cache, selection.width, axis=2),
                [cache["self"] for cache in caches],
            )

        if fixed_shapes:
            # Steps write anew what lies past the shared part.
            state = grow(filled(tokens[:, :cache_length]), stages[0])
        else:
            state = ops.cond(
                count > 0, lambda: filled(tokens[:, :count]), lambda: state
            )

    return search(
        step,
        state,
        sentences,
        selection,
        applied,
        banned,
        start_index=count,
        stages=stages,
        grow=grow,
        start_id=options.start_id,
        end_id=options.end_id,
    )


def _selection(options, has_dead_ends):
    if options.sample:
        width, count = options.num_hypotheses, None
        if not isinstance(width, int):
            width, count = options.beam_size, width
        return Sampling(
            width,
            options.temperature,
            options.top_k,
            options.top_p,
            options.seed,
            options.penalty_form,
            count,
        )
    if options.beam_size == 1:
        return Sampling(temperature=0, penalty_form=options.penalty_form)
    return BeamSearch(
        options.beam_size,
        options.num_hypotheses,
        options.penalty_form,
        options.stop_when,
        has_dead_ends,
    )


def _limits(model, source_ids, options):
    """The most tokens of each answer `(B,)`, and what none of them exceeds."""
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


def _rules(model, num_columns, options, begins_with_given):
    """What may be generated.

    Returns:
        A tuple of the rules of each step, in order; tokens that are never generated;
        and whether there may be steps at which nothing is allowed.
    """
    vocabulary_size = model.target_embedding.vocabulary_size
    tokens = {"start_id": [options.start_id], "end_id": [options.end_id]}
    for name, ids in {**tokens, "banned_ids": options.banned_ids}.items():
        if unknown := [i for i in ids if not 0 <= i < vocabulary_size]:
            raise ValueError(
                f"{name} must be between 0 and {vocabulary_size - 1}; received "
                f"{unknown}."
            )
    # Logits past the vocabulary are of no tokens.
    room = range(vocabulary_size, num_columns)
    banned = {0, options.start_id, *options.banned_ids, *room}
    # A rule bans those that another may force.
    forced = {options.end_id} if options.force_end else set()
    if begins_with_given:
        forced |= banned - {0, *room}
    applied = [rules.never(sorted(banned & forced))] if banned & forced else []
    if options.min_length is not None:
        applied.append(rules.at_least(options.min_length, options.end_id))
    if options.no_repeat_ngram_size is not None:
        applied.append(rules.no_repeat(options.no_repeat_ngram_size))
    if options.allowed_tokens is not None:
        applied.append(rules.only(options.allowed_tokens, vocabulary_size))
    if begins_with_given:
        applied.append(rules.begin_with_given(free=model.decoder_only))
    if options.force_end:
        applied.append(rules.force_end(options.end_id))
    ends_late = {options.end_id} if options.min_length is not None else set()
    has_dead_ends = (
        options.allowed_tokens is not None
        or options.no_repeat_ngram_size is not None
        or len(banned | ends_late) == num_columns
    )
    return applied, sorted(banned - forced), has_dead_ends


def _shared_length(prompts, max_lengths):
    """How many tokens all prompts have, before an answer can end."""
    in_all = ops.all(ops.not_equal(prompts, 0), axis=0)
    shared = ops.sum(ops.cumprod(ops.cast(in_all, "int32")))
    before_last = ops.maximum(ops.min(max_lengths, initial=2**30) - 1, 0)
    return ops.minimum(ops.cast(shared, "int32"), before_last)


def _stages(batch, longest, width, room):
    """Lengths of caches of fixed shape, one after the other: a quarter, a half, all.

    A step reads caches in full, and most answers are far shorter than the longest that
    may be. Each length is another loop to compile: for one sentence, whose caches are
    small beside the weights, that doesn't pay, nor for greedy search on JAX, which
    compiles while its caller waits. The first has the room for a prompt.
    """
    are_static = isinstance(batch, int) and isinstance(longest, int)
    on_jax = keras.backend.backend() == "jax"
    if not are_static or batch == 1 or (on_jax and width == 1):
        return [longest]
    room = min(room, longest)
    return sorted({max(-(-longest // part), room) for part in (4, 2, 1)})
