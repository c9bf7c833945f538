"""Requests that the server plays to a model it has loaded, before the first user's."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf import message

from keras_transformer.serving.checks.folders import read_version
from keras_transformer.serving.checks.request import request_problem

WARMUP_FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
# What the server reads at most.
MOST_REQUESTS = 1000


def write_warmup(
    path: str | os.PathLike,
    requests: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    xla: bool = False,
) -> None:
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


def read_warmup(path: str | os.PathLike) -> list[tuple[str, dict[str, Any]]]:
    """The requests beside an export, as `write_warmup` takes them; none if no file."""
    requests = []
    for log in read_logs(path):
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(v) for name, v in request.inputs.items()}
        requests.append((request.model_spec.signature_name, inputs))
    return requests


def read_logs(path: str | os.PathLike) -> list:
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
    if not (pathlib.Path(path) / "saved_model.pb").is_file():
        return None
    return read_version(pathlib.Path(path))[0]
