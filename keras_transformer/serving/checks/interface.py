"""Signatures: what clients, REST and batching can't do with them."""

from collections.abc import Iterator

import tensorflow as tf

from keras_transformer.serving.checks.finding import ADVICE, FAILS, Finding, Version
from keras_transformer.serving.checks.request import dtype_name

_LENGTHS = {"length", "lengths", "source_length", "output_length"}
_LENGTHS |= {"attention_mask", "mask"}
# Terms come after an empty one, which is padding.
_WITH_PADDING = {"glossary_source", "glossary_target"}
# What JSON has no way to write, nor a request to hold.
_NOT_IN_JSON = ("complex", "resource", "variant", "qint", "quint")


def check_signatures(version: Version) -> Iterator[Finding]:
    """Names, tensors, shapes and defaults of all signatures."""
    signatures = version.signatures
    if not signatures:
        yield Finding(
            FAILS,
            "No signature: clients have nothing to ask. Save the model with "
            "signatures={...}.",
        )
    elif "serving_default" not in signatures:
        yield Finding(
            ADVICE,
            'No signature "serving_default": clients must name one of '
            f"{', '.join(signatures)}.",
        )
    for name, signature in signatures.items():
        if not signature.inputs or not signature.outputs:
            side = "outputs" if signature.inputs else "inputs"
            yield Finding(
                FAILS, f"{name} has no {side}: the server refuses its requests."
            )
        for side, tensors in (
            ("input", signature.inputs),
            ("output", signature.outputs),
        ):
            for key, info in sorted(tensors.items()):
                what = f"{name}: {side} {key!r}"
                yield from _tensor_findings(version, what, info)
                if info.WhichOneof("encoding") == "name":
                    is_option = side == "input" and key in signature.defaults
                    yield from _shape_findings(what, info.tensor_shape, is_option)
        yield from _default_findings(name, signature)
        yield from _length_findings(name, signature)


def batching_notes(version: Version) -> list[str]:
    """What holds of a model that a server with batching serves, whoever wrote it.

    Returns:
        A list of strings.
    """
    notes = [
        'An empty batch, such as {"inputs": {"text": []}}, is never '
        "answered by a server with batching, and keeps one of its threads for good: "
        "clients may not send any, and a proxy can refuse them.",
    ]
    for name, signature in version.signatures.items():
        one = [
            key
            for key, value in sorted(signature.defaults.items())
            if [dim.size for dim in value.tensor_shape.dim] in ([], [1])
        ]
        if one:
            notes.append(
                f"{name}: the defaults of {', '.join(one)} have one row. REST fills in "
                "none; gRPC does, but with batching all inputs need the same number of "
                "rows: requests of several rows must give all inputs."
            )
        elif len(signature.inputs) > 1:
            notes.append(
                f"{name}: with batching, all its inputs "
                f"({', '.join(sorted(signature.inputs))}) need the same number of rows."
            )
    return notes


def _tensor_findings(version, what, info):
    """A tensor that the graph doesn't have, or that requests can't hold."""
    encoding = info.WhichOneof("encoding")
    if encoding != "name":
        yield Finding(
            FAILS,
            f"{what} is {'no tensor' if encoding is None else 'a ' + encoding}: "
            "requests hold dense tensors only. Take the parts as inputs.",
        )
        return
    found = _dtype_in_graph(version, info.name)
    if found is None:
        yield Finding(
            FAILS,
            f"{what} is the tensor {info.name!r}, which the graph lacks: each request "
            "fails. Export the model again.",
        )
    elif found not in (0, info.dtype):
        named, own = (dtype_name(dtype) for dtype in (info.dtype, found))
        yield Finding(
            FAILS,
            f"{what} is said to be {named}, but the graph's tensor is {own}: each "
            "request fails. Export the model again.",
        )
    elif dtype_name(info.dtype).startswith(_NOT_IN_JSON):
        yield Finding(
            ADVICE,
            f"{what} is {dtype_name(info.dtype)}, which JSON can't hold: use gRPC.",
        )


def _dtype_in_graph(version, tensor):
    """The dtype's number of a tensor of the graph; 0 if unknown, None if no tensor."""
    name, _, output = tensor.partition(":")
    node = version.nodes.get(name)
    if node is None or not (output or "0").isdecimal():
        return None
    index = int(output or 0)
    if "Tout" in node.attr:
        dtypes = node.attr["Tout"].list.type
        return dtypes[index] if index < len(dtypes) else None
    # Others with several outputs have dtypes that only TensorFlow knows.
    known = index == 0 and node.op in ("Placeholder", "Const", "Identity")
    key = "T" if node.op == "Identity" else "dtype"
    return node.attr[key].type if known and key in node.attr else 0


def _shape_findings(what, shape, is_option):
    if shape.unknown_rank:
        yield Finding(ADVICE, f"{what} has a shape of unknown rank.")
    elif not shape.dim:
        yield Finding(
            FAILS,
            f"{what} is a scalar, without a batch dimension: batching and REST rows "
            "need one first.",
        )
    elif shape.dim[0].size >= 0 and not is_option:
        yield Finding(
            FAILS,
            f"{what}: the batch dimension is always {shape.dim[0].size}, so that the "
            "server can't join requests, nor take fewer rows; save it with None.",
        )


def _default_findings(name, signature):
    for key, value in sorted(signature.defaults.items()):
        info = signature.inputs.get(key)
        if info is None:
            problem = "is of no input"
        elif value.dtype != info.dtype:
            problem = f"is {dtype_name(value.dtype)} for {dtype_name(info.dtype)}"
        elif not tf.TensorShape(info.tensor_shape).is_compatible_with(
            tf.TensorShape(value.tensor_shape)
        ):
            problem = "has another shape than the input"
        else:
            continue
        yield Finding(
            FAILS,
            f"{name}: the default of {key!r} {problem}: requests that leave it out "
            "fail. Export the model again.",
        )


def _length_findings(name, signature):
    wide = [
        key
        for key, info in signature.inputs.items()
        if sum(dim.size < 0 for dim in info.tensor_shape.dim) > 1
        and key not in _WITH_PADDING
    ]
    if wide and not _LENGTHS & set(signature.inputs):
        yield Finding(
            ADVICE,
            f"{name}: inputs of unbounded length ({', '.join(sorted(wide))}) and no "
            "lengths beside them: a server that pads batches pads with the first "
            "element, and the model can't tell.",
        )
