"""TF Serving's REST format: requests in JSON -> arrays, by the server's own rules.

Reference: [RESTful API](https://www.tensorflow.org/tfx/serving/api_rest).
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

_KINDS = {bool: "Bool", int: "Number", float: "Number", str: "String", list: "Array"}
_FLOATS = {tf.float32: "float", tf.float64: "double"}
# What an error quotes of a request, in characters.
_QUOTED = 300


class Refused(Exception):
    """A request that isn't answered.

    Args:
        words: What is wrong.
        status: The HTTP status.
        headers: Dict of further headers.
    """

    def __init__(
        self, words: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(words)
        self.status = status
        self.headers = dict(headers or {})


def read_json(body: bytes) -> dict[str, Any]:
    """The object in a request's body.

    Args:
        body: Bytes. What isn't UTF-8 in them is kept, as surrogates.

    Raises:
        Refused: If the body is no JSON object.
    """
    if not body:
        raise Refused("JSON Parse error: The document is empty")
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    try:
        found = json.loads(text, object_pairs_hook=_first_of_each)
    except json.JSONDecodeError as error:
        raise Refused(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (RecursionError, ValueError):
        # Too many brackets, or a number of thousands of digits.
        raise Refused("JSON Parse error: Value is too deep or too large") from None
    if not isinstance(found, dict):
        raise Refused(f"JSON Value: {_quoted(found)} Is not object")
    return found


def signature_name(request: dict[str, Any]) -> str:
    """The signature that a request asks for."""
    name = request.get("signature_name", "serving_default")
    if not isinstance(name, str):
        raise Refused(
            f"JSON Value: {_quoted(request)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name or "serving_default"


def read_inputs(
    request: dict[str, Any], infos: Mapping[str, Any]
) -> tuple[dict[str, Any], bool]:
    """The tensors of a request, in row format (`instances`) or column format.

    Args:
        request: Dict from `read_json`.
        infos: The signature's inputs: `TensorInfo` by name.

    Returns:
        A tuple of a dict of arrays by name, strings as bytes in arrays of objects; and
        whether the request has the row format, which its answer has too.

    Raises:
        Refused: In the server's words.
    """
    # A map of protocol buffers can't be asked for what isn't UTF-8.
    infos = dict(infos)
    by_rows = "instances" in request
    if by_rows and "inputs" in request:
        raise Refused(
            f"JSON Value: {_quoted(request)} Not formatted correctly expecting only "
            "one of 'inputs' or 'instances' keys to exist "
        )
    if by_rows:
        rows = request["instances"]
        if not isinstance(rows, list):
            raise Refused(
                f"JSON Value: {_quoted(request)} Excepting 'instances' to be an "
                "list/array"
            )
        if not rows:
            raise Refused(
                f"JSON Value: {_quoted(request)} No values in 'instances' array"
            )
        return _from_rows(rows, infos), True
    if "inputs" not in request:
        raise Refused("Missing 'inputs' or 'instances' key")
    return _from_columns(request["inputs"], infos), False


def _first_of_each(pairs):
    return dict(reversed(pairs))


def _quoted(value):
    text = json.dumps(value, ensure_ascii=False, indent=4)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def _is_base64(value):
    return isinstance(value, dict) and [*value] == ["b64"] and _is_text(value["b64"])


def _is_text(value):
    return isinstance(value, str)


def _is_row(value):
    """Whether an instance is an object with an input's value by each name."""
    return isinstance(value, dict) and not _is_base64(value)


