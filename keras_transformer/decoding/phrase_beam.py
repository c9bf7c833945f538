"""Beam search for answers that must have some phrases: dynamic beam allocation."""

from keras import ops

from keras_transformer.decoding.beam_search import BeamSearch
from keras_transformer.decoding.phrases import (
    advance,
    attainable,
    has_whole,
    lacks,
    next_of_phrases,
    spelled,
    unfinished,
)
from keras_transformer.kernels import best_tokens, take_rows
from keras_transformer.kernels.impossible import IMPOSSIBLE

# By so much an answer that lacks a phrase which it must have ranks below others: by
# more than any log-probability of a whole answer.
_LACKING = 1e5


class PhraseBeamSearch(BeamSearch):
    """Beam search where `sentences` has `"phrases"`, from `as_phrases`."""

    _least_rank = -_LACKING / 2

    def _continuations(self, logits, scores, values, sentences, banned_ids):
        known = sentences["phrases"]
        if "forced" not in known:
            return super()._continuations(logits, scores, values, sentences, banned_ids)
        of_tokens = logits, scores, banned_ids
        return continuations(of_tokens, values["phrases"], known, self.width)

    def _best_live(self, scores):
        # In their order, which isn't that of scores where phrases are forced.
        count = ops.shape(scores)[1]
        numbers = ops.arange(count, dtype="int32")
        _, order = ops.top_k(
            ops.where(scores > IMPOSSIBLE / 2, count - numbers, -numbers), self.width
        )
        return ops.take_along_axis(scores, order, axis=1), order

    def _carried(self, values, place, tokens, sentences):
        state = take_rows(values["phrases"], place)
        return {"phrases": advance(state, tokens, sentences["phrases"])}

    def _ranks(self, scores, carried, sentences):
        known = sentences["phrases"]
        if "forced" not in known:
            return scores
        return ops.where(lacks(carried["phrases"], known), scores - _LACKING, scores)

    def _bound(self, scores, carried, length, sentences):
        gained = attainable(carried["phrases"], sentences["phrases"])
        best = ops.max(scores + gained, axis=1, keepdims=True)
        # A positive sum is divided by the least penalty that there can be.
        longest = sentences["max_lengths"][:, None]
        return ops.maximum(
            best / self._penalty(length, sentences),
            best / self._penalty(longest, sentences),
        )

    def _at_dead_ends(self, values, logits, index, sentences, banned_ids):
        state, known = values["phrases"], sentences["phrases"]
        scores = values["scores"] - unfinished(state, known)
        scores = super()._at_dead_ends(
            {**values, "scores": scores}, logits, index, sentences, banned_ids
        )
        return self._ranks(scores, values, sentences)

    def answers(self, values, sentences):
        found = super().answers(values, sentences)
        scores = found["scores"]
        is_lacking = (scores < self._least_rank) & (scores > -2 * _LACKING)
        return {**found, "scores": ops.where(is_lacking, scores + _LACKING, scores)}


def continuations(of_tokens, state, phrases, width):
    """The 2N continuations of each sentence that are looked at, the first ones first.

    Where phrases are forced, each number of phrases that hypotheses have, begun ones
    counted apart, has places in the beam of its own: the best of each comes first, then
    the second best of each. Otherwise a beam would lose the phrases, whose tokens are
    seldom the likeliest. The furthest hypothesis always goes on, so that an answer with
    all phrases is found.

    Args:
        of_tokens: Tuple of the logits `(B, N, V)`, of the hypotheses' scores
            `(B, N, 1)` and of the tokens that are never generated.
        state: What hypotheses have of the phrases.
        phrases: From `as_phrases`, with `"forced"`.
        width: Number N of hypotheses.

    Returns:
        A tuple of scores, hypotheses and tokens, each `(B, 2 N)`.

    Reference: [Fast Lexically Constrained Decoding with Dynamic Beam
    Allocation](https://arxiv.org/abs/1804.06609), and its vectorized form
    [(Hu et al. 2019)](https://aclanthology.org/N19-1090/).
    """
    scores, place, tokens = _candidates(of_tokens, state, phrases, width)
    order = ops.argsort(-scores, axis=1)
    scores, place, tokens = (
        ops.take_along_axis(each, order, axis=1) for each in (scores, place, tokens)
    )
    after = advance(take_rows(state, place), tokens, phrases)
    had, counts = has_whole(after, phrases), spelled(after, phrases)
    has_begun = ops.any(ops.logical_not(had) & (counts > 0), axis=-1)
    bank = 2 * ops.sum(ops.cast(had, "int32"), axis=-1) + ops.cast(has_begun, "int32")
    progress = ops.sum(ops.where(had, counts, 0), axis=-1)
    progress += ops.max(ops.where(had, 0, counts), axis=-1, initial=0)
    is_possible = scores > IMPOSSIBLE / 2
    progress = ops.where(is_possible, progress, -1)
    is_furthest = progress == ops.max(progress, axis=1, keepdims=True)
    is_first = ops.cumsum(ops.cast(is_furthest, "int32"), axis=1) == 1
    banks = 2 * ops.shape(had)[-1] + 2
    in_bank = bank[..., None] == ops.arange(banks, dtype="int32")
    ranks = ops.cumsum(ops.cast(in_bank, "int32"), axis=1)
    rank = ops.sum(ops.where(in_bank, ranks, 0), axis=-1)
    turns = bank - banks * rank
    turns = ops.where(is_furthest & is_first, banks, turns)
    numbers = ops.arange(ops.shape(scores)[1], dtype="int32")
    lowest = -banks * (numbers[-1] + 3)
    # No two are equal, as some backends' `top_k` has no order then.
    turns = ops.where(is_possible, turns, lowest - numbers)
    turns = ops.where(phrases["forced"], turns, -numbers)
    _, order = ops.top_k(turns, 2 * width)
    return tuple(
        ops.take_along_axis(each, order, axis=1) for each in (scores, place, tokens)
    )


def _candidates(of_tokens, state, phrases, width):
    """Each hypothesis's best tokens, and those that go on with a phrase."""
    logits, scores, banned_ids = of_tokens
    batch, size = ops.shape(logits)[0], logits.shape[-1]
    count = min(2 * width, size)
    rows = ops.reshape(logits, (-1, 1, size))
    of_rows = ops.reshape(scores, (-1, 1, 1))
    own, _, own_tokens = best_tokens(rows, count, of_rows, banned_ids)
    own = ops.reshape(own, (batch, width, count))
    own_tokens = ops.reshape(own_tokens, (batch, width, count))
    next_tokens = next_of_phrases(state, phrases)
    values = ops.take_along_axis(logits, next_tokens, axis=-1) + scores
    is_known = ops.any(next_tokens[..., None] == own_tokens[:, :, None], axis=-1)
    numbers = ops.arange(ops.shape(next_tokens)[-1], dtype="int32")
    same = next_tokens[..., None] == next_tokens[:, :, None]
    is_second = ops.any(same & (numbers[:, None] > numbers), axis=-1)
    is_new = (next_tokens > 0) & ops.logical_not(is_known | is_second)
    values = ops.where(is_new, values, IMPOSSIBLE)
    scores = ops.concatenate([own, values], axis=-1)
    tokens = ops.concatenate([own_tokens, next_tokens], axis=-1)
    each = ops.shape(scores)[-1]
    place = ops.arange(width * each, dtype="int32") // each
    flat = (batch, width * each)
    place = ops.broadcast_to(place[None], flat)
    return ops.reshape(scores, flat), place, ops.reshape(tokens, flat)
