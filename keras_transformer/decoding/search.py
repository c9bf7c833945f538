"""The search: one loop inside the graph, for greedy, beam search and sampling."""

import keras
from keras import ops

from keras_transformer.decoding import phrases
from keras_transformer.decoding.rules import given_tokens
from keras_transformer.kernels import log_normalizer

# Of four sentences, how many still live when the others leave the batch.
_MOST_LIVE = 3
_NO_TOKEN = -1


def search(
    step,
    state,
    sentences,
    selection,
    rules=(),
    banned_ids=(),
    *,
    start_index=0,
    start_scores=0.0,
    stages,
    grow,
    start_id,
    end_id,
):
    """Extends sequences token by token until all of them are done.

    Each turn of the loop asks the model for the next tokens' logits (`step`), lets the
    rules forbid some of them, and leaves it to the selection which hypotheses go on:
    `BeamSearch` or `Sampling`, of which greedy search is a case. Log-probabilities are
    logits less their normalizer, and only computed of tokens that are chosen.

    Where the number of sentences isn't fixed, in a graph of TensorFlow, those that are
    done leave the batch, and the others go on without them.

    Args:
        step: Function `(ids (B N, 1), index, state, sentences, mask) -> (logits
            (B N, V), state)`. N is the number of hypotheses of a sentence, `index`
            counts from 0. `mask` is None, or a bool tensor `(B, N, L N)`: which of a
            sentence's earlier steps, N of them at each position, are those of a
            hypothesis.
        state: Nested structure of tensors `(B, ...)` that `step` updates.
        sentences: Dict of nested structures of tensors `(B, ...)`, what is known of
            each sentence: `"max_lengths"` int32 `(B,)`, most tokens of an answer, end
            token included; `"length_penalty"` float32 `(B, 1)`, its exponent; where
            answers begin with something, that is `"given"` int32 `(B, P)`, 0 is
            padding and all of its last column, and an end token in it ends nothing;
            where phrases are favoured, that is `"phrases"`, from `as_phrases`; and what
            `step` and `rules` look at.
        selection: A `BeamSearch` or a `Sampling`.
        rules: Functions `(logits (B, N, V), (model_logits (B, N, V), normalizer
            (B, N, 1)), index, ids (B, N, L), sentences) -> logits` that lower what may
            not come next to `IMPOSSIBLE`.
        banned_ids: Tokens that are never generated.
        start_index: Number of forced tokens that `state` already contains, a scalar
            integer less than any of `max_lengths`.
        start_scores: What these tokens count in the scores, float32 `(B,)`, or 0.
        stages: Rising lengths of the caches in `state`, the last of them the maximum of
            `max_lengths` or more: integers, or where the backend has dynamic shapes one
            scalar tensor. Each has a loop of its own.
        grow: Function `(state, length) -> state` that makes caches longer.
        start_id: Token that every sequence starts with.
        end_id: Token that ends a sequence.

    Returns:
        A dict: `"ids"` int32 `(B, n, L)` with the end token and then zeros, best
        first, and `"scores"` float32 `(B, n)`, log-probabilities divided by the length
        penalty.
    """
    batch, longest = ops.shape(sentences["max_lengths"])[0], stages[-1]
    index = ops.cast(start_index, "int32")
    ids = _known_ids(sentences, index, longest)
    newest = ops.take(with_start(ids, start_id), index, axis=1)[:, None]
    values = {
        "tokens": ops.broadcast_to(newest, (batch, selection.width)),
        "done": ops.zeros((batch,), "bool"),
    }
    if "phrases" in sentences:
        known = sentences["phrases"]
        values["phrases"] = phrases.start(known, ids, index, selection.width)
        start_scores += phrases.earned(values["phrases"], known)[:, 0]
    values |= selection.start(ids, start_scores)

    def extend(index, values, state, sentences):
        tokens = ops.reshape(values["tokens"], (-1, 1))
        mask = selection.mask(values, index)
        logits, state = step(tokens, index, state, sentences, mask)
        shape = (-1, selection.width, logits.shape[-1])
        logits = ops.reshape(ops.cast(logits, "float32"), shape)
        normalizer = log_normalizer(logits)
        scored = logits, normalizer
        for rule in rules:
            logits = rule(logits, scored, index, values["ids"], sentences)
        ending = end_id
        if "given" in sentences:
            is_free = ops.equal(given_tokens(index, sentences), 0)
            ending = ops.where(is_free, end_id, _NO_TOKEN)
        if "phrases" in sentences:
            favoured = values["phrases"], index, sentences, ending
            logits = phrases.favour(logits, *favoured)
        updated = selection.extend(
            values, logits, normalizer, index, sentences, banned_ids, ending
        )
        values = {
            name: ops.reshape(updated[name], ops.shape(value))
            for name, value in values.items()
        }
        return index + 1, values, state

    def extend_until(most_live, index, values, state, sentences, end=longest):
        """Goes on until so few sentences live, or fewer, or to position `end`."""

        def go_on(index, values, state):
            live = ops.sum(ops.cast(ops.logical_not(values["done"]), "int32"))
            return ops.logical_and(index < end, live > most_live)

        return ops.while_loop(
            go_on,
            lambda *changing: extend(*changing, sentences),
            (index, values, state),
        )

    if sentences["max_lengths"].shape[0] is None:
        start = index, values, state, sentences
        return _search_leaving(extend_until, selection, longest, *start)
    for stage, end in enumerate(stages):
        state = grow(state, end) if stage else state
        index, values, state = extend_until(0, index, values, state, sentences, end)
    return selection.answers(values, sentences)


