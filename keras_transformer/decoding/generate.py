"""From source ids to target ids with a Transformer."""

from keras import ops

from keras_transformer.decoding.beam_search import BeamSearch
from keras_transformer.decoding.cached_decoder import CachedDecoder
from keras_transformer.decoding.limits import limits
from keras_transformer.decoding.options import as_options
from keras_transformer.decoding.phrase_beam import PhraseBeamSearch
from keras_transformer.decoding.phrases import as_phrases
from keras_transformer.decoding.prefill import start_decoding
from keras_transformer.decoding.rules import rules_of
from keras_transformer.decoding.sampling import Sampling
from keras_transformer.decoding.search import search

# The furthest hypothesis is one that no model wants: there must be another one.
_LEAST_BEAM_OF_PHRASES = 2


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
    source_ids = _checked_ids(model, source_ids, options)
    max_lengths, longest = limits(model, source_ids, options)
    projection = model.target_embedding.output_projection()
    begins_with = source_ids if model.decoder_only else options.target_prefix
    rules, banned_ids, have_dead_ends = rules_of(
        options,
        model.target_embedding.vocabulary_size,
        projection.num_columns,
        begins_with_given=begins_with is not None,
        given_is_free=model.decoder_only,
    )
    selection = _selection(options, have_dead_ends)
    decoder = CachedDecoder(
        model, projection, selection.width, fixed_shapes=options.fixed_shapes
    )
    if begins_with is not None:
        begins_with = ops.convert_to_tensor(begins_with, "int32")
    start = start_decoding(
        decoder, source_ids, begins_with, max_lengths, longest, options.start_id
    )
    sentences = _sentences(source_ids, max_lengths, begins_with, options)
    if options.phrases is not None:
        never = {options.start_id, options.end_id, *options.banned_ids}
        sentences["phrases"] = as_phrases(
            options.phrases,
            options.phrase_bonus,
            False if options.sample else options.force_phrases,
            max_lengths - int(options.force_end),
            model.target_embedding.vocabulary_size,
            never,
        )
    if options.sample:
        sentences |= selection.options_of_sentences(ops.shape(source_ids)[0])
    return search(
        decoder.step,
        start.changing,
        {**sentences, "caches": start.read},
        selection,
        rules,
        banned_ids,
        start_index=start.num_forced,
        start_scores=start.scores,
        stages=start.lengths,
        grow=decoder.grow,
        start_id=options.start_id,
        end_id=options.end_id,
    )


def _checked_ids(model, source_ids, options):
    """The source's ids as a tensor `(B, S)`."""
    if model.decoder_only and options.target_prefix is not None:
        raise ValueError("A language model's prompt is its prefix: no target_prefix.")
    source_ids = ops.convert_to_tensor(source_ids, "int32")
    if len(source_ids.shape) != 2:
        raise ValueError(
            f"source_ids must have the shape (B, S); received {source_ids.shape}."
        )
    return source_ids


def _sentences(source_ids, max_lengths, begins_with, options):
    """What is known of each sentence, tensors `(B, ...)` by name; see `search`."""
    batch = ops.shape(source_ids)[0]
    penalty = ops.reshape(ops.cast(options.length_penalty, "float32"), (-1, 1))
    sentences = {
        "source_ids": source_ids,
        "max_lengths": max_lengths,
        "length_penalty": ops.broadcast_to(penalty, (batch, 1)),
    }
    if hasattr(options.min_length, "shape"):
        min_lengths = ops.cast(options.min_length, "int32")
        sentences["min_length"] = ops.broadcast_to(min_lengths, (batch,))
    if begins_with is not None:
        sentences["given"] = ops.pad(begins_with, ((0, 0), (0, 1)))
    return sentences


def _selection(options, have_dead_ends):
    """Which hypotheses go on: a `BeamSearch` or a `Sampling`."""
    has_phrases = options.phrases is not None
    must_have_phrases = has_phrases and options.force_phrases is not False
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
    if options.beam_size == 1 and not must_have_phrases:
        return Sampling(temperature=0, penalty_form=options.penalty_form)
    width = options.beam_size
    if must_have_phrases:
        width = max(width, _LEAST_BEAM_OF_PHRASES)
    return (PhraseBeamSearch if has_phrases else BeamSearch)(
        width,
        options.num_hypotheses,
        options.penalty_form,
        options.stop_when,
        has_dead_ends=have_dead_ends,
    )
