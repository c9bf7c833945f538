"""What `MultiHeadAttention` can be called with."""

import numpy as np

from keras_transformer import arguments
from keras_transformer.layers import cache as kv_cache
from keras_transformer.layers.shapes import CallCheck, check_start, shape_of

_OF_KEYS = "value", "key", "value_mask", "key_mask"


def check_attention_call(attention, given):
    """Raises a ValueError or TypeError for arguments that an attention can't take.

    Args:
        attention: The `MultiHeadAttention`.
        given: The arguments of its `call` as attributes.
    """
    arguments.flag("use_causal_mask", given.use_causal_mask)
    arguments.flag("return_attention_scores", given.return_attention_scores)
    arguments.integer("num_hypotheses", given.num_hypotheses)
    widths = attention.widths if attention.built else {}
    query_width = widths.get("query")
    value_width = widths.get("value", query_width)
    check = CallCheck(
        H=attention.num_heads,
        D=query_width,
        Dv=value_width,
        Dk=widths.get("key", value_width),
    )
    check.floats("query", given.query, "B T D")
    if given.cache is not None:
        others = *_OF_KEYS, "projected_value", "query_mask"
        _refuse(given, others, "cache", "which has all keys and values")
        _check_cached(check, given)
        return
    why = "without which it means nothing"
    _refuse(given, ["cache_index"], "cache", why, "no")
    check.mask("query_mask", given.query_mask, "B T")
    if given.projected_value is not None:
        _refuse(given, _OF_KEYS, "projected_value", "which has all keys and values")
        _check_projected(check, attention, given)
    else:
        _check_sequences(check, given)


def _check_sequences(check, given):
    if given.num_hypotheses != 1:
        raise ValueError(
            "num_hypotheses is for a call with a cache or projected_value; received "
            f"num_hypotheses={given.num_hypotheses}."
        )
    check.floats("value", given.value, "B S Dv", optional=True)
    check.floats("key", given.key, "B S Dk", optional=True)
    if given.value is None:
        _refuse(given, ["value_mask"], "value", "whose mask it is", "no")
        # The query stands for the value: its length is the keys' too.
        form = "B S D" if given.key is not None else "B T D"
        check.array("query", given.query, form)
    if given.key is None:
        _refuse(given, ["key_mask"], "key", "whose mask it is", "no")
    check.mask("value_mask", given.value_mask, "B S")
    check.mask("key_mask", given.key_mask, "B S")
    keys = "T" if given.value is None and given.key is None else "S"
    forms = (f"{axes} {keys}" for axes in ("T", "B T", "B H T"))
    check.mask("attention_mask", given.attention_mask, *forms, broadcasts=True)


def _check_cached(check, given):
    num_hypotheses, index = given.num_hypotheses, given.cache_index
    shape = tuple(given.query.shape)
    if num_hypotheses != 1 and shape[1] != 1:
        raise ValueError(
            "Hypotheses that share a cache go on by one position at a time; received "
            f"num_hypotheses={num_hypotheses}, a query of shape {shape}."
        )
    rows = CallCheck(H=check.size("H"), B=_rows(given.query, num_hypotheses))
    rows.heads("cache", given.cache, form="B H L K")
    if index is not None:
        check_start("cache_index", index)
    length, slots = shape[1], kv_cache.known_length(given.cache, num_hypotheses)
    if index is not None and None not in (length, slots):
        is_number = isinstance(index, (int, np.integer))
        if is_number and not 0 <= index <= slots - length:
            raise ValueError(
                f"cache_index must be from 0 to {slots - length} for a query of length "
                f"{length} and a cache of length {slots}; received "
                f"cache_index={index}."
            )
    _check_step_mask(given.attention_mask)


def _check_projected(check, attention, given):
    if attention.position_encoding is not None:
        raise ValueError(
            "projected_value is for attention without a position_encoding; received "
            f"position_encoding={attention.position_encoding!r}."
        )
    rows = CallCheck(H=check.size("H"), B=_rows(given.query, given.num_hypotheses))
    rows.heads("projected_value", given.projected_value)
    _check_step_mask(given.attention_mask)
    if given.use_causal_mask:
        raise ValueError(
            "use_causal_mask is for sequences, not for projected_value; received "
            "use_causal_mask=True. attention_mask says what each query sees."
        )


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


def _refuse(given, names, other, why, what="a"):
    """Raises a ValueError for arguments that go with, or without, another."""
    for name in names:
        value = getattr(given, name)
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
