"""Complete requests to a server, and answers without their padding."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

# What any export takes for "the default", where a server's metadata has no defaults.
_NEUTRAL = {
    "options": b"",
    "num_hypotheses": 1,
    "max_length": 0,
    "target_prefix": b"",
    "seed": 0,
}
# Options have one value for all texts, or one for each.
_OPTIONS = {*_NEUTRAL, "length_penalty", "max_new_tokens", "temperature", "top_p"}
# Outputs that say how many columns of others are a row's own.
_COLUMNS = {
    "num_hypotheses": ("translations", "scores"),
    "num_tokens": ("tokens", "log_probs", "aligned_source"),
    "num_source_tokens": ("source_tokens",),
    "num_pieces": ("pieces",),
    "num_sentences": ("sentences",),
    "output_length": ("output_ids",),
}


class ServingError(RuntimeError):
    """The server couldn't be reached, or refused the request; it says why.

    Args:
        words: What is wrong.
        may_pass: Whether the same request may succeed later.
    """

    def __init__(self, words: str, *, may_pass: bool = False) -> None:
        super().__init__(words)
        self.may_pass = may_pass


class InvalidRequest(ServingError, ValueError):
    """A request that no server could answer; it wasn't sent."""


def rows_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as arrays that have rows.

    Args:
        inputs: Dict of lists, tuples, arrays, tensors or single values by name.

    Returns:
        A dict of arrays; strings are arrays of bytes in UTF-8. What Unicode can't
        encode, such as a lone surrogate, becomes `"?"`, as in a `kt.Translator`.

    Raises:
        InvalidRequest: For what isn't strings or numbers, and for no rows at all.
    """
    request = {name: _rows(name, value) for name, value in inputs.items()}
    empty = [name for name, value in request.items() if len(value) == 0]
    if empty or not request:
        raise InvalidRequest(
            f"{' and '.join(empty) or 'text'} must have at least one row: a server "
            f"that joins requests never answers an empty one; received {inputs!r}."
        )
    return request


def complete_request(
    signature: str, request: dict[str, Any], definition: Any = None
) -> dict[str, Any]:
    """All inputs of a signature, each with a row for each text.

    Args:
        signature: Name of the signature.
        request: Dict of arrays, from `rows_of`.
        definition: Its `SignatureDef`: dtypes, and defaults of what is left out. Or
            None if it isn't known.

    Raises:
        InvalidRequest: For inputs that the signature can't have.
    """
    options = {}
    if "text" in request:
        _check_rank("text", request["text"], 1)
    if definition is not None:
        request, options = _of_signature(signature, request, definition)
    counts = {name: len(value) for name, value in request.items()}
    texts = [count for name, count in counts.items() if name not in options]
    most = max(texts or counts.values())
    for name, count in counts.items():
        if count == 1 and name in options:
            request[name] = np.repeat(request[name], most, axis=0)
        elif count != most:
            raise InvalidRequest(
                f"{name} must have as many rows as the other inputs; received {counts}."
            )
    return request


def glossary_options(bonus: Any, force: Any) -> str:
    """The options of the signature `glossary`: a string.

    Raises:
        InvalidRequest: If they aren't a number and a bool.
    """
    is_number = isinstance(bonus, numbers.Real) and not isinstance(bonus, bool)
    if bonus is not None and not (is_number and 0 <= bonus < float("inf")):
        raise InvalidRequest(
            "glossary_bonus must be a number that isn't negative, or None; received "
            f"glossary_bonus={bonus!r}."
        )
    if not isinstance(force, (bool, np.bool_)):
        raise InvalidRequest(
            f"glossary_force must be True or False; received glossary_force={force!r}."
        )
    given = [] if bonus is None else [f"bonus={float(bonus)}"]
    return " ".join(given + (["force=1"] if force else []))


def glossary_request(
    texts: list[str], glossaries: list[dict[str, str]]
) -> dict[str, Any]:
    """Inputs of the signature `glossary`.

    Args:
        texts: List of B strings.
        glossaries: List of B dicts of terms.

    Returns:
        A dict of lists. The first term of each text is empty: with what comes first in
        a request a server pads all its rows, where it joins it with others that have
        more terms.
    """
    found: dict[str, Any] = {"text": texts}
    most = max(map(len, glossaries))
    for name, part in (("source", dict.keys), ("target", dict.values)):
        found[f"glossary_{name}"] = [
            ["", *part(terms), *[""] * (most - len(terms))] for terms in glossaries
        ]
    return found


def without_padding(outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs whose rows end where their own answers do.

    Args:
        outputs: Dict of nested lists by name.
    """
    cut = dict(outputs)
    for name, padded in _COLUMNS.items():
        counts = outputs.get(name)
        for other in padded:
            rows = outputs.get(other)
            if counts and rows and isinstance(rows[0], list):
                cut[other] = [row[:count] for row, count in zip(rows, counts)]
    return cut


