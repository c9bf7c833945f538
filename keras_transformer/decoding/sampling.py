"""Sampling, and greedy search: hypotheses that go on alone."""

from keras import ops

from keras_transformer.decoding import phrases
from keras_transformer.decoding.beam_search import length_penalty
from keras_transformer.decoding.search import write_token
from keras_transformer.kernels import ban, best_tokens, draw
from keras_transformer.kernels.hashing import as_int32, mixed
from keras_transformer.kernels.impossible import IMPOSSIBLE, NEVER

# Numbers of further attempts follow those of so many steps.
_STEPS = 2**16


class Sampling:
    """Which token each hypothesis goes on with: one drawn by its probability.

    With `temperature` 0 it is the most probable one, which is greedy search. What is
    drawn depends on the sentence's seed, the step and the number of the hypothesis
    alone. So a sentence's answer doesn't depend on the others of its batch.

    Args:
        width: Number N of hypotheses per sentence, drawn independently.
        temperature: What logits are divided by: below 1 the likely become likelier; 0
            takes the most probable token. A number, or a tensor, scalar or `(B,)`.
        top_k: Number of tokens to draw from, the most probable; all by default.
        top_p: Draws from the fewest tokens whose probabilities sum up to this or more,
            and those as probable as the last of them. As `temperature`.
        seed: An integer, or an integer tensor, scalar or `(B,)`.
        penalty_form: `"gnmt"` or `"power"`, see `length_penalty`.
        num_hypotheses: How many of the N hypotheses count, the first ones; an integer
            tensor, scalar or `(B,)`. The others come last, with the score
            `IMPOSSIBLE`. By default all.

    Reference: [The Curious Case of Neural Text Degeneration](https://arxiv.org/abs/1904.09751),
    section 3.1, for `top_p`.
    """

    def __init__(
        self,
        width=1,
        temperature=1.0,
        top_k=None,
        top_p=1.0,
        seed=0,
        penalty_form="gnmt",
        num_hypotheses=None,
    ):
        self.width = width
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.seed = seed
        self.penalty_form = penalty_form
        self.num_hypotheses = num_hypotheses

    def options_of_sentences(self, batch):
        """The options that are tensors: for each sentence its own, `(B,)`, by name.

        `search` wants them among what is known of each sentence.
        """
        options = {
            "temperature": (self.temperature, "float32"),
            "top_p": (self.top_p, "float32"),
            "seed": (self.seed, "int32"),
            "num_hypotheses": (self.num_hypotheses, "int32"),
        }
        return {
            name: ops.broadcast_to(ops.cast(value, dtype), (batch,))
            for name, (value, dtype) in options.items()
            if hasattr(value, "shape")
        }

    def start(self, ids, scores=0.0):
        """The values that the loop keeps, at first, of answers that begin with `ids`.

        Args:
            ids: int32 `(B, L)`, zeros where nothing is known yet.
            scores: What these count, float32 `(B,)`, or 0.
        """
        batch, longest = ops.shape(ids)
        lengths = ops.sum(ops.cast(ops.not_equal(ids, 0), "int32"), axis=1)
        return {
            "ids": ops.broadcast_to(ids[:, None], (batch, self.width, longest)),
            "scores": ops.broadcast_to(
                ops.reshape(ops.cast(scores, "float32"), (-1, 1)), (batch, self.width)
            ),
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
        chosen, tokens = self._choose(logits, index, sentences, banned_ids)
        gained = chosen - normalizer[..., 0]
        is_broken = ops.isnan(gained)
        # Where nothing is allowed, an answer ends with what it has.
        is_stuck = (chosen <= IMPOSSIBLE / 2) & ops.logical_not(is_broken)
        ended = values["ended"] | is_stuck
        tokens = ops.where(ended | is_broken, 0, ops.cast(tokens, "int32"))
        lengths = values["lengths"] + ops.cast(ops.logical_not(ended), "int32")
        at_limit = index + 1 >= sentences["max_lengths"][:, None]
        now_ended = ended | is_broken | (tokens == end_id) | at_limit
        scores = values["scores"] + ops.where(ended, 0.0, gained)
        updated = {
            "tokens": tokens,
            "ids": write_token(values["ids"], index, tokens),
            "lengths": lengths,
            "ended": now_ended,
            "done": ops.all(now_ended, axis=1),
        }
        if "phrases" in sentences:
            state, known = values["phrases"], sentences["phrases"]
            broken_off = is_stuck & ops.logical_not(values["ended"])
            scores -= ops.where(broken_off, phrases.unfinished(state, known), 0.0)
            updated["phrases"] = phrases.advance(state, tokens, known)
        return {**updated, "scores": scores}

    def _choose(self, logits, index, sentences, banned_ids):
        """The next token of each hypothesis, its logit first; each `(B, N)`."""
        rows = ops.reshape(logits, (-1, 1, logits.shape[-1]))

        def most_probable():
            best, _, tokens = best_tokens(rows, 1, banned_ids=banned_ids)
            return best, tokens

        is_greedy = "temperature" not in sentences and self.temperature == 0
        if self.top_k == 1 or is_greedy:
            chosen = most_probable()
        elif "temperature" not in sentences:
            chosen = self._drawn(rows, self.temperature, index, sentences, banned_ids)
        else:
            temperature = self._of_rows(sentences["temperature"])
            is_drawn = temperature > 0

            def mixed():
                positive = ops.where(is_drawn, temperature, 1.0)
                drawn = self._drawn(rows, positive, index, sentences, banned_ids)
                pairs = zip(drawn, most_probable())
                return tuple(ops.where(is_drawn, *pair) for pair in pairs)

            chosen = ops.cond(ops.any(is_drawn), mixed, most_probable)
        return tuple(ops.reshape(each, (-1, self.width)) for each in chosen)

    def _drawn(self, rows, temperature, index, sentences, banned_ids):
        """Logits and tokens drawn by their probability, each `(B N, 1)`."""
        if self.top_k:
            count = min(self.top_k, rows.shape[-1])
            best, _, tokens = best_tokens(rows, count, banned_ids=banned_ids)
            places = self._draw(best, temperature, index, sentences)
            return tuple(
                ops.take_along_axis(some, places, axis=1) for some in (best, tokens)
            )
        logits = ban(rows[:, 0], banned_ids)
        tokens = self._draw(logits, temperature, index, sentences)
        return ops.take_along_axis(logits, tokens, axis=1), tokens

    def _draw(self, logits, temperature, index, sentences):
        """An index into each row of logits `(B N, n)`, drawn by its probability."""
        possible = logits > IMPOSSIBLE / 2
        logits = ops.where(possible, logits / temperature, NEVER)
        top_p = self.top_p
        if "top_p" in sentences:
            top_p = self._of_rows(sentences["top_p"])
        return draw(ops.softmax(logits), top_p, self._numbers(index, sentences))

    def _numbers(self, index, sentences):
        """The random numbers of a step: a function `(rows, attempt) -> (rows, 1)`."""
        seed = sentences.get("seed", self.seed)

        def numbers(rows, attempt):
            found = uniform(seed, index + attempt * _STEPS, self.width)
            found = ops.broadcast_to(found, (rows // self.width, self.width))
            return ops.reshape(found, (-1, 1))

        return numbers

    def _of_rows(self, values):
        """Values of sentences `(B,)` for each of their hypotheses, `(B N, 1)`."""
        return ops.repeat(values, self.width)[:, None]

    def answers(self, values, sentences):
        """All hypotheses, best first."""
        scores = values["scores"] / length_penalty(
            values["lengths"], sentences["length_penalty"], self.penalty_form
        )
        if "num_hypotheses" in sentences:
            counts = sentences["num_hypotheses"][:, None]
            is_asked = ops.arange(self.width, dtype="int32") < counts
            scores = ops.where(is_asked, scores, IMPOSSIBLE)
        if self.width == 1:
            return {"ids": values["ids"], "scores": scores}
        order = ops.argsort(-scores, axis=1)
        return {
            "ids": ops.take_along_axis(values["ids"], order[..., None], axis=1),
            "scores": ops.take_along_axis(scores, order, axis=1),
        }


def uniform(seed, index, count):
    """Numbers in [0, 1), the same on every backend: a hash of seed, step and index.

    Keras's own generators draw differently on each backend, and take no tensor as seed.

    Args:
        seed: An integer, or an integer tensor, scalar or `(B,)`.
        index: Integer or scalar integer tensor.
        count: Number n of draws.

    Returns:
        A float32 tensor `(n,)`; with seeds `(B,)` a tensor `(B, n)`.
    """
    bits = ops.cast(seed, "int32") * as_int32(0x9E3779B1)
    bits = mixed(bits + ops.cast(index, "int32"))
    bits = ops.expand_dims(bits * as_int32(0x85EBCA77), -1)
    bits = mixed(bits + ops.arange(count, dtype="int32"))
    # The sign bit and the lowest ones are left out: 24 bits fit a float32.
    return ops.cast(ops.bitwise_and(bits, 0xFFFFFF), "float32") * 2.0**-24