def _from_rows(rows, infos):
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise Refused(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    named, tensors = _is_row(rows[0]), {name: [] for name in infos}
    for number, row in enumerate(rows):
        if _is_row(row) != named:
            wanted = "object but got list" if named else "value/list but got object"
            raise Refused(f"Expecting {wanted} at item {number} of input list")
        if named:
            _add_row(row, number, infos, tensors)
        else:
            (name,) = infos
            _add_item(row, name, number, infos, tensors)
    return {
        name: np.stack(values) if values[0].shape else _array(values)
        for name, values in tensors.items()
    }


def _array(scalars):
    dtype = scalars[0].dtype
    found = np.empty(len(scalars), dtype)
    found[:] = [each[()] for each in scalars]
    return found


def _add_row(row, number, infos, tensors):
    for name, value in row.items():
        where = f"Failed to process element: {number} key: {name} of 'instances' list."
        if name not in infos:
            raise Refused(
                f"{where} Error: INVALID_ARGUMENT: JSON object: does not have named "
                f"input: {name}"
            )
        _add_item(value, name, number, infos, tensors, where)
    if set(row) != set(infos):
        raise Refused(
            f"Failed to process element: {number} of 'instances' list. JSON object: "
            f"{_quoted(row)} keys must be equal to: {','.join(sorted(infos))}"
        )


def _add_item(value, name, number, infos, tensors, where=None):
    where = where or f"Failed to process element: {number} of 'instances' list."
    try:
        tensor = _tensor(value, tf.as_dtype(infos[name].dtype))
        _check_alike(tensor, tensors[name])
    except Refused as error:
        raise Refused(f"{where} Error: INVALID_ARGUMENT: {error}") from None
    tensors[name].append(tensor)


def _check_alike(tensor, others):
    if not others:
        return
    first = others[0]
    if tensor.size != first.size:
        raise Refused(f"Expecting tensor size: {first.size} but got: {tensor.size}")
    if tensor.shape != first.shape:
        raise Refused(
            f"Expecting shape {[*first.shape]} but got: {[*tensor.shape]}".replace(
                ", ", ","
            )
        )


def _from_columns(value, infos):
    if not isinstance(value, dict) or _is_base64(value):
        if len(infos) > 1:
            raise Refused(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        value = {name: value for name in infos}
    found = {}
    for name, info in sorted(infos.items()):
        # The server passes over names that the signature doesn't have.
        if name not in value:
            raise Refused(f"Missing named input: {name} in 'inputs' object.")
        found[name] = _tensor(value[name], tf.as_dtype(info.dtype))
    return found


def _tensor(value, dtype):
    """A value, or nested lists of values, as an array."""
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    values = []
    _fill(value, 0, shape, dtype, values)
    array = np.empty(len(values), object)
    array[:] = values
    if dtype != tf.string:
        array = array.astype(dtype.as_numpy_dtype)
    return array.reshape(shape)


def _fill(value, level, shape, dtype, values):
    if not isinstance(value, list):
        if level != len(shape):
            raise Refused(
                f"JSON Value: {_quoted(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        values.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise Refused(
            f"Encountered list at unexpected level: {level} expected < {len(shape)}"
        )
    if len(value) != shape[level]:
        raise Refused(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for each in value:
        _fill(each, level + 1, shape, dtype, values)


def _scalar(value, dtype):
    if dtype == tf.string:
        return _bytes(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if dtype.is_bool:
        fits = isinstance(value, bool)
    elif dtype.is_integer:
        fits = is_whole and dtype.min <= value <= dtype.max
    else:
        fits = is_whole or isinstance(value, float)
    if not fits:
        raise _wrong_type(value, dtype)
    if dtype in _FLOATS and math.isfinite(value):
        digits = 24 if dtype == tf.float32 else 53
        limit = 2**digits - 1 if is_whole else float(dtype.max)
        if abs(value) > limit:
            raise Refused(
                f"Cannot convert JSON value: {_quoted(value)} to {_FLOATS[dtype]} "
                "without loss of precision."
            )
    return value


def _bytes(value):
    if isinstance(value, dict):
        if not _is_base64(value):
            raise Refused(
                f"JSON Value: {_quoted(value)} not formatted correctly for base64 data"
            )
        try:
            encoded = value["b64"].encode("ascii")
            padding = b"=" * (-len(encoded) % 4)
            return base64.b64decode(encoded + padding, validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise Refused("Unable to base64 decode") from None
    if not isinstance(value, str):
        raise _wrong_type(value, tf.string)
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Refused(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from None


def _wrong_type(value, dtype):
    kind = (
        {None: "Null", True: "True", False: "False"}.get(value)
        if (value is None or isinstance(value, bool))
        else "Object"
        if isinstance(value, dict)
        else _KINDS[type(value)]
    )
    return Refused(
        f"JSON Value: {_quoted(value)} Type: {kind} is not of expected type: "
        f"{_FLOATS.get(dtype, dtype.name)}"
    )
