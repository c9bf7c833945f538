"""Requests that the server plays to a model it has loaded, before the first user's."""

import pathlib

import tensorflow as tf

_FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
# What the server reads at most.
_MOST = 1000


def write_warmup(path, requests):
    """Writes requests for TF Serving's warm-up beside an export.

    Args:
        path: Folder of one version of an export.
        requests: List of pairs: a signature's name, and a dict of its inputs, arrays or
            nested lists by name.

    Raises:
        ValueError: For more requests than the server reads.

    Reference: [SavedModel Warmup](https://www.tensorflow.org/tfx/serving/saved_model_warmup).
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    if len(requests) > _MOST:
        raise ValueError(
            f"requests must be at most {_MOST}; received {len(requests)} of them."
        )
    file = pathlib.Path(path) / _FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())


def read_warmup(path):
    """The requests beside an export, as `write_warmup` takes them; none if no file."""
    from tensorflow_serving.apis import prediction_log_pb2

    file = pathlib.Path(path) / _FILE
    if not file.exists():
        return []
    requests = []
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(v) for name, v in request.inputs.items()}
        requests.append((request.model_spec.signature_name, inputs))
    return requests
