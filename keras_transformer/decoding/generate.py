"""From source ids to target ids with a Transformer."""

from keras import ops

from keras_transformer.decoding.beam_search import beam_search


def generate(
    model,
    source_ids,
    *,
    beam_size=4,
    num_hypotheses=1,
    length_penalty=0.6,
    max_length=None,
    start_id=2,
    end_id=3,
):
    """Translates ids to ids: encodes once, then decodes step by step with caches.

    A sentence's answer doesn't depend on the others of its batch, nor on padding.

    Args:
        model: A `kt.Transformer`.
        source_ids: Integer ids `(B, S)`, 0 is padding at the end of a row.
        beam_size: Number of hypotheses that are followed at once; 1 is greedy search.
        num_hypotheses: Number of answers per sentence, at most `beam_size`.
        length_penalty: Exponent alpha of the length penalty.
        max_length: Most tokens of an answer, its end token included; by default the
            length of its own source plus 50, as in the paper.
        start_id: Token that starts an answer.
        end_id: Token that ends an answer.

    Returns:
        A dict: `"ids"` int32 `(B, num_hypotheses, L)` with the end token and then
        zeros, best first; `"scores"` float32 `(B, num_hypotheses)`, log-probabilities
        divided by the length penalty.

    Raises:
        ValueError: If `num_hypotheses` isn't between 1 and `beam_size`, or
            `max_length` isn't positive.

    Example:

    >>> answers = kt.decoding.generate(model, np.array([[17, 5, 3]]), beam_size=4)
    >>> answers["ids"][0, 0]

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 6.1.
    """
    check_search(beam_size, num_hypotheses, length_penalty, max_length)
    source_ids = ops.convert_to_tensor(source_ids, "int32")
    batch, source_length = ops.shape(source_ids)
    if max_length is None:
        lengths = ops.sum(ops.cast(ops.not_equal(source_ids, 0), "int32"), axis=1)
        max_lengths, longest = lengths + 50, source_length + 50
    else:
        max_lengths, longest = ops.full((batch,), max_length, "int32"), max_length
    state = model.start_decoding(source_ids, longest, beam_size)
    # Only what a step changes travels through the loop.
    changing = [cache["self"] for cache in state["caches"]]

    def step(ids, index, changing):
        caches = [
            {**cache, "self": own} for cache, own in zip(state["caches"], changing)
        ]
        logits, new_state = model.decode_step(ids, index, {**state, "caches": caches})
        return logits[:, -1], [cache["self"] for cache in new_state["caches"]]

    def reorder(changing, rows):
        return [
            {name: ops.take(cache, rows, axis=1) for name, cache in own.items()}
            for own in changing
        ]

    return beam_search(
        step,
        reorder,
        changing,
        max_lengths=max_lengths,
        longest=longest,
        beam_size=beam_size,
        num_hypotheses=num_hypotheses,
        alpha=length_penalty,
        start_id=start_id,
        end_id=end_id,
        banned_ids=(0, start_id),
    )


def check_search(beam_size, num_hypotheses, length_penalty, max_length):
    """Raises a ValueError for options that no search can follow."""
    if beam_size < 1:
        raise ValueError(f"beam_size must be positive; received beam_size={beam_size}.")
    if not 1 <= num_hypotheses <= beam_size:
        raise ValueError(
            "num_hypotheses must be between 1 and beam_size; received "
            f"num_hypotheses={num_hypotheses}, beam_size={beam_size}."
        )
    if length_penalty < 0:
        raise ValueError(
            "length_penalty must not be negative; "
            f"received length_penalty={length_penalty}."
        )
    if max_length is not None and max_length < 1:
        raise ValueError(
            f"max_length must be positive; received max_length={max_length}."
        )
