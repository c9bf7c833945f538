"""What would stop a SavedModel in the stock server."""

import pathlib

from keras_transformer.serving.warmup import read_warmup

# TF Serving links TensorFlow's own operations and those of TF Text.
_TEXT_OPERATIONS = (
    "ConstrainedSequence",
    "FastBertNormalize",
    "FastWordpiece",
    "Mst",
    "NGrams",
    "Normalize",
    "Phrase",
    "RegexSplit",
    "Rouge",
    "Sentencepiece",
    "Split",
    "TextFastWordpiece",
    "TFText",
    "TokenizerFromLogits",
    "UnicodeScript",
    "Utf8Binarize",
    "Whitespace",
    "Wordpiece",
)
_PYTHON_OPERATIONS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


def diagnose(path):
    """Reads any SavedModel and says what would stop or slow it in stock TF Serving.

    Args:
        path: Folder of one version of a model, or the folder of its versions, of which
            the newest is read.

    Returns:
        A list of strings, each a problem and the way out; empty if none was found.

    Raises:
        FileNotFoundError: If the folder holds no SavedModel.

    Example:

    >>> kt.serving.diagnose("saved_models/en-de")
    []
    """
    from tensorflow.core.protobuf import saved_model_pb2

    path = pathlib.Path(path)
    problems = []
    if not (path / "saved_model.pb").exists():
        versions = sorted(
            (p for p in path.glob("*/saved_model.pb") if p.parent.name.isdecimal()),
            key=lambda p: int(p.parent.name),
        )
        if not versions:
            raise FileNotFoundError(
                f"{path} holds no SavedModel: no saved_model.pb in it, nor in a folder "
                "whose name is a number."
            )
        path = versions[-1].parent
    elif not path.name.isdecimal():
        problems.append(
            f"The folder's name is {path.name!r}, but the server looks for versions: "
            f"move the model to {path / '1'} and serve {path}."
        )
    saved = saved_model_pb2.SavedModel.FromString(
        (path / "saved_model.pb").read_bytes()
    )
    graphs = [
        graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags
    ]
    if not graphs:
        return [*problems, 'No graph has the tag "serve": save it with tf.saved_model.']
    problems += _operation_problems(graphs[0].graph_def)
    problems += _signature_problems(graphs[0].signature_def)
    if not read_warmup(path):
        problems.append(
            "No warm-up: the first request will be slow. Write requests to "
            "assets.extra with kt.serving.write_warmup."
        )
    return problems


def _operation_problems(graph):
    from tensorflow.python.framework import op_def_registry

    functions = {f.signature.name: f for f in graph.library.function}
    nodes = [*graph.node, *(n for f in functions.values() for n in f.node_def)]
    operations = {node.op for node in nodes} - set(functions)
    python = sorted(operations.intersection(_PYTHON_OPERATIONS))
    if python:
        yield (
            f"Operations that call Python: {', '.join(python)}. The server has none: "
            "write them with TensorFlow's own."
        )
    unknown = sorted(
        name
        for name in operations
        if not op_def_registry.get(name) or name.startswith("Addons>")
        if not name.startswith(_TEXT_OPERATIONS) and name not in _PYTHON_OPERATIONS
    )
    if unknown:
        yield (
            f"Operations that the stock server lacks: {', '.join(unknown)}. Build a "
            "server with them, or use those of TensorFlow and TF Text."
        )
    if "_QuantizedMatMul" in operations:
        yield (
            "Products of int8: their sums overflow, and answers are wrong, unless the "
            "server's processor multiplies int8 (AVX-512 VNNI, AVX-VNNI or AMX)."
        )
    if "_MklNativeFusedMatMul" in operations:
        yield (
            "Products of packed kernels: the server ends at the first, unless it has "
            "oneDNN and its processor has AVX-512."
        )
    compiled = [
        name
        for name, function in functions.items()
        if function.attr["_XlaMustCompile"].b or function.attr["_XlaCompile"].b
    ]
    compiled += [n.name for n in nodes if n.attr["_XlaMustCompile"].b]
    if compiled:
        yield (
            "Functions that XLA must compile (jit_compile=True): signatures that call "
            "them fail unless the server has --xla_cpu_compilation_enabled."
        )


def _signature_problems(signatures):
    names = [name for name in signatures if not name.startswith("__")]
    if "serving_default" not in names:
        yield (
            'No signature "serving_default": clients must name one of '
            f"{', '.join(sorted(names))}."
        )
    for name in sorted(names):
        signature = signatures[name]
        for side, tensors in (
            ("input", signature.inputs),
            ("output", signature.outputs),
        ):
            for key, info in sorted(tensors.items()):
                shape = info.tensor_shape
                if shape.unknown_rank:
                    yield f"{name}: {side} {key!r} has a shape of unknown rank."
                elif not shape.dim:
                    yield (
                        f"{name}: {side} {key!r} is a scalar, without a batch "
                        "dimension: batching and REST rows need one first."
                    )
                elif shape.dim[0].size >= 0 and not signature.defaults.get(key):
                    yield (
                        f"{name}: the batch dimension of {side} {key!r} is always "
                        f"{shape.dim[0].size}; save it with None."
                    )
        lengths = {"source_length", "length", "lengths", "attention_mask", "mask"}
        wide = [
            key
            for key, info in signature.inputs.items()
            if sum(dim.size < 0 for dim in info.tensor_shape.dim) > 1
        ]
        if wide and not lengths & set(signature.inputs):
            yield (
                f"{name}: inputs of unbounded length ({', '.join(sorted(wide))}) and "
                "no lengths beside them: a server that pads batches pads with the "
                "first element, and the model can't tell."
            )