def _of_signature(signature, request, definition):
    """The request in the signature's dtypes, with defaults, and the options' names."""
    import tensorflow as tf

    known = definition.inputs
    if unknown := sorted(set(request) - set(known)):
        raise InvalidRequest(
            f"{signature} has no input {', '.join(unknown)}; its inputs are "
            f"{', '.join(sorted(known))}."
        )
    defaults = {name: tf.make_ndarray(v) for name, v in definition.defaults.items()}
    neutral = {n: np.array([v]) for n, v in _NEUTRAL.items() if n in known}
    defaults = {**neutral, **defaults}
    if missing := sorted(set(known) - set(request) - set(defaults)):
        raise InvalidRequest(
            f"{signature} needs {' and '.join(missing)} too: the server says no "
            f"default; received {', '.join(sorted(request)) or 'nothing'}."
        )
    complete = {}
    for name, info in sorted(known.items()):
        dtype = tf.as_dtype(info.dtype)
        value = request.get(name, defaults.get(name))
        complete[name] = _in_dtype(name, value, dtype)
        if not info.tensor_shape.unknown_rank:
            _check_rank(name, value, len(info.tensor_shape.dim))
    _check_terms(complete)
    return complete, set(defaults) | _OPTIONS


def _in_dtype(name, value, dtype):
    """An array in a signature's dtype, if its values are of that kind."""
    kinds = {"O": "string", "S": "string", "i": "integer", "b": "bool", "f": "float"}
    received = kinds[value.dtype.kind]
    fits = {
        "string": dtype.is_compatible_with("string"),
        "integer": dtype.is_integer or dtype.is_floating,
        "bool": dtype.is_bool,
        "float": dtype.is_floating,
    }[received]
    if fits and received == "integer" and dtype.is_integer:
        limits = np.iinfo(dtype.as_numpy_dtype)
        fits = value.min(initial=0) >= limits.min and value.max(initial=0) <= limits.max
    if not fits:
        raise InvalidRequest(
            f"{name} must be {dtype.name}; received {value.tolist()!r}."
        )
    return value.astype(object if received == "string" else dtype.as_numpy_dtype)


def _check_rank(name, value, rank):
    """Refuses other dimensions, with which a server that joins requests fails all."""
    if value.ndim != rank:
        words = "one value" if rank == 1 else "a list"
        raise InvalidRequest(
            f"{name} must have {words} in each row; received {value.tolist()!r}."
        )


def _check_terms(request):
    names = "glossary_source", "glossary_target"
    widths = [request[name].shape[1] for name in names if name in request]
    if len({*widths}) > 1:
        raise InvalidRequest(
            "glossary_source and glossary_target must have as many terms in each row; "
            f"received {widths[0]} and {widths[1]}."
        )


def _rows(name, value):
    """A value as an array that has rows, with bytes for strings."""
    array = _object_array(name, value)
    leaves = array.ravel().tolist()
    if all(isinstance(leaf, (str, bytes)) for leaf in leaves):
        found = np.empty(len(leaves), object)
        found[:] = [
            leaf.encode("utf-8", "replace") if isinstance(leaf, str) else bytes(leaf)
            for leaf in leaves
        ]
        return found.reshape(array.shape)
    if all(isinstance(leaf, (bool, np.bool_)) for leaf in leaves):
        return array.astype(bool)
    if all(isinstance(leaf, numbers.Integral) for leaf in leaves):
        if all(-(2**63) <= leaf < 2**63 for leaf in leaves):
            whole = array.astype("int64")
            fits = all(-(2**31) <= leaf < 2**31 for leaf in leaves)
            return whole.astype("int32") if fits else whole
    elif all(isinstance(leaf, numbers.Real) for leaf in leaves):
        return array.astype("float32")
    raise InvalidRequest(
        f"{name} must be strings or numbers, rows of equal length; received {value!r}."
    )


def _object_array(name, value):
    """Nested sequences as an array of objects, which keeps strings as they are."""
    value = value.numpy() if hasattr(value, "numpy") else value
    if isinstance(value, (str, bytes, numbers.Number, np.generic)):
        value = [value]
    elif isinstance(value, np.ndarray):
        value = value[None] if value.ndim == 0 else value
    elif isinstance(value, (dict, set)) or not np.iterable(value):
        raise InvalidRequest(
            f"{name} must be a list, an array or one value; received {value!r}."
        )
    else:
        value = list(value)
    try:
        return np.asarray(value, dtype=object)
    except ValueError:
        # Rows of unequal length, in some depth.
        return np.asarray([None])
