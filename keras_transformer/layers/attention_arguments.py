"""What `MultiHeadAttention` can be called with."""

import numpy as np

from keras_transformer.layers import cache as kv_cache
from keras_transformer.layers.arguments import check_flag, check_positive
from keras_transformer.layers.shapes import CallCheck, check_start, shape_of


def check_attention_call(
    attention,
    query,
    value=None,
    key=None,
    query_mask=None,
    value_mask=None,
    key_mask=None,
    attention_mask=None,
    use_causal_mask=False,
    return_attention_scores=False,
    cache=None,
    cache_index=None,
    projected_value=None,
    num_hypotheses=1,
    training=None,
):
    """Raises a ValueError or TypeError for arguments that an attention can't take."""
    check_flag("use_causal_mask", use_causal_mask)
    check_flag("return_attention_scores", return_attention_scores)
    check_positive("num_hypotheses", num_hypotheses)
    widths = attention.widths if attention.built else {}
    query_width = widths.get("query")
    value_width = widths.get("value", query_width)
    check = CallCheck(
        H=attention.num_heads,
        D=query_width,
        Dv=value_width,
        Dk=widths.get("key", value_width),
    )
    check.floats("query", query, "B T D")
    given = {"value": value, "key": key, "value_mask": value_mask, "key_mask": key_mask}
    if cache is not None:
        given |= {"projected_value": projected_value, "query_mask": query_mask}
        _refuse(given, "cache", "which has all keys and values")
        _check_cached(check, query, attention_mask, cache, cache_index, num_hypotheses)
        return
    _refuse(
        {"cache_index": cache_index}, "cache", "without which it means nothing", "no"
    )
    check.mask("query_mask", query_mask, "B T")
    if projected_value is not None:
        _refuse(given, "projected_value", "which has all keys and values")
        _check_projected(
            check, attention, query, attention_mask, projected_value, num_hypotheses
        )
        if use_causal_mask:
            raise ValueError(
                "use_causal_mask is for sequences, not for projected_value; received "
                "use_causal_mask=True. attention_mask says what each query sees."
            )
        return
    if num_hypotheses != 1:
        raise ValueError(
            "num_hypotheses is for a call with a cache or projected_value; received "
            f"num_hypotheses={num_hypotheses}."
        )
    check.floats("value", value, "B S Dv", optional=True)
    check.floats("key", key, "B S Dk", optional=True)
    if value is None:
        _refuse({"value_mask": value_mask}, "value", "whose mask it is", "no")
        # The query stands for the value: its length is the keys' too.
        check.array("query", query, "B S D" if key is not None else "B T D")
    if key is None:
        _refuse({"key_mask": key_mask}, "key", "whose mask it is", "no")
    check.mask("value_mask", value_mask, "B S")
    check.mask("key_mask", key_mask, "B S")
    keys = "T" if value is None and key is None else "S"
    check.mask(
        "attention_mask",
        attention_mask,
        *(f"{axes} {keys}" for axes in ("T", "B T", "B H T")),
        broadcasts=True,
    )


def _check_cached(check, query, mask, cache, index, num_hypotheses):
    if num_hypotheses != 1 and query.shape[1] != 1:
        raise ValueError(
            "Hypotheses that share a cache go on by one position at a time; received "
            f"num_hypotheses={num_hypotheses}, a query of shape {tuple(query.shape)}."
        )
    rows = CallCheck(H=check.size("H"), B=_rows(query, num_hypotheses))
    rows.heads("cache", cache, form="B H L K")
    if index is not None:
        check_start("cache_index", index)
    length, slots = query.shape[1], kv_cache.known_length(cache, num_hypotheses)
    if index is not None and None not in (length, slots):
        is_number = isinstance(index, (int, np.integer))
        if is_number and not 0 <= index <= slots - length:
            raise ValueError(
                f"cache_index must be from 0 to {slots - length} for a query of length "
                f"{length} and a cache of length {slots}; received "
                f"cache_index={index}."
            )
    _check_step_mask(mask)


def _check_projected(check, attention, query, mask, projected, num_hypotheses):
    if attention.position_encoding is not None:
        raise ValueError(
            "projected_value is for attention without a position_encoding; received "
            f"position_encoding={attention.position_encoding!r}."
        )
    rows = CallCheck(H=check.size("H"), B=_rows(query, num_hypotheses))
    rows.heads("projected_value", projected)
    _check_step_mask(mask)


def _check_step_mask(mask):
    # Its axes are those of hypotheses, or of queries, and of a cache that may grow.
    CallCheck().mask("attention_mask", mask, "T S", "B T S", "B H T S", broadcasts=True)


def _rows(query, num_hypotheses):
    """The number of rows that hypotheses share, or None."""
    rows = shape_of(query)[0]
    if rows is not None and rows % num_hypotheses:
        raise ValueError(
            "num_hypotheses must divide the number of query rows; received "
            f"num_hypotheses={num_hypotheses}, a query of shape {tuple(query.shape)}."
        )
    return rows and rows // num_hypotheses


def _refuse(arguments, other, why, what="a"):
    """Raises a ValueError for arguments that go with, or without, another."""
    for name, value in arguments.items():
        if value is not None:
            shape = getattr(value, "shape", None)
            received = f" of shape {tuple(shape)}" if shape is not None else ""
            raise ValueError(
                f"{name} can't be given with {what} {other}, {why}; received {name}"
                f"{received or '=' + repr(value)}."
            )


def check_cache_length(max_length):
    """Raises a ValueError unless a cache's length is None, a tensor or not negative."""
    if max_length is not None and not hasattr(max_length, "shape"):
        is_integer = isinstance(max_length, int) and not isinstance(max_length, bool)
        if not is_integer or max_length < 0:
            raise ValueError(
                "max_length must be None or an integer that isn't negative; received "
                f"max_length={max_length!r}."
            )
