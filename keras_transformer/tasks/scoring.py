"""How probable given translations are, and why a translation came out.

The functions of tensors are those of the signatures `score` and `explain` of an export,
too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_transformer import arguments
from keras_transformer.compilation import check_numbers, compiled
from keras_transformer.decoding.explain import explain, log_probs
from keras_transformer.decoding.options import SearchOptions
from keras_transformer.kernels.impossible import IMPOSSIBLE
from keras_transformer.tasks.explanations import Explanation, Explanations
from keras_transformer.text.documents import is_blank, split_language
from keras_transformer.texts import as_texts

if TYPE_CHECKING:
    from keras_transformer.tasks.translator import Translator

_IDS = keras.KerasTensor((None, None), "int32")


def longest_answer(translator: Translator, search: SearchOptions) -> int:
    """Most tokens of any answer of a search."""
    own = translator.longest_source + search.extra_length
    longest = max(own, search.max_length or 0)
    return min(longest, translator.model.max_length or longest)


def encode_references(
    translator: Translator, references: tf.Tensor, longest: int
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Translations -> ids, inside the graph.

    Args:
        translator: A `kt.Translator`.
        references: String tensor `(B,)`.
        longest: Most tokens of an answer, its end token included.

    Returns:
        A `tf.RaggedTensor` of ids `(B, None)`, each row closed by the end token, and a
        bool tensor `(B,)`: whether the translation was cut off.
    """
    tokenizer = translator.target_tokenizer
    ids = tokenizer.tokenize(references)
    room = longest - 1
    truncated = ids.row_lengths() > room
    ids = ids[:, :room]
    end = tf.fill([ids.nrows(), 1], tf.cast(tokenizer.end_id, ids.dtype))
    return tf.concat([ids, end], axis=1), truncated


def score(
    translator: Translator,
    texts: str | Iterable[str],
    references: str | Iterable[str],
    tokens_per_batch: int,
) -> dict[str, Any]:
    """See `kt.Translator.score`."""
    tokens_per_batch = arguments.integer("tokens_per_batch", tokens_per_batch)
    texts, is_one = as_texts(texts)
    references, one_reference = as_texts(references, "references")
    if len(texts) != len(references) or is_one != one_reference:
        raise ValueError(
            "references must have one string for each of texts; received "
            f"{len(references)} for {len(texts)}."
        )
    found = {
        "log_prob": np.zeros(len(texts), "float32"),
        "num_tokens": np.zeros(len(texts), "int32"),
        "truncated": np.zeros(len(texts), bool),
    }
    if texts:
        longest = longest_answer(translator, translator.options())
        references = _as_tensor(references)
        source_ids, cut, blank, _ = _read(translator, texts)
        target_ids, target_cut = encode_references(translator, references, longest)
        found["truncated"] = (cut | target_cut).numpy()
        found["num_tokens"] = target_ids.row_lengths().numpy().astype("int32")
        for rows, sources, targets in _batches(
            source_ids, target_ids, tokens_per_batch
        ):
            inputs = {"source_ids": sources, "target_ids": targets}
            part = _log_probs(translator)(inputs)["log_probs"]
            check_numbers(part, translator.model)
            part = keras.ops.convert_to_numpy(part)
            found["log_prob"][rows] = part.sum(axis=1)[: len(rows)]
        # A blank source has one answer, itself: as good as any blank text.
        is_same = is_blank(references).numpy()
        found["log_prob"][blank] = np.where(is_same[blank], 0.0, IMPOSSIBLE)
        found["num_tokens"][blank & is_same] = 0
    return {name: values[0] for name, values in found.items()} if is_one else found


def explanation(
    translator: Translator,
    texts: str | Iterable[str],
    tokens_per_batch: int,
    options: SearchOptions,
) -> Any:
    """See `kt.Translator.explain`."""
    tokens_per_batch = arguments.integer("tokens_per_batch", tokens_per_batch)
    texts, is_one = as_texts(texts)
    found: list[Any] = [None] * len(texts)
    if texts:
        source_ids, truncated, blank, answers = _read(translator, texts)
        truncated = truncated.numpy()
        for row in np.flatnonzero(blank):
            found[row] = _explained_blank(answers[row])
        visible = np.flatnonzero(~blank)
        source_ids = tf.gather(source_ids, visible)
        for rows, sources, _ in _batches(source_ids, source_ids, tokens_per_batch):
            parts = _explained(translator, sources, options)
            for row, part in zip(visible[rows], parts):
                found[row] = Explanation(part, truncated=bool(truncated[row]))
    return found[0] if is_one else Explanations(found)


