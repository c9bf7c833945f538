"""Why an answer came out: its tokens' probabilities, and where each looked."""

from keras import ops

from keras_transformer.decoding.search import with_start


def explain(model, source_ids, target_ids, start_id=2):
    """Looks at given answers in one pass of the model.

    Args:
        model: A `kt.Transformer`.
        source_ids: Integer ids `(B, S)`, 0 is padding.
        target_ids: Integer ids `(B, T)` of answers, with the end token; 0 is padding.
        start_id: Token that starts an answer.

    Returns:
        A dict: `"log_probs"` float32 `(B, T)`, the log-probability of each token after
        those before it, 0 for padding; `"alignment"` float32 `(B, T, S)`, how much each
        token attended to each token of the source: the mean over the heads of the last
        block but one, which translates in order best.

    Example:

    >>> found = explain(model, np.array([[17, 5, 3]]), np.array([[9, 4, 3]]))
    >>> tuple(found["alignment"].shape)
    (1, 3, 3)

    Reference: [Jointly Learning to Align and Translate](https://arxiv.org/abs/1909.02074),
    section 4.1, for the choice of the block.
    """
    inputs, target_ids = _inputs(source_ids, target_ids, start_id)
    found = model.attention_scores(**inputs)
    alignment = ops.mean(ops.cast(found["cross"][-2:][0], "float32"), axis=1)
    real = ops.not_equal(target_ids, 0)
    return {
        "log_probs": _of_targets(found["logits"], target_ids),
        "alignment": ops.where(real[..., None], alignment, 0.0),
    }


def log_probs(model, source_ids, target_ids, start_id=2):
    """The log-probability of each token of given answers: `explain` without alignment.

    Args:
        model: A `kt.Transformer`.
        source_ids: Integer ids `(B, S)`, 0 is padding.
        target_ids: Integer ids `(B, T)` of answers, with the end token; 0 is padding.
        start_id: Token that starts an answer.

    Returns:
        A float32 tensor `(B, T)`, 0 for padding.
    """
    inputs, target_ids = _inputs(source_ids, target_ids, start_id)
    return _of_targets(model(inputs, training=False), target_ids)


def _inputs(source_ids, target_ids, start_id):
    source_ids = ops.convert_to_tensor(source_ids, "int32")
    target_ids = ops.convert_to_tensor(target_ids, "int32")
    shifted = with_start(target_ids[:, :-1], start_id)
    return {"source_ids": source_ids, "target_ids": shifted}, target_ids


def _of_targets(logits, target_ids):
    log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    chosen = ops.take_along_axis(log_probs, target_ids[..., None], axis=-1)[..., 0]
    return ops.where(ops.not_equal(target_ids, 0), chosen, 0.0)
