"""Beam search: several hypotheses a sentence, and a set of finished ones."""

from keras import ops

from keras_transformer.decoding.search import write_token
from keras_transformer.kernels import ban, best_tokens, take_rows
from keras_transformer.kernels.impossible import IMPOSSIBLE


def length_penalty(length, alpha, form="gnmt"):
    """What log-probabilities are divided by: `((5 + length) / 6) ** alpha`.

    Args:
        length: Number of tokens, the end token included; any shape.
        alpha: 0 prefers short answers; the paper's 0.6 evens lengths out.
        form: `"gnmt"`, the paper's, or `"power"`: `length ** alpha`, that of Marian,
            Transformers and CTranslate2.

    Returns:
        A float32 tensor of the shape of `length`. That of an empty answer is that of
        one token.

    Reference: [GNMT](https://arxiv.org/abs/1609.08144), equation 14.
    """
    length = ops.maximum(ops.cast(length, "float32"), 1.0)
    return (length if form == "power" else (5.0 + length) / 6.0) ** alpha


class BeamSearch:
    """Which hypotheses go on: the most probable `beam_size` of each sentence.

    Each step extends every live hypothesis by one token and keeps the `2 beam_size`
    best of a sentence. Those of the first `beam_size` that end join the finished set,
    ranked by length-normalised log-probability; the best `beam_size` that don't end
    live on. A hypothesis that reaches its sentence's maximum length is finished as it
    is, and so is one after which nothing is allowed. A sentence is done when its
    finished set is full and `stop_when` holds, or when no hypothesis lives.

    The model's caches are never moved when hypotheses change places: the keys of all
    hypotheses stay where they were written, and `"paths"` remembers at which of a
    position's `beam_size` places each hypothesis was then.

    Args:
        beam_size: Number of live hypotheses per sentence.
        num_hypotheses: Number of answers per sentence, at most `beam_size`; an integer
            or a scalar tensor.
        penalty_form: `"gnmt"` or `"power"`, see `length_penalty`.
        stop_when: When a sentence with a full finished set is done. `"certain"`: when
            no live hypothesis can still enter the `num_hypotheses` best of it, even if
            all its further tokens were certain. `"likely"`: when none would enter the
            set if it ended at once, as in Transformers. `"full"`: at once.
        has_dead_ends: Whether there may be steps at which nothing is allowed. They are
            looked for in the whole vocabulary.

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 6.1.
    """

    # A finished set is full where its last answer ranks above this.
    _least_rank = IMPOSSIBLE / 2

    def __init__(
        self,
        beam_size,
        num_hypotheses=1,
        penalty_form="gnmt",
        stop_when="certain",
        *,
        has_dead_ends=True,
    ):
        self.width = beam_size
        self.num_hypotheses = num_hypotheses
        self.penalty_form = penalty_form
        self.stop_when = stop_when
        self.has_dead_ends = has_dead_ends

    def start(self, ids, scores=0.0):
        """The values that the loop keeps, at first, of answers that begin with `ids`.

        Args:
            ids: int32 `(B, L)`, zeros where nothing is known yet.
            scores: What these count, float32 `(B,)`, or 0.
        """
        # Only the first hypothesis lives at first: the others would be its copies.
        others = ops.cast(ops.arange(self.width) > 0, "float32")
        batch, longest = ops.shape(ids)
        shape = batch, self.width, longest
        no_ids = ops.zeros(shape, "int32")
        scores = ops.reshape(scores, (-1, 1)) + others * IMPOSSIBLE
        return {
            "ids": ops.broadcast_to(ids[:, None], shape),
            "paths": no_ids,
            "scores": ops.broadcast_to(scores, (batch, self.width)),
            "finished_ids": no_ids,
            "finished_scores": ops.full((batch, self.width), IMPOSSIBLE, "float32"),
        }

    def mask(self, values, index):
        """Which steps of all hypotheses belong to each, `(B, N, L N)`."""
        places = ops.arange(self.width, dtype="int32")
        paths = write_token(values["paths"], index, places[None])
        chosen = ops.equal(paths[..., None], places)
        length = ops.shape(paths)[2]
        return ops.reshape(chosen, (-1, self.width, length * self.width))

    def extend(self, values, logits, normalizer, index, sentences, banned_ids, end_id):
        """The values after one more token; `end_id` may be `(B, 1)`."""
        width, max_lengths = self.width, sentences["max_lengths"][:, None]
        scores = values["scores"][..., None] - normalizer
        scores, place, tokens = self._continuations(
            logits, scores, values, sentences, banned_ids
        )
        length = index + 1
        ids = write_token(take_rows(values["ids"], place), index, tokens)
        places = ops.arange(width, dtype="int32")[None]
        paths = write_token(values["paths"], index, places)

        # The best that don't end live on.
        ends = tokens == end_id
        live_scores, order = self._best_live(ops.where(ends, IMPOSSIBLE, scores))
        live_ids = take_rows(ids, order)
        live_place = ops.take_along_axis(place, order, axis=1)
        carried = self._carried(values, place, tokens, sentences)
        live_carried = {name: take_rows(each, order) for name, each in carried.items()}
        at_limit = length >= max_lengths

        # Those that end, and at the maximum length all others, join the finished.
        first = ops.arange(2 * width, dtype="int32") < width
        ending = ends & first & (scores > IMPOSSIBLE / 2)
        cut_off = at_limit & (live_scores > IMPOSSIBLE / 2)
        penalty = self._penalty(length, sentences)
        candidate_scores = [
            values["finished_scores"],
            ops.where(
                ending, self._ranks(scores / penalty, carried, sentences), IMPOSSIBLE
            ),
            ops.where(
                cut_off,
                self._ranks(live_scores / penalty, live_carried, sentences),
                IMPOSSIBLE,
            ),
        ]
        candidate_ids = [values["finished_ids"], ids, live_ids]
        if self.has_dead_ends:
            candidate_scores.append(
                self._at_dead_ends(values, logits, index, sentences, banned_ids)
            )
            candidate_ids.append(values["ids"])
        finished_scores, best = ops.top_k(
            ops.concatenate(candidate_scores, axis=1), width
        )
        finished_ids = take_rows(ops.concatenate(candidate_ids, axis=1), best)

        done = finished_scores[:, -1:] > self._least_rank
        best_live = ops.max(live_scores, axis=1, keepdims=True)
        if self.stop_when == "likely":
            done = done & (finished_scores[:, -1:] >= best_live / penalty)
        elif self.stop_when == "certain":
            rank = ops.reshape(self.num_hypotheses, (1,)) - 1
            last_answer = ops.take(finished_scores, rank, axis=1)
            bound = self._bound(live_scores, live_carried, length, sentences)
            done = done & (last_answer >= bound)
        nobody_lives = best_live <= IMPOSSIBLE / 2
        # What isn't a number has no order: it is the score of all answers then.
        is_broken = ops.any(ops.isnan(normalizer), axis=1)
        is_broken = is_broken | ops.isnan(values["finished_scores"][:, :1])
        finished_scores = ops.where(is_broken, float("nan"), finished_scores)
        finished_ids = ops.where(is_broken[..., None], 0, finished_ids)
        done = (done | at_limit | nobody_lives | is_broken)[:, 0] | values["done"]
        return {
            "tokens": ops.take_along_axis(tokens, order, axis=1),
            "ids": live_ids,
            "paths": take_rows(paths, live_place),
            "scores": ops.where(done[:, None], IMPOSSIBLE, live_scores),
            "finished_ids": finished_ids,
            "finished_scores": finished_scores,
            "done": done,
            **live_carried,
        }

    def _continuations(self, logits, scores, values, sentences, banned_ids):
        """The 2N continuations that are looked at, the first ones first.

        Returns:
            A tuple of scores, hypotheses and tokens, each `(B, 2 N)`.
        """
        return best_tokens(logits, 2 * self.width, scores, banned_ids)

    def _best_live(self, scores):
        """Scores of the N continuations that live on, and which they are."""
        return ops.top_k(scores, self.width)

    def _carried(self, values, place, tokens, sentences):
        """What else the loop keeps of continuations, `(B, 2 N, ...)` by name."""
        return {}

    def _ranks(self, scores, carried, sentences):
        """What finished answers are ranked by."""
        return scores

    def _bound(self, scores, carried, length, sentences):
        """What no answer of the live hypotheses can rank above, `(B, 1)`."""
        penalty = self._penalty(sentences["max_lengths"][:, None], sentences)
        return ops.max(scores, axis=1, keepdims=True) / penalty

    def _at_dead_ends(self, values, logits, index, sentences, banned_ids):
        """The scores `(B, N)` of live hypotheses after which nothing is allowed."""
        best = ops.max(ban(logits, banned_ids), axis=-1)
        lives = values["scores"] > IMPOSSIBLE / 2
        scores = values["scores"] / self._penalty(index, sentences)
        return ops.where(lives & (best <= IMPOSSIBLE / 2), scores, IMPOSSIBLE)

    def _penalty(self, length, sentences):
        return length_penalty(length, sentences["length_penalty"], self.penalty_form)

    def answers(self, values, sentences):
        """The best of the finished hypotheses; empty ones where there are too few."""
        ids = values["finished_ids"][:, : self.num_hypotheses]
        scores = values["finished_scores"][:, : self.num_hypotheses]
        is_none = scores <= IMPOSSIBLE / 2
        return {"ids": ops.where(is_none[..., None], 0, ids), "scores": scores}
