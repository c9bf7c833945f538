"""What lies beside the graph: variables and assets."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import trackable_object_graph_pb2

from keras_transformer.serving.checks.finding import (
    ADVICE,
    FAILS,
    STOPS,
    Finding,
    Version,
)

_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
_ANEW = "Copy the folder anew, or export again."
# Names that a finding lists.
_MOST = 3


def check_variables(version: Version) -> Iterator[Finding]:
    """Index, checksums, and whether they are the graph's own variables."""
    folder = version.path / "variables"
    wanted = _restored(version)
    if not (folder / "variables.index").exists():
        if wanted:
            yield Finding(
                FAILS,
                f"{folder} has no variables.index: the server loads the model without "
                "its variables, takes it for available, in the place of the version "
                f"before, and fails each request. {_ANEW}",
            )
        return
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables"))
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
    except Exception as error:
        # Of many types: TensorFlow turns a status into one of Python's own.
        yield Finding(
            STOPS,
            f"{folder / 'variables.index'} is cut short or damaged "
            f"({_first_line(error)}). {_ANEW}",
        )
        return
    damaged, odd = [], []
    # TensorFlow compares a tensor's checksum as it reads it.
    for name in sorted(shapes):
        try:
            value = reader.get_tensor(name)
        except Exception as error:
            damaged.append(f"{name} ({_first_line(error)})")
        else:
            if _has_nan(value):
                odd.append(name)
    if damaged:
        yield Finding(
            STOPS,
            f"Variables can't be read, as their files are cut short, damaged or "
            f"missing in {folder}: {_listed(damaged)}. {_ANEW}",
        )
    if odd:
        yield Finding(
            ADVICE,
            f"Variables hold NaN: {_listed(odd)}. Answers can't be right: export the "
            "model before its training failed.",
        )
    if missing := sorted(set(wanted) - set(shapes)):
        yield Finding(
            STOPS,
            f"{folder} lacks variables of the graph, so they are another model's: "
            f"{_listed(missing)}. {_ANEW}",
        )
    others = [
        f"{name} ({dtypes[name].name} for {dtype.name})"
        for name, dtype in sorted(wanted.items())
        if name in dtypes and dtypes[name] != dtype
    ]
    if others:
        yield Finding(
            STOPS, f"Variables have another dtype than the graph's: {_listed(others)}."
        )
    if not damaged:
        yield from _shape_findings(version, reader, shapes)


def check_assets(version: Version) -> Iterator[Finding]:
    """Files that the graph reads as it is loaded."""
    for asset in version.meta.asset_file_def:
        file = version.path / "assets" / asset.filename
        if not file.is_file():
            yield Finding(
                STOPS, f"The asset {file} is missing: the graph reads it. {_ANEW}"
            )
        elif not file.stat().st_size:
            # A table of words can't be made of nothing; who else reads it may do so.
            tables = any(
                node.op.startswith("InitializeTableFromTextFile")
                for node in version.all_nodes()
            )
            yield Finding(
                STOPS if tables else ADVICE,
                f"The asset {file} is empty, as after a cut copy. {_ANEW}",
            )


def _restored(version):
    """Dtypes by name of the variables that loading reads."""
    names = {}
    for part in version.reached([version.meta.saver_def.restore_op_name]):
        if hasattr(part, "node_def"):
            scope = {node.name: node for node in part.node_def}
            names.update(_read_by(scope, scope.values()))
        else:
            names.update(_read_by(version.nodes, [part]))
    names.pop(_OBJECTS, None)
    return names


def _read_by(scope, nodes):
    """Pairs of name and dtype of what is read by those among nodes that restore."""
    for node in nodes:
        if node.op != "RestoreV2":
            continue
        constant = scope.get(node.input[1].split(":")[0])
        if constant is not None and constant.op == "Const":
            keys = tf.make_ndarray(constant.attr["value"].tensor).reshape(-1)
            types = map(tf.as_dtype, node.attr["dtypes"].list.type)
            yield from zip((key.decode() for key in keys), types)


def _shape_findings(version, reader, shapes):
    if _OBJECTS not in shapes:
        return
    try:
        stored = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
            reader.get_tensor(_OBJECTS)
        )
    except (message.DecodeError, TypeError):
        return
    others = []
    for node, saved in zip(stored.nodes, version.meta.object_graph_def.nodes):
        if saved.WhichOneof("kind") != "variable" or saved.variable.shape.unknown_rank:
            continue
        wanted = [dim.size for dim in saved.variable.shape.dim]
        for attribute in node.attributes:
            found = shapes.get(attribute.checkpoint_key)
            if attribute.name == "VARIABLE_VALUE" and found is not None:
                if not tf.TensorShape(found).is_compatible_with(
                    [None if size < 0 else size for size in wanted]
                ):
                    others.append(f"{attribute.checkpoint_key} ({found} for {wanted})")
    if others:
        yield Finding(
            FAILS,
            f"Variables have another shape than the graph's: {_listed(others)}. They "
            f"are another model's. {_ANEW}",
        )


def _has_nan(value):
    value = np.asarray(value)
    # TensorFlow's bfloat16 and float8 are of NumPy's kind "V" or "f".
    if value.dtype.kind not in "fcV":
        return False
    return bool(np.isnan(value.astype("complex64")).any())


def _listed(names):
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")


def _first_line(error):
    return str(getattr(error, "message", None) or error).splitlines()[0][:200]
