"""What is served: one version of a model, from an export or built in memory."""

import inspect
import os
import pathlib
import threading
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from keras_transformer.serving.checks.folders import read_version
from keras_transformer.serving.export import signature_graphs
from keras_transformer.web.joining import Joined

_PREDICT = "tensorflow/serving/predict"
_KINDS = {
    "translation": "translator",
    "generated": "generator",
    "label": "classifier",
    "embedding": "embedder",
}
# Keras keeps scopes while a graph is traced.
_TRACING = threading.Lock()


class Servable:
    """Signatures that can be asked.

    Args:
        definitions: `SignatureDef` by signature's name.
        functions: Function of keyword arguments by signature's name.
        text_model: What they were built of in memory, if they were.
        **joining: Arguments of `Joined`.
    """

    def __init__(
        self,
        definitions: dict[str, Any],
        functions: dict[str, Any],
        text_model: Any = None,
        **joining: Any,
    ) -> None:
        self.definitions = definitions
        self.text_model = text_model
        self.loaded: Any = None
        self._functions = functions
        self._joined = Joined(self._run, **joining)

    def ask(
        self, name: str, inputs: dict[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        """A signature's outputs, arrays by name, perhaps joined with other requests.

        Args:
            name: The signature.
            inputs: Dict of arrays, all of the signature's inputs.
            timeout: Seconds to wait.
        """
        return self._joined.ask(name, inputs, timeout)

    def warm_up(self) -> None:
        """Asks what the page asks: a signature's first request takes seconds."""
        for name in ("serving_default", "explain", "with_options"):
            definition = self.definitions.get(name)
            if definition and {*definition.inputs} <= {"text", "options"}:
                for rows in (1, 2):
                    texts = np.full(rows, b"", object)
                    self._run(name, {key: texts for key in definition.inputs})

    def _run(self, name, inputs):
        infos = self.definitions[name].inputs
        inputs = {n: tf.constant(v, infos[n].dtype) for n, v in inputs.items()}
        found = self._functions[name](**inputs)
        return {n: value.numpy() for n, value in found.items()}


def kind_of(servable: Servable) -> str:
    """`"translator"`, `"generator"`, `"classifier"`, `"embedder"` or `"other"`."""
    definition = servable.definitions.get("serving_default")
    if definition is None or [*definition.inputs] != ["text"]:
        return "other"
    for output, kind in _KINDS.items():
        if output in definition.outputs:
            return kind
    return "other"


def load_export(path: str | os.PathLike, **joining: Any) -> Servable:
    """The version of a SavedModel in a folder.

    Raises:
        ValueError: If it can't be loaded; its words name no path.
    """
    path = pathlib.Path(path)
    if not any(
        (path / name).exists() for name in ("saved_model.pb", "saved_model.pbtxt")
    ):
        raise ValueError("saved_model.pb is missing")
    version, findings = read_version(path)
    if version is None:
        raise ValueError(str(findings[0]).replace(str(path), path.name))
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        kind = type(error).__name__
        raise ValueError(f"its graph or variables can't be loaded ({kind})") from error
    functions = dict(loaded.signatures)
    if not functions:
        raise ValueError("it has no signature")
    definitions = {name: version.signatures[name] for name in functions}
    servable = Servable(definitions, functions, **joining)
    # Functions of a SavedModel hold its variables by weak references.
    servable.loaded = loaded
    return servable


def build_servable(text_model: Any, **joining: Any) -> Servable:
    """The signatures that an export of a text model would have, in memory.

    Args:
        text_model: A `kt.Translator`, `kt.TextGenerator` or `kt.TextEncoder`.
    """
    graphs = signature_graphs(text_model)
    functions = graphs.functions()
    with _TRACING:
        definitions = {name: _definition(f) for name, f in functions.items()}
    servable = Servable(definitions, functions, text_model, **joining)
    servable.loaded = graphs
    return servable


def _definition(function):
    """The `SignatureDef` that an export of a `tf.function` would have."""
    concrete = function.get_concrete_function()
    definition = meta_graph_pb2.SignatureDef(method_name=_PREDICT)
    parameters = inspect.signature(function.python_function).parameters
    specs, named = concrete.structured_input_signature
    for spec in (*specs, *named.values()):
        definition.inputs[spec.name].CopyFrom(_info(spec))
        default = parameters[spec.name].default
        if tf.is_tensor(default):
            proto = tf.make_tensor_proto(default.numpy())
            definition.defaults[spec.name].CopyFrom(proto)
    for name, value in concrete.structured_outputs.items():
        definition.outputs[name].CopyFrom(_info(value, name))
    return definition


def _info(spec, name=None):
    return meta_graph_pb2.TensorInfo(
        name=f"{name or spec.name}:0",
        dtype=spec.dtype.as_datatype_enum,
        tensor_shape=spec.shape.as_proto(),
    )
