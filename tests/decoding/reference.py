"""Beam search written plainly in NumPy, with no cache: what the graph must equal."""

import functools

import numpy as np
import tensorflow as tf

START, END = 2, 3


def next_log_probs(model, source, hypotheses):
    """Log-probabilities (n, V) of the token after each of n hypotheses, as long."""
    target = np.array([[START, *tokens] for tokens in hypotheses])
    sources = np.repeat(source[None], len(hypotheses), axis=0)
    logits = np.asarray(_full_pass(model)(sources, target))[:, -1].astype("float64")
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@functools.cache
def _full_pass(model):
    def run(source_ids, target_ids):
        inputs = {"source_ids": source_ids, "target_ids": target_ids}
        return model(inputs, training=False)

    ids = tf.TensorSpec((None, None), tf.int32)
    return tf.function(run, input_signature=[ids, ids])


def forbid(row, tokens, *, min_length, prefix, banned, ngram, allowed):
    """Sets what may not come after `tokens` to minus infinity."""
    unruled = row.copy()
    row[[0, START, *banned]] = -np.inf
    if len(tokens) + 1 < min_length:
        row[END] = -np.inf
    if ngram:
        for i in range(len(tokens) - ngram + 1):
            if tokens[i : i + ngram - 1] == tokens[len(tokens) - ngram + 1 :]:
                row[tokens[i + ngram - 1]] = -np.inf
    if allowed:
        row[[t for t in range(len(row)) if not allowed(tokens, t)]] = -np.inf
    if len(tokens) < len(prefix):
        row[:] = -np.inf
        row[prefix[len(tokens)]] = unruled[prefix[len(tokens)]]


def ends(tokens, prefix):
    return tokens[-1:] == (END,) and len(tokens) > len(prefix)


def beam_search(
    model,
    source,
    *,
    beam_size,
    num_hypotheses=1,
    alpha=0.6,
    form="gnmt",
    stop_when="certain",
    min_length=1,
    max_length=None,
    prefix=(),
    banned=(),
    ngram=None,
    allowed=None,
):
    """The best answers of one sentence, as a list of (tokens, score)."""
    max_length = max_length or len(source) + 50
    live, finished = [((), 0.0)], []

    def penalty(length):
        return (length if form == "power" else (5 + length) / 6) ** alpha

    for length in range(1, max_length + 1):
        rows = next_log_probs(model, source, [tokens for tokens, _ in live])
        candidates = []
        for (tokens, score), row in zip(live, rows, strict=True):
            forbid(
                row,
                tokens,
                min_length=min_length,
                prefix=prefix,
                banned=banned,
                ngram=ngram,
                allowed=allowed,
            )
            if not np.isfinite(row).any():
                finished.append((tokens, score / penalty(max(len(tokens), 1))))
            for token in np.flatnonzero(np.isfinite(row)):
                candidates.append(((*tokens, int(token)), score + row[token]))
        candidates.sort(key=lambda candidate: -candidate[1])
        candidates = candidates[: 2 * beam_size]
        finished += [
            (tokens, score / penalty(length))
            for tokens, score in candidates[:beam_size]
            if ends(tokens, prefix)
        ]
        live = [c for c in candidates if not ends(c[0], prefix)][:beam_size]
        if length == max_length:
            finished += [(tokens, score / penalty(length)) for tokens, score in live]
        finished.sort(key=lambda answer: -answer[1])
        finished = finished[:beam_size]
        if not live:
            break
        if len(finished) == beam_size:
            if stop_when == "full":
                break
            if stop_when == "likely":
                if finished[-1][1] >= live[0][1] / penalty(length):
                    break
            elif finished[num_hypotheses - 1][1] >= live[0][1] / penalty(max_length):
                break
    return finished[:num_hypotheses]


def greedy(model, source, *, alpha=0.6, max_length=None, **rules):
    """The most probable token at each step."""
    max_length = max_length or len(source) + 50
    none = {"min_length": 1, "prefix": (), "banned": (), "ngram": None, "allowed": None}
    rules = {**none, **rules}
    tokens, score = (), 0.0
    while len(tokens) < max_length and not ends(tokens, rules["prefix"]):
        row = next_log_probs(model, source, [tokens])[0]
        forbid(row, tokens, **rules)
        if not np.isfinite(row).any():
            break
        tokens, score = (*tokens, int(row.argmax())), score + row.max()
    return [(tokens, score / ((5 + max(len(tokens), 1)) / 6) ** alpha)]
