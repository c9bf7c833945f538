"""From source ids to target ids with a Transformer."""

import numbers

import keras
from keras import ops

from keras_transformer.decoding import rules
from keras_transformer.decoding.beam_search import BeamSearch
from keras_transformer.decoding.sampling import Sampling
from keras_transformer.decoding.search import search, with_start


def generate(
    model,
    source_ids,
    *,
    beam_size=4,
    num_hypotheses=1,
    length_penalty=0.6,
    penalty_form="gnmt",
    stop_when="certain",
    min_length=None,
    max_length=None,
    extra_length=50,
    force_end=False,
    target_prefix=None,
    banned_ids=(),
    no_repeat_ngram_size=None,
    allowed_tokens=None,
    sample=False,
    temperature=1.0,
    top_k=None,
    top_p=1.0,
    seed=0,
    start_id=2,
    end_id=3,
    longest=None,
    fixed_shapes=None,
):
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
        beam_size: Number of hypotheses that are followed at once; 1 is greedy search.
        num_hypotheses: Number of answers per sentence, at most `beam_size`, in a beam
            search also a scalar tensor; with `sample`, number of answers drawn. Or with
            `sample` a tensor, scalar or `(B,)`, whose values are at most `beam_size`:
            there are `beam_size` answers then, and those past a sentence's number have
            the score -1e9.
        length_penalty: Exponent alpha of the length penalty: a number or a tensor,
            scalar or `(B,)`.
        penalty_form: The penalty is `((5 + length) / 6) ** alpha` with `"gnmt"`, the
            paper's, and `length ** alpha` with `"power"`, as in Marian.
        stop_when: When a beam search of a sentence ends: `"certain"`, when no better
            answer is possible, or, earlier, `"likely"` or `"full"`, see `BeamSearch`.
        min_length: Fewest tokens of an answer, its end token included: an integer, or
            an integer tensor, scalar or `(B,)`.
        max_length: Most tokens of an answer, its end token included: an integer, an
            integer tensor, scalar or `(B,)`; by default the length of its own source
            plus `extra_length`.
        extra_length: Tokens that an answer may be longer than its source; the paper's
            are 50.
        force_end: Whether an answer of `max_length` tokens has the end token as its
            last, at no cost, instead of being cut off.
        target_prefix: Integer ids `(B, P)`, 0 is padding: tokens that each answer
            begins with. They count in its length and score.
        banned_ids: Tokens that never come, but where a prefix or prompt has them.
            Padding and `start_id` are always banned.
        no_repeat_ngram_size: No such number of tokens in a row comes twice.
        allowed_tokens: A function `(ids (B, N, L), index, source_ids (B, S)) -> bool
            (B, N, V)` in `keras.ops`: which tokens may come at position `index` of each
            of the N hypotheses, whose tokens before it are `ids[..., :index]`; for
            answers that must keep to a grammar.
        sample: Whether to draw tokens at random; `beam_size` is of no account then.
        temperature: With `sample`: what logits are divided by, a number or a tensor,
            scalar or `(B,)`. In a tensor 0 takes the most probable token.
        top_k: With `sample`: number of tokens to draw from, the most probable.
        top_p: With `sample`: draws from the fewest tokens that have this probability,
            a number or a tensor, scalar or `(B,)`.
        seed: With `sample`: an integer, or an integer tensor, scalar or `(B,)`; the
            same seed gives a sentence the same answers, in any batch, on every backend.
        start_id: Token that starts an answer.
        end_id: Token that ends an answer, but not within its prefix or prompt.
        longest: An integer or scalar tensor not less than any `max_length`, needed
            where that is a tensor.
        fixed_shapes: Whether all shapes are the same at each step, as compilation by
            XLA needs. By default where the backend isn't TensorFlow.

    Returns:
        A dict: `"ids"` int32 `(B, num_hypotheses, L)` with the end token and then
        zeros, best first; `"scores"` float32 `(B, num_hypotheses)`, log-probabilities
        divided by the length penalty.

    Raises:
        ValueError: For an option out of range; it is named.

    Example:

    >>> answers = kt.decoding.generate(model, np.array([[17, 5, 3]]), beam_size=4)
    >>> answers["ids"][0, 0]

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 6.1.
    """
    check_search(
        beam_size=beam_size,
        num_hypotheses=num_hypotheses,
        length_penalty=length_penalty,
        penalty_form=penalty_form,
        stop_when=stop_when,
        min_length=min_length,
        max_length=max_length,
        extra_length=extra_length,
        no_repeat_ngram_size=no_repeat_ngram_size,
        allowed_tokens=allowed_tokens,
        sample=sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
    )
    if model.decoder_only and target_prefix is not None:
        raise ValueError("A language model's prompt is its prefix: no target_prefix.")
    source_ids = ops.convert_to_tensor(source_ids, "int32")
    if len(source_ids.shape) != 2:
        raise ValueError(
            f"source_ids must have the shape (B, S); received {source_ids.shape}."
        )
    batch, source_length = ops.shape(source_ids)
    # What answers begin with.
    given = source_ids if model.decoder_only else target_prefix
    max_lengths, longest = _limits(model, source_ids, max_length, extra_length, longest)
    projection = model.target_embedding.output_projection()
    applied, banned = _rules(
        model,
        projection.num_columns,
        banned_ids,
        start_id=start_id,
        end_id=end_id,
        force_end=force_end,
        min_length=min_length,
        no_repeat_ngram_size=no_repeat_ngram_size,
        allowed_tokens=allowed_tokens,
        begins_with_given=given is not None,
    )
    if sample:
        is_number = isinstance(num_hypotheses, numbers.Integral)
        width, count = (
            (num_hypotheses, None) if is_number else (beam_size, num_hypotheses)
        )
        selection = Sampling(
            width, temperature, top_k, top_p, seed, penalty_form, count
        )
    elif beam_size == 1:
        selection = Sampling(temperature=0, penalty_form=penalty_form)
    else:
        selection = BeamSearch(beam_size, num_hypotheses, penalty_form, stop_when)

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
    penalty = ops.reshape(ops.cast(length_penalty, "float32"), (-1, 1))
    sentences = {
        "source_ids": source_ids,
        "max_lengths": max_lengths,
        "length_penalty": ops.broadcast_to(penalty, (batch, 1)),
        "caches": caches,
    }
    if sample:
        sentences |= selection.options_of_sentences(batch)
    if hasattr(min_length, "shape"):
        min_lengths = ops.cast(min_length, "int32")
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
        tokens = with_start(source_ids[:, :-1], start_id)
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
        start_id=start_id,
        end_id=end_id,
    )


def _limits(model, source_ids, max_length, extra_length, longest):
    """The most tokens of each answer `(B,)`, and what none of them exceeds."""
    batch, source_length = ops.shape(source_ids)
    if max_length is None:
        lengths = ops.sum(ops.cast(ops.not_equal(source_ids, 0), "int32"), axis=1)
        max_lengths = lengths + extra_length
        if not model.decoder_only:
            # A row of padding alone, which fills a batch up, is over at once.
            max_lengths = ops.where(lengths > 0, max_lengths, 1)
        longest = source_length + extra_length
    else:
        max_lengths = ops.broadcast_to(ops.cast(max_length, "int32"), (batch,))
        longest = max_length if longest is None else longest
    if limit := model.max_length:
        # Learned positions end.
        least = ops.minimum if ops.is_tensor(longest) else min
        longest = least(longest, limit)
        max_lengths = ops.minimum(max_lengths, limit)
    return max_lengths, longest


def _rules(
    model,
    num_columns,
    banned_ids,
    *,
    start_id,
    end_id,
    force_end,
    min_length,
    no_repeat_ngram_size,
    allowed_tokens,
    begins_with_given,
):
    """What may come: the rules of each step in order, and tokens that never may."""
    vocabulary_size = model.target_embedding.vocabulary_size
    if unknown := [i for i in banned_ids if not 0 <= i < vocabulary_size]:
        raise ValueError(
            f"banned_ids must be between 0 and {vocabulary_size - 1}; received "
            f"{unknown}."
        )
    # Logits past the vocabulary are of no tokens.
    room = range(vocabulary_size, num_columns)
    banned = {0, start_id, *map(int, banned_ids), *room}
    # A rule bans those that another may force.
    forced = {end_id} if force_end else set()
    if begins_with_given:
        forced |= banned - {0, *room}
    applied = [rules.never(sorted(banned & forced))] if banned & forced else []
    if min_length is not None:
        applied.append(rules.at_least(min_length, end_id))
    if no_repeat_ngram_size is not None:
        applied.append(rules.no_repeat(no_repeat_ngram_size))
    if allowed_tokens is not None:
        applied.append(rules.only(allowed_tokens, vocabulary_size))
    if begins_with_given:
        applied.append(rules.begin_with_given(free=model.decoder_only))
    if force_end:
        applied.append(rules.force_end(end_id))
    return applied, sorted(banned - forced)


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


def check_search(
    *,
    beam_size=1,
    num_hypotheses=1,
    length_penalty=0.0,
    penalty_form="gnmt",
    stop_when="certain",
    min_length=None,
    max_length=None,
    extra_length=50,
    force_end=False,
    banned_ids=(),
    no_repeat_ngram_size=None,
    allowed_tokens=None,
    sample=False,
    temperature=1.0,
    top_k=None,
    top_p=1.0,
):
    """Raises a ValueError for options that no search can follow.

    Only numbers are looked at, not tensors, whose values a graph doesn't know.
    """

    def check(name, value, fits, words):
        if isinstance(value, (int, float)) and not fits(value):
            raise ValueError(f"{name} must {words}; received {name}={value}.")

    def positive(value):
        return value >= 1

    check("beam_size", beam_size, positive, "be positive")
    most = float("inf") if sample else beam_size
    check(
        "num_hypotheses",
        num_hypotheses,
        lambda n: 1 <= n <= most,
        f"be between 1 and beam_size={beam_size}",
    )
    check("length_penalty", length_penalty, lambda a: a >= 0, "not be negative")
    check("max_length", max_length, positive, "be positive")
    check("extra_length", extra_length, positive, "be positive")
    check("min_length", min_length, positive, "be positive")
    if isinstance(max_length, int):
        check(
            "min_length",
            min_length,
            lambda n: n <= max_length,
            f"be at most max_length={max_length}",
        )
    check("no_repeat_ngram_size", no_repeat_ngram_size, positive, "be positive")
    if allowed_tokens is not None and not callable(allowed_tokens):
        raise ValueError(
            "allowed_tokens must be a function (ids, index, source_ids) -> mask; "
            f"received allowed_tokens={allowed_tokens!r}. Tokens that never come go to "
            "banned_ids."
        )
    for name, value, known in (
        ("penalty_form", penalty_form, ("gnmt", "power")),
        ("stop_when", stop_when, ("certain", "likely", "full")),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}; received {value!r}.")
    check("temperature", temperature, lambda t: t > 0, "be positive")
    check("top_k", top_k, positive, "be positive")
    check("top_p", top_p, lambda p: 0 < p <= 1, "be in (0, 1]")
