"""Beam search; with one beam it is greedy search."""

import keras
from keras import ops

# The score of what doesn't exist: finite, so that arithmetic on it stays finite.
IMPOSSIBLE = -1e9


def length_penalty(length, alpha):
    """What log-probabilities are divided by: `((5 + length) / 6) ** alpha`.

    Args:
        length: Number of tokens, the end token included; any shape.
        alpha: 0 prefers short answers; the paper's 0.6 evens lengths out.

    Returns:
        A float32 tensor of the shape of `length`.

    Reference: [GNMT](https://arxiv.org/abs/1609.08144), equation 14.
    """
    return ((5.0 + ops.cast(length, "float32")) / 6.0) ** alpha


def beam_search(
    step,
    reorder,
    state,
    *,
    max_lengths,
    longest,
    beam_size,
    num_hypotheses,
    alpha,
    start_id,
    end_id,
    banned_ids=(),
):
    """Finds the most probable sequences, in one loop inside the graph.

    Each step extends every live hypothesis by one token and keeps the `2 beam_size`
    best of a sentence. Those of the first `beam_size` that end join the finished
    set, ranked by length-normalised log-probability; the best `beam_size` that don't
    end live on. A hypothesis that reaches its sentence's maximum length is finished
    as it is. A sentence is done when its finished set is full and no live
    hypothesis can still enter the `num_hypotheses` best of it, even if all its
    further tokens were certain. With one beam the first finished hypothesis is the
    answer, which is greedy search.

    Args:
        step: Function `(ids (B * beam_size, 1), index, state) -> (logits
            (B * beam_size, V), state)`; `index` counts from 0.
        reorder: Function `(state, rows (B * beam_size,)) -> state` that makes row i go
            on from what row `rows[i]` had.
        state: Nested structure of tensors that `step` keeps, of constant shapes.
        max_lengths: Integer `(B,)`, most tokens of an answer, end token included.
        longest: The maximum of `max_lengths` or more: an integer, or where the backend
            has dynamic shapes a scalar tensor.
        beam_size: Number of live hypotheses per sentence.
        num_hypotheses: Number of answers per sentence, at most `beam_size`.
        alpha: Exponent of the length penalty.
        start_id: Token that every sequence starts with.
        end_id: Token that ends a sequence.
        banned_ids: Tokens that are never generated.

    Returns:
        A dict: `"ids"` int32 `(B, num_hypotheses, longest)` with the end token and then
        zeros, best first; `"scores"` float32 `(B, num_hypotheses)`, the
        length-normalised log-probabilities; `IMPOSSIBLE` where there are fewer.

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 6.1.
    """
    beams = beam_size
    batch = ops.shape(max_lengths)[0]
    max_lengths = ops.cast(max_lengths, "int32")[:, None]
    final_penalty = length_penalty(max_lengths, alpha)
    positions = ops.arange(longest, dtype="int32")
    flat_state = keras.tree.flatten(state)

    # Only the first beam lives at first: the others would be its copies.
    first = ops.cast(ops.arange(beams) == 0, "float32")[None, :]
    start_scores = ops.broadcast_to((1.0 - first) * IMPOSSIBLE, (batch, beams))
    no_ids = ops.zeros((batch, beams, longest), "int32")
    loop = {
        "index": ops.convert_to_tensor(0, "int32"),
        "tokens": ops.full((batch, beams), start_id, "int32"),
        "live_ids": no_ids,
        "live_scores": start_scores,
        "finished_ids": no_ids,
        "finished_scores": ops.full((batch, beams), IMPOSSIBLE, "float32"),
        "done": ops.zeros((batch,), "bool"),
    }
    names = list(loop)

    def go_on(*values):
        values = dict(zip(names, values))
        return ops.logical_and(
            values["index"] < longest,
            ops.logical_not(ops.all(values["done"])),
        )

    def extend(*values):
        values, flat = dict(zip(names, values)), values[len(names) :]
        index, live_ids = values["index"], values["live_ids"]
        logits, next_state = step(
            ops.reshape(values["tokens"], (-1, 1)),
            index,
            keras.tree.pack_sequence_as(state, flat),
        )
        scores, beam, token = _best_extensions(
            logits, values["live_scores"], batch, beams, banned_ids
        )
        length = index + 1
        possible = scores > IMPOSSIBLE / 2
        ids = _take_beams(live_ids, beam, beams)
        ids = ops.where(positions == index, token[..., None], ids)

        # The best that don't end live on.
        ends = token == end_id
        live_scores, order = ops.top_k(ops.where(ends, IMPOSSIBLE, scores), beams)
        live_ids = _take_beams(ids, order, 2 * beams)
        at_limit = length >= max_lengths

        # Those that end, and at the maximum length all others, join the finished.
        ending = ends & possible & (ops.arange(2 * beams) < beams)
        cut_off = at_limit & (live_scores > IMPOSSIBLE / 2)
        penalty = length_penalty(length, alpha)
        candidate_scores = ops.concatenate(
            [
                values["finished_scores"],
                ops.where(ending, scores / penalty, IMPOSSIBLE),
                ops.where(cut_off, live_scores / penalty, IMPOSSIBLE),
            ],
            axis=1,
        )
        candidate_ids = ops.concatenate([values["finished_ids"], ids, live_ids], axis=1)
        finished_scores, best = ops.top_k(candidate_scores, beams)
        finished_ids = _take_beams(candidate_ids, best, 4 * beams)

        if beams == 1:
            done = finished_scores[:, 0] > IMPOSSIBLE / 2
        else:
            best_possible = ops.max(live_scores, axis=1) / final_penalty[:, 0]
            done = finished_scores[:, num_hypotheses - 1] >= best_possible
            done &= finished_scores[:, -1] > IMPOSSIBLE / 2
        done = done | values["done"] | at_limit[:, 0]

        if beams > 1:
            beam = ops.take_along_axis(beam, order, axis=1)
            rows = beam + ops.arange(batch, dtype="int32")[:, None] * beams
            next_state = reorder(next_state, ops.reshape(rows, (-1,)))
        updated = {
            "index": length,
            "tokens": ops.take_along_axis(token, order, axis=1),
            "live_ids": live_ids,
            "live_scores": ops.where(done[:, None], IMPOSSIBLE, live_scores),
            "finished_ids": finished_ids,
            "finished_scores": finished_scores,
            "done": done,
        }
        shaped = [ops.reshape(updated[name], ops.shape(values[name])) for name in names]
        return (*shaped, *keras.tree.flatten(next_state))

    values = ops.while_loop(go_on, extend, (*loop.values(), *flat_state))
    values = dict(zip(names, values))
    return {
        "ids": values["finished_ids"][:, :num_hypotheses],
        "scores": values["finished_scores"][:, :num_hypotheses],
    }


