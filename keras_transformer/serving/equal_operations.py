"""Smaller graphs of exports: a server's memory grows with each operation."""

import os
import pathlib
from collections.abc import Iterable
from typing import Any

from tensorflow.core.framework import function_pb2, node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import fingerprinting_utils

# It changes nothing, though TensorFlow counts it among those with a state.
_READ = "ReadVariableOp"


def merge_equal_operations(path: str | os.PathLike) -> None:
    """Leaves one of each operation in each function of a SavedModel.

    Tracing writes sizes, axes and small numbers anew wherever they are used, and what
    is computed of them; some of it nothing uses. TensorFlow would merge them too, but
    only as it loads the graph, of which it then keeps both. Notes of shapes and of
    names in the source go as well: a server infers shapes itself.

    Args:
        path: Folder of the SavedModel, which is changed.
    """
    file = pathlib.Path(path) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for meta in saved.meta_graphs:
        captured = _captured(meta.object_graph_def)
        for function in meta.graph_def.library.function:
            _merge(function, captured.get(function.signature.name, set()))
    file.write_bytes(saved.SerializeToString(deterministic=True))
    # It has a checksum of the graph.
    fingerprinting_utils.write_fingerprint(str(path))


def _captured(object_graph: Any) -> dict[str, set[str]]:
    """Names of the operations that `tf.saved_model.load` looks up, by function.

    Such are constants that a gradient of TensorFlow's own, as that of SiLU, needs.
    """
    names: dict[str, set[str]] = {}
    for node in object_graph.nodes:
        if node.WhichOneof("kind") == "captured_tensor":
            tensor = node.captured_tensor
            operation = tensor.name.partition(":")[0]
            names.setdefault(tensor.concrete_function, set()).add(operation)
    return names


def _merge(function: function_pb2.FunctionDef, looked_up: set[str]) -> None:
    nodes = {node.name: node for node in function.node_def}
    looked_up = looked_up | _colocated(nodes.values())
    first: dict[tuple, str] = {}
    instead: dict[str, str] = {}
    kept = []
    for node in _in_order(function, nodes, looked_up):
        node.input[:] = [_renamed(tensor, instead) for tensor in node.input]
        node.ClearField("experimental_debug_info")
        node.attr.pop("_output_shapes", None)
        if not _has_state(node):
            same = first.setdefault(_key(node), node.name)
            if same != node.name and node.name not in looked_up:
                instead[node.name] = same
                continue
        kept.append(node)
    for results in (function.ret, function.control_ret):
        for name, tensor in results.items():
            results[name] = _renamed(tensor, instead)
    # Copies, as clearing the list takes what is in it.
    kept = [node_def_pb2.NodeDef.FromString(node.SerializeToString()) for node in kept]
    del function.node_def[:]
    function.node_def.extend(kept)


def _in_order(
    function: Any, nodes: dict[str, Any], looked_up: set[str]
) -> list[node_def_pb2.NodeDef]:
    """The operations that something uses, each after its inputs."""
    results = [*function.ret.values(), *function.control_ret.values(), *looked_up]
    effects = [n.name for n in nodes.values() if _has_state(n) and n.op != _READ]
    order, seen = [], set()
    waiting = [(_name(each), False) for each in (*effects, *results)][::-1]
    while waiting:
        name, is_ready = waiting.pop()
        if is_ready:
            order.append(nodes[name])
        elif name in nodes and name not in seen:
            seen.add(name)
            waiting.append((name, True))
            waiting += [(_name(tensor), False) for tensor in nodes[name].input]
    return order


def _has_state(node: Any) -> bool:
    definition = op_def_registry.get(node.op)
    return definition is None or definition.is_stateful


def _colocated(nodes: Iterable[Any]) -> set[str]:
    """Names of the operations that others must be on one device with."""
    return {
        name.decode().removeprefix("loc:@")
        for node in nodes
        if "_class" in node.attr
        for name in node.attr["_class"].list.s
    }


def _key(node: Any) -> tuple:
    """What is equal of operations that compute the same."""
    attributes = sorted(
        (name, value.SerializeToString(deterministic=True))
        for name, value in node.attr.items()
    )
    return (node.op, node.device, *node.input, *attributes)


def _name(tensor: str) -> str:
    """The operation of a tensor `name:output:index`, or `^name`."""
    return tensor.removeprefix("^").partition(":")[0]


def _renamed(tensor: str, instead: dict[str, str]) -> str:
    """A tensor `name:output:index`, or `^name` for an operation to wait for."""
    waits = "^" if tensor.startswith("^") else ""
    name, colon, output = tensor.removeprefix("^").partition(":")
    return waits + instead.get(name, name) + colon + output
