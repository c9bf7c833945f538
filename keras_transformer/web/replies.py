"""TF Serving's REST format: arrays -> answers in JSON."""

import base64
import json
from typing import Any

from werkzeug import Response

from keras_transformer.web.protocol import Refused

_SUFFIX_OF_BYTES = "_bytes"


def as_json(value: Any, indent: int | None = None) -> str:
    """A value in JSON, as the server writes it: text as text, and not as escapes.

    What Unicode can't encode, such as a lone surrogate of a request, is `"?"`.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "replace").decode("utf-8") + "\n"


def json_response(value: Any, status: int = 200, indent: int | None = None) -> Response:
    """An answer of a value in JSON."""
    return Response(as_json(value, indent), status, mimetype="application/json")


def write_outputs(outputs: dict[str, Any], by_rows: bool) -> str:
    """A signature's outputs as the server writes them.

    Args:
        outputs: Dict of arrays by name.
        by_rows: Whether the request had the row format.

    Returns:
        A string of JSON. With one output its values stand bare.
    """
    outputs = dict(sorted(outputs.items()))
    if by_rows:
        _check_rows(outputs)
    columns = {name: _plain(name, value) for name, value in outputs.items()}
    is_one = len(columns) == 1
    if not by_rows:
        found = next(iter(columns.values())) if is_one else columns
        return as_json({"outputs": found})
    rows = [*zip(*columns.values())]
    found = [row[0] if is_one else dict(zip(columns, row)) for row in rows]
    return as_json({"predictions": found})


def write_error(words: str) -> str:
    """An error's body."""
    return as_json({"error": words})


def _check_rows(outputs):
    rows = None
    for name, value in outputs.items():
        if not value.shape:
            raise Refused(f"Tensor name: {name} has no shape information ")
        if rows is not None and len(value) != rows:
            raise Refused(
                f"Tensor name: {name} has inconsistent batch size: {len(value)} "
                f"expecting: {rows}"
            )
        rows = len(value)


def _plain(name, array):
    """An array as nested lists of JSON's values."""
    if array.dtype == object:
        as_bytes = name.endswith(_SUFFIX_OF_BYTES)
        return _text(array.tolist(), as_bytes)
    if array.dtype.kind not in "biu":
        # The shortest digits that are this number: 0.1, not 0.10000000149.
        array = array.astype("float32" if array.dtype.itemsize < 8 else "float64")
        array = array.astype("U").astype("float64")
    return array.tolist()


def _text(value, as_bytes):
    if isinstance(value, list):
        return [_text(each, as_bytes) for each in value]
    if as_bytes:
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value.decode("utf-8", "replace")
