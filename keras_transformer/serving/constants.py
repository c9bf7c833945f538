"""Equal constants of an export, merged: a server's memory grows with each operation."""

import pathlib

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils


def merge_constants(path):
    """Leaves one of each constant in each function of a SavedModel.

    Tracing writes sizes, axes and small numbers anew wherever they are used, which is
    four of ten operations of a search. TensorFlow would merge them too, but only as it
    loads the graph, of which it then keeps both.

    Args:
        path: Folder of the SavedModel, which is changed.
    """
    file = pathlib.Path(path) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for meta in saved.meta_graphs:
        captured = _captured(meta.object_graph_def)
        for function in meta.graph_def.library.function:
            _merge(function, captured.get(function.signature.name, ()))
    file.write_bytes(saved.SerializeToString(deterministic=True))
    # It has a checksum of the graph.
    fingerprinting_utils.write_fingerprint(str(path))


def _captured(object_graph):
    """Names of the operations that `tf.saved_model.load` looks up, by function.

    Such are constants that a gradient of TensorFlow's own, as that of SiLU, needs.
    """
    names = {}
    for node in object_graph.nodes:
        if node.WhichOneof("kind") == "captured_tensor":
            tensor = node.captured_tensor
            operation = tensor.name.partition(":")[0]
            names.setdefault(tensor.concrete_function, set()).add(operation)
    return names


def _merge(function, captured):
    first, instead = {}, {}
    for node in function.node_def:
        # One with inputs waits for other operations.
        if node.op == "Const" and not node.input:
            attributes = sorted(
                (name, value.SerializeToString(deterministic=True))
                for name, value in node.attr.items()
            )
            same = first.setdefault((node.device, *attributes), node.name)
            if same != node.name and node.name not in captured:
                instead[node.name] = same
    if not instead:
        return
    kept = [node for node in function.node_def if node.name not in instead]
    for node in kept:
        node.input[:] = [_renamed(tensor, instead) for tensor in node.input]
    for results in (function.ret, function.control_ret):
        for name, tensor in results.items():
            results[name] = _renamed(tensor, instead)
    # Copies, as clearing the list takes what is in it.
    kept = [node.__class__.FromString(node.SerializeToString()) for node in kept]
    del function.node_def[:]
    function.node_def.extend(kept)


def _renamed(tensor, instead):
    """A tensor `name:output:index`, or `^name` for an operation to wait for."""
    waits = "^" if tensor.startswith("^") else ""
    name, colon, output = tensor.removeprefix("^").partition(":")
    return waits + instead.get(name, name) + colon + output
