"""A text's sentences, and where each word of an answer came from."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_transformer.decoding.explain import explain
from keras_transformer.tasks.translator import Translator
from keras_transformer.text import split_sentences
from keras_transformer.web.words import words_of


def sentences_of(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of the white space before a sentence, and the sentence on one line."""
    pieces = split_sentences([text.encode("utf-8", "replace")])[0].numpy()
    before = ""
    for piece in pieces:
        piece = piece.decode("utf-8", "replace")
        sentence = piece.strip()
        start = len(piece) - len(piece.lstrip())
        before += piece[:start]
        if sentence:
            yield before, re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", sentence)
            before = piece[start + len(sentence) :]


def rows_of_explain(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `explain`, each a dict without padding."""
    rows = []
    for row in range(len(found["translation"])):
        tokens = _count(found, "num_tokens", "tokens", row)
        sources = _count(found, "num_source_tokens", "source_tokens", row)
        rows.append(
            {
                "translation": found["translation"][row].decode("utf-8", "replace"),
                "tokens": _decoded(found["tokens"][row, :tokens]),
                "log_probs": found["log_probs"][row, :tokens].tolist(),
                "aligned_source": found["aligned_source"][row, :tokens].tolist(),
                "source_tokens": _decoded(found["source_tokens"][row, :sources]),
                "truncated": bool(found["truncated"][row]),
            }
        )
    return rows


def _count(found, name, tokens, row):
    """How many tokens are a row's own; exports of before 0.1 don't say it."""
    return found[name][row] if name in found else sum(found[tokens][row] != b"")


def _decoded(tokens):
    return [token.decode("utf-8", "replace") for token in tokens]


def ids_of(
    translator: Translator, text: str, translation: str
) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Ids `(1, S)` and `(1, T)` of a pair of texts, and their tokens."""
    source, target = translator.source_tokenizer, translator.target_tokenizer
    source_ids = translator.encode(tf.constant([text]))[0].to_tensor().numpy()
    target_ids = [*target.tokenize([translation])[0].numpy(), target.end_id]
    return (
        source_ids,
        np.array([target_ids], "int32"),
        [*source.tokens(source_ids[0].tolist())],
        [*target.tokens(target_ids)],
    )


def explained(translator: Translator, text: str, answer: str) -> dict[str, Any]:
    """What the signature `explain` says of an answer, here of any answer."""
    source_ids, target_ids, source, tokens = ids_of(translator, text, answer)
    start = translator.target_tokenizer.start_id
    found = explain(translator.model, source_ids, target_ids, start)
    alignment = ops.convert_to_numpy(found["alignment"])[0]
    return {
        "translation": answer,
        "tokens": tokens,
        "log_probs": ops.convert_to_numpy(found["log_probs"])[0].tolist(),
        "aligned_source": alignment.argmax(axis=1).tolist(),
        "source_tokens": source,
        "truncated": False,
    }


def in_words(text: str, answer: dict[str, Any]) -> dict[str, Any]:
    """A sentence and its answer as words."""
    source = words_of(text, answer.get("source_tokens", []))
    words = words_of(answer["translation"], answer.get("tokens", []))
    owner = {token: n for n, word in enumerate(source) for token in word["tokens"]}
    for word in words:
        tokens = word.pop("tokens")
        if tokens and "log_probs" in answer:
            log_prob = sum(answer["log_probs"][token] for token in tokens)
            aligned = [answer["aligned_source"][token] for token in tokens]
            word["log_prob"] = round(log_prob, 4)
            word["from"] = sorted({owner[a] for a in aligned if a in owner})
    found = {
        "source": [{"text": w["text"], "after": w["after"]} for w in source],
        "translation": answer["translation"],
        "words": words,
        "truncated": bool(answer.get("truncated")),
    }
    if "scores" in answer:
        found["scores"] = answer["scores"]
    return found


def by_words(
    head: np.ndarray, written: list[dict[str, Any]], read: list[dict[str, Any]]
) -> list[list[float]]:
    """Weights of tokens `(T, S)` as weights of words."""
    return [
        [
            round(float(head[np.ix_(word["tokens"], other["tokens"])].sum(1).mean()), 3)
            if word["tokens"] and other["tokens"]
            else 0.0
            for other in read
        ]
        for word in written
    ]