def _read(translator, texts):
    """What texts are to a translator.

    Returns:
        A tuple of their ids, a `tf.RaggedTensor` `(B, None)`; a bool tensor `(B,)`:
        whether each was cut off; a bool array `(B,)`: whether it is blank; and the
        answers to blank texts, a list of strings.
    """
    texts = _as_tensor(texts)
    _, answers = split_language(texts, translator.source_tokenizer)
    blank = is_blank(answers)
    source_ids, truncated = translator.encode(tf.where(blank, "", texts))
    answers = [answer.decode("utf-8", "replace") for answer in answers.numpy()]
    return source_ids, truncated, blank.numpy(), answers


def _explained_blank(answer):
    """What there is to say of a blank text, which is its own answer."""
    return Explanation(
        translation=answer,
        tokens=[],
        log_probs=np.zeros(0, "float32"),
        aligned_source=np.zeros(0, "int32"),
        source_tokens=[],
        truncated=False,
    )


def _explained(translator, source_ids, options):
    """Yields what is found of each row of ids `(B, S)`."""
    best = translator.search(source_ids, options=options.changed(num_hypotheses=1))
    ids = keras.ops.convert_to_numpy(best["ids"])[:, 0]
    ids = ids[:, : max(1, np.count_nonzero(ids, axis=1).max())]
    texts = translator.target_tokenizer.detokenize(ids).numpy()
    start_id = translator.target_tokenizer.start_id
    found = explain(translator.model, source_ids, ids, start_id)
    values = {n: keras.ops.convert_to_numpy(value) for n, value in found.items()}
    check_numbers(values["log_probs"], translator.model)
    for i, text in enumerate(texts):
        own, sources = ids[i][ids[i] > 0], source_ids[i][source_ids[i] > 0]
        alignment = values["alignment"][i, : len(own), : len(sources)]
        yield {
            "translation": text.decode("utf-8", "replace"),
            "tokens": translator.target_tokenizer.tokens(own),
            "log_probs": values["log_probs"][i, : len(own)],
            "aligned_source": alignment.argmax(axis=1).astype("int32"),
            "source_tokens": translator.source_tokenizer.tokens(sources),
        }


def _log_probs(translator):
    """The compiled function of the model that `translator` holds now."""
    known = vars(translator).get("_compiled_log_probs")
    # Quantizing and LoRA give a model other weights.
    weights = [translator.model, *translator.model.weights]
    if known is None or list(map(id, known[0])) != list(map(id, weights)):
        model, start_id = translator.model, translator.target_tokenizer.start_id

        def function(inputs):
            found = log_probs(
                model, inputs["source_ids"], inputs["target_ids"], start_id
            )
            return {"log_probs": found}

        specs = {"source_ids": _IDS, "target_ids": _IDS}
        translator._compiled_log_probs = weights, compiled(function, model, specs)
    return translator._compiled_log_probs[1]


def _batches(source_ids, target_ids, tokens_per_batch):
    """Yields rows of like length, and their ids `(B, S)` and `(B, T)`."""
    lengths = np.maximum(
        source_ids.row_lengths().numpy(), target_ids.row_lengths().numpy()
    )
    order, start = np.argsort(-lengths, kind="stable"), 0
    while start < len(order):
        count = max(1, tokens_per_batch // max(1, int(lengths[order[start]])))
        rows = order[start : start + count]
        yield (
            rows,
            *(
                tf.gather(ids, rows).to_tensor().numpy()
                for ids in (source_ids, target_ids)
            ),
        )
        start += count


def _as_tensor(texts):
    # Python's strings may hold lone surrogates, which no UTF-8 has.
    return tf.constant([text.encode("utf-8", "replace") for text in texts])
