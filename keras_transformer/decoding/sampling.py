"""Sampling, and greedy search: hypotheses that go on alone."""

from keras import ops

from keras_transformer.decoding.beam_search import length_penalty
from keras_transformer.decoding.search import write_token
from keras_transformer.decoding.vocabulary import IMPOSSIBLE, ban, best_tokens, draw

# A logit whose probability is zero at any temperature.
_NEVER = -1e30
# Numbers of further attempts follow those of so many steps.
_STEPS = 2**16


class Sampling:
    """Which token each hypothesis goes on with: one drawn by its probability.

    With `temperature` 0 it is the most probable one, which is greedy search. What is
    drawn depends on the seed, the step and the number of the hypothesis alone, so a
    sentence's answer doesn't depend on the others of its batch.

    Args:
        num_hypotheses: Number N of answers per sentence, drawn independently.
        temperature: What logits are divided by: below 1 the likely become likelier; 0
            takes the most probable token.
        top_k: Number of tokens to draw from, the most probable; all by default.
        top_p: Draws from the fewest tokens whose probabilities sum up to this or more,
            and those as probable as the last of them.
        seed: Integer or scalar integer tensor.
        penalty_form: `"gnmt"` or `"power"`, see `length_penalty`.

    Reference: [The Curious Case of Neural Text Degeneration](https://arxiv.org/abs/1904.09751),
    section 3.1, for `top_p`.
    """

    def __init__(
        self,
        num_hypotheses=1,
        temperature=1.0,
        top_k=None,
        top_p=1.0,
        seed=0,
        penalty_form="gnmt",
    ):
        self.width = num_hypotheses
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.seed = seed
        self.penalty_form = penalty_form

    def start(self, ids):
        """The values that the loop keeps, at first, of answers that begin with `ids`.

        Args:
            ids: int32 `(B, L)`, zeros where nothing is known yet.
        """
        batch, longest = ops.shape(ids)
        lengths = ops.sum(ops.cast(ops.not_equal(ids, 0), "int32"), axis=1)
        return {
            "ids": ops.broadcast_to(ids[:, None], (batch, self.width, longest)),
            "scores": ops.zeros((batch, self.width), "float32"),
            "lengths": ops.broadcast_to(lengths[:, None], (batch, self.width)),
            "ended": ops.zeros((batch, self.width), "bool"),
        }

    def mask(self, values, index):
        """Which steps of all hypotheses belong to each, `(B, N, L N)`."""
        if self.width == 1:
            return None
        own = ops.eye(self.width, dtype="bool")[None, :, None, :]
        batch, _, length = ops.shape(values["ids"])
        written = ops.arange(length, dtype="int32") <= index
        own = ops.logical_and(own, written[None, None, :, None])
        own = ops.reshape(own, (1, self.width, length * self.width))
        return ops.broadcast_to(own, (batch, self.width, length * self.width))

    def extend(self, values, logits, normalizer, index, sentences, banned_ids, end_id):
        """The values after one more token; `end_id` may be `(B, 1)`."""
        chosen, tokens = self._choose(logits, index, banned_ids)
        gained = chosen - normalizer[..., 0]
        is_broken = ops.isnan(gained)
        # Where nothing is allowed, an answer ends with what it has.
        is_stuck = (chosen <= IMPOSSIBLE / 2) & ops.logical_not(is_broken)
        ended = values["ended"] | is_stuck
        tokens = ops.where(ended | is_broken, 0, ops.cast(tokens, "int32"))
        lengths = values["lengths"] + ops.cast(ops.logical_not(ended), "int32")
        at_limit = index + 1 >= sentences["max_lengths"][:, None]
        now_ended = ended | is_broken | (tokens == end_id) | at_limit
        return {
            "tokens": tokens,
            "ids": write_token(values["ids"], index, tokens),
            "scores": values["scores"] + ops.where(ended, 0.0, gained),
            "lengths": lengths,
            "ended": now_ended,
            "done": ops.all(now_ended, axis=1),
        }

    def _choose(self, logits, index, banned_ids):
        """The next token of each hypothesis, its logit first; each `(B, N)`."""
        size = logits.shape[-1]
        rows = ops.reshape(logits, (-1, 1, size))
        greedy = not ops.is_tensor(self.temperature) and self.temperature == 0
        if greedy or self.top_k == 1:
            best, _, tokens = best_tokens(rows, 1, banned_ids=banned_ids)
        elif self.top_k:
            count = min(self.top_k, size)
            best, _, tokens = best_tokens(rows, count, banned_ids=banned_ids)
            places = self._draw(best, index)
            best, tokens = (
                ops.take_along_axis(some, places, axis=1) for some in (best, tokens)
            )
        else:
            logits = ban(rows[:, 0], banned_ids)
            tokens = self._draw(logits, index)
            best = ops.take_along_axis(logits, tokens, axis=1)
        shape = (-1, self.width)
        return ops.reshape(best, shape), ops.reshape(tokens, shape)

    def _draw(self, logits, index):
        """A place of each row of logits `(B N, n)`, drawn by its probability."""
        possible = logits > IMPOSSIBLE / 2
        logits = ops.where(possible, logits / self.temperature, _NEVER)
        return draw(ops.softmax(logits), self.top_p, self._numbers(index))

    def _numbers(self, index):
        """The random numbers of a step: a function `(rows, attempt) -> (rows, 1)`."""

        def numbers(rows, attempt):
            found = uniform(self.seed, index + attempt * _STEPS, self.width)
            return ops.tile(found[:, None], (rows // self.width, 1))

        return numbers

    def answers(self, values, sentences):
        """All hypotheses, best first."""
        scores = values["scores"] / length_penalty(
            values["lengths"], sentences["length_penalty"], self.penalty_form
        )
        if self.width == 1:
            return {"ids": values["ids"], "scores": scores}
        order = ops.argsort(-scores, axis=1)
        return {
            "ids": ops.take_along_axis(values["ids"], order[..., None], axis=1),
            "scores": ops.take_along_axis(scores, order, axis=1),
        }


def uniform(seed, index, count):
    """Numbers in [0, 1), the same on every backend: a hash of seed, step and place.

    Keras's own generators draw differently on each backend, and take no tensor as seed.

    Args:
        seed: Integer or scalar integer tensor.
        index: Integer or scalar integer tensor.
        count: Number n of draws.

    Returns:
        A float32 tensor `(n,)`.
    """
    bits = ops.cast(seed, "int32") * _signed(0x9E3779B1)
    bits = _mix(bits + ops.cast(index, "int32"))
    bits = _mix(bits * _signed(0x85EBCA77) + ops.arange(count, dtype="int32"))
    # The sign bit and the lowest ones are left out: 24 bits fit a float32.
    return ops.cast(ops.bitwise_and(bits, 0xFFFFFF), "float32") * 2.0**-24


def _mix(bits):
    """The finalizer of MurmurHash3, on int32."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        low = ops.bitwise_and(ops.right_shift(bits, shift), 2 ** (32 - shift) - 1)
        bits = ops.bitwise_xor(bits, low) * _signed(factor)
    return bits


def _signed(value):
    """A 32-bit constant as the int32 of the same bits."""
    return int(value - (1 << 32) if value >= 1 << 31 else value)
