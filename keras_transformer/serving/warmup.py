"""Requests that the server plays to a model it has loaded, before the first user's."""

import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import message

WARMUP_FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
# What the server reads at most.
MOST_REQUESTS = 1000


def write_warmup(path, requests, *, xla=False):
    """Writes requests for TF Serving's warm-up beside an export.

    The server doesn't load a model whose warm-up fails, so requests are compared with
    the export's signatures first.

    Args:
        path: Folder of one version of an export.
        requests: List of pairs: a signature's name, and a dict of its inputs, arrays or
            nested lists by name.
        xla: Whether the server will compile with XLA, so that requests may be for
            signatures that need it. A server without it won't load the model then.

    Raises:
        ValueError: For more requests than the server reads, and for those that the
            export can't answer.

    Reference: [SavedModel Warmup](https://www.tensorflow.org/tfx/serving/saved_model_warmup).
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    if len(requests) > MOST_REQUESTS:
        raise ValueError(
            f"requests must be at most {MOST_REQUESTS}; received {len(requests)} of "
            "them."
        )
    version = _version(path)
    logs = []
    for number, (signature, inputs) in enumerate(requests):
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        if version is not None:
            _check_request(version, number, request, xla)
        logs.append(
            prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
        )
    file = pathlib.Path(path) / WARMUP_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def read_warmup(path):
    """The requests beside an export, as `write_warmup` takes them; none if no file."""
    requests = []
    for log in read_logs(path):
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(v) for name, v in request.inputs.items()}
        requests.append((request.model_spec.signature_name, inputs))
    return requests


def read_logs(path):
    """The `PredictionLog`s beside an export; none if no file.

    Raises:
        ValueError: For a file that the server can't read.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    file = pathlib.Path(path) / WARMUP_FILE
    if not file.exists():
        return []
    try:
        records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
        return [prediction_log_pb2.PredictionLog.FromString(each) for each in records]
    except (tf.errors.OpError, message.DecodeError) as error:
        raise ValueError(
            f"{file} is cut short, or no file of warm-up requests "
            f"({type(error).__name__}). Write it with kt.serving.write_warmup, or "
            "delete it."
        ) from error


def request_problem(request, signatures):
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
            wanted, found = (_dtype_name(each.dtype) for each in (info, value))
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


def batching_problem(request, signatures):
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


def request_rows(value):
    """The first dimension of a `TensorProto`; None for a scalar."""
    sizes = [dim.size for dim in value.tensor_shape.dim]
    return sizes[0] if sizes else None


def sample_request(signature):
    """Made-up `TensorProto`s for all inputs of a signature, of one row."""
    inputs = {}
    for name, info in signature.inputs.items():
        if name in signature.defaults:
            inputs[name] = signature.defaults[name]
            continue
        dtype = tf.as_dtype(info.dtype)
        shape = [1] if info.tensor_shape.unknown_rank else info.tensor_shape.dim
        sizes = [
            1 if getattr(d, "size", 1) < 0 else getattr(d, "size", 1) for d in shape
        ]
        value = np.full(sizes, b"a" if dtype == tf.string else 1)
        inputs[name] = tf.make_tensor_proto(value, dtype, sizes)
    return inputs


def _check_request(version, number, request, xla):
    name = request.model_spec.signature_name or "serving_default"
    problem = request_problem(request, version.signatures)
    if not problem and name in version.xla_signatures and not xla:
        problem = (
            f"XLA must compile {name}, and a server without it won't load the model; "
            "give xla=True if the server has --xla_cpu_compilation_enabled"
        )
    if problem:
        raise ValueError(
            f"requests[{number}] isn't one that the export answers: {problem}."
        )


def _version(path):
    """The export that requests are for, or None if there is none to read."""
    from keras_transformer.serving.checks.folders import read_version

    if not (pathlib.Path(path) / "saved_model.pb").is_file():
        return None
    return read_version(pathlib.Path(path))[0]


def _dtype_name(number):
    try:
        return tf.as_dtype(number).name
    except TypeError:
        return f"dtype {number}"
