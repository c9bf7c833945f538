"""A request against the signatures: why a server refuses it, and one to try."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


def request_problem(request: Any, signatures: Mapping[str, Any]) -> str | None:
    """Why a server refuses a `PredictRequest`, in words; None if it doesn't.

    Args:
        request: The request.
        signatures: The export's `SignatureDef`s by name.
    """
    name = request.model_spec.signature_name or "serving_default"
    if name not in signatures:
        known = ", ".join(sorted(signatures)) or "none at all"
        return f"the signature {name!r} isn't in the export, which has {known}"
    signature = signatures[name]
    if missing := set(signature.inputs) - set(request.inputs) - set(signature.defaults):
        return f"{name} needs {', '.join(sorted(missing))} too"
    for key, value in sorted(request.inputs.items()):
        if key not in signature.inputs:
            return f"{name} has no input {key!r}"
        info = signature.inputs[key]
        if value.dtype != info.dtype:
            wanted, found = (dtype_name(each.dtype) for each in (info, value))
            return f"{name} takes {wanted} for {key!r}, not {found}"
        shape = tf.TensorShape(value.tensor_shape)
        wanted = tf.TensorShape(info.tensor_shape)
        if not wanted.is_compatible_with(shape):
            return f"{name} takes the shape {wanted} for {key!r}, not {shape}"
        try:
            tf.make_ndarray(value)
        except (ValueError, TypeError):
            return f"the values of {key!r} aren't as many as its shape {shape} says"
    return None


def batching_problem(request: Any, signatures: Mapping[str, Any]) -> str | None:
    """Why a server with batching refuses a request that is right otherwise, or None."""
    signature = signatures[request.model_spec.signature_name or "serving_default"]
    inputs = {**signature.defaults, **request.inputs}
    rows = {name: request_rows(inputs[name]) for name in sorted(signature.inputs)}
    if 0 in rows.values():
        return "it has no row, and a server with batching never answers such a request"
    if len(set(rows.values())) > 1:
        return (
            f"its inputs have unequal numbers of rows, {rows}, which a server with "
            "batching refuses"
        )
    return None


def request_rows(value: Any) -> int | None:
    """The first dimension of a `TensorProto`; None for a scalar."""
    sizes = [dim.size for dim in value.tensor_shape.dim]
    return sizes[0] if sizes else None


def sample_request(signature: Any) -> dict[str, Any]:
    """Made-up `TensorProto`s for all inputs of a signature, of one row."""
    inputs = {}
    for name, info in signature.inputs.items():
        if name in signature.defaults:
            inputs[name] = signature.defaults[name]
            continue
        dtype, shape = tf.as_dtype(info.dtype), info.tensor_shape
        sizes = [1] if shape.unknown_rank else [max(dim.size, 1) for dim in shape.dim]
        kind = "S1" if dtype == tf.string else dtype.as_numpy_dtype
        value = np.full(sizes, b"a" if dtype == tf.string else 1, kind)
        inputs[name] = tf.make_tensor_proto(value, dtype, sizes)
    return inputs


def dtype_name(number: int) -> str:
    """A dtype's name for its number in a proto, of any number."""
    try:
        return tf.as_dtype(number).name
    except TypeError:
        return f"dtype {number}"