def _best_extensions(logits, live_scores, batch, beams, banned_ids):
    """Scores, beams and tokens, each (B, 2 beams), of the best continuations."""
    logits = ops.cast(logits, "float32")
    vocabulary_size = logits.shape[-1]
    logsumexp = ops.logsumexp(logits, axis=-1, keepdims=True)
    if banned_ids:
        ban = ops.sum(ops.one_hot(list(banned_ids), vocabulary_size), axis=0)
        logits += ban * IMPOSSIBLE
    # The best of all beams are among the best of each.
    count = min(2 * beams, vocabulary_size)
    best, tokens = ops.top_k(logits, count)
    scores = ops.reshape(best - logsumexp, (batch, beams, count))
    scores += live_scores[:, :, None]
    scores, places = ops.top_k(
        ops.reshape(scores, (batch, beams * count)), min(2 * beams, beams * count)
    )
    places = ops.cast(places, "int32")
    tokens = ops.reshape(ops.cast(tokens, "int32"), (batch, beams * count))
    return scores, places // count, ops.take_along_axis(tokens, places, axis=1)


def _take_beams(values, beams, count):
    """Rows `beams` (B, n) of `values` (B, count, length)."""
    batch, length = ops.shape(values)[0], ops.shape(values)[2]
    rows = ops.arange(batch, dtype="int32")[:, None] * count + ops.cast(beams, "int32")
    flat = ops.reshape(values, (-1, length))
    return ops.take(flat, rows, axis=0)