def with_start(ids, start_id):
    """Ids `(B, L)` with the start token before each row, `(B, L + 1)`."""
    start = ops.full((ops.shape(ids)[0], 1), start_id, "int32")
    return ops.concatenate([start, ids], axis=1)


def _known_ids(sentences, count, longest):
    """Ids `(B, longest)`: the first `count` of those given, and zeros."""
    rest = ops.zeros((ops.shape(sentences["max_lengths"])[0], longest), "int32")
    if "given" not in sentences:
        return rest
    given = sentences["given"]
    places = ops.arange(ops.shape(given)[1], dtype="int32")
    known = ops.where(places < count, given, 0)
    return ops.concatenate([known, rest], axis=1)[:, :longest]


def _search_leaving(extend_until, selection, longest, *start):
    """The answers of a search whose sentences leave the batch when they are done."""

    def some_live(index, answers, rows, values, state, sentences):
        return ops.logical_and(index < longest, ops.shape(rows)[0] > 0)

    def extend_and_leave(index, answers, rows, values, state, sentences):
        most_live = _MOST_LIVE * ops.shape(rows)[0] // 4
        index, values, state = extend_until(most_live, index, values, state, sentences)
        found = selection.answers(values, sentences)
        answers = {
            name: ops.scatter_update(answers[name], rows[:, None], found[name])
            for name in answers
        }
        (live,) = ops.nonzero(ops.logical_not(values["done"]))
        of_rows = keras.tree.map_structure(
            lambda value: ops.take(value, live, axis=0),
            (rows, values, state, sentences),
        )
        return index, answers, *of_rows

    index, values, state, sentences = start
    answers = selection.answers(values, sentences)
    rows = ops.arange(ops.shape(sentences["max_lengths"])[0], dtype="int32")
    everything = (index, answers, rows, values, state, sentences)
    return ops.while_loop(some_live, extend_and_leave, everything)[1]


def write_token(ids, index, tokens):
    """`ids` (B, N, L) with `tokens` (B, N) at position `index`."""
    positions = ops.arange(ops.shape(ids)[-1], dtype="int32")
    return ops.where(positions == index, tokens[..., None], ids)
