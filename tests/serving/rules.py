"""TF Serving's rules of requests, and servers on this machine that follow them."""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import threading

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

MIME = {"Content-Type": "application/json"}


class Refused(Exception):
    """What the server answers with HTTP 400, or INVALID_ARGUMENT."""


def rest_inputs(definition, inputs):
    """The tensors of a REST request's `inputs`, as the server's handler reads them."""
    if missing := set(definition.inputs) - set(inputs):
        raise Refused(f"Missing named input: {sorted(missing)[0]} in 'inputs' object.")
    if unknown := set(inputs) - set(definition.inputs):
        raise Refused(f"Unknown named input: {sorted(unknown)[0]}")
    return {
        name: _tensor(name, inputs[name], tf.as_dtype(info.dtype))
        for name, info in definition.inputs.items()
    }


def _tensor(name, value, dtype):
    def plain(value):
        if isinstance(value, list):
            return [plain(each) for each in value]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if dtype == tf.string:
            if isinstance(value, dict) and set(value) == {"b64"}:
                return base64.b64decode(value["b64"])
            fits = isinstance(value, str)
            value = value.encode() if fits else value
        elif dtype.is_integer:
            fits = is_number and isinstance(value, int) and abs(value) < 2**31
        else:
            fits = is_number
        if not fits:
            raise Refused(f"JSON Value: {value!r} Type: isn't of {dtype.name}: {name}")
        return value

    try:
        return np.asarray(plain(value), object if dtype == tf.string else dtype.name)
    except ValueError:
        raise Refused(f"Encountered list at unexpected size: {name}") from None


def joined_rows(inputs):
    """Refuses what a server that joins requests refuses: unequal numbers of rows."""
    rows = {name: value.shape[:1] for name, value in inputs.items()}
    if len(set(rows.values())) > 1 or () in rows.values():
        raise Refused(
            f"Batching session Run() input tensors must have equal 0th-dimension size "
            f"({rows})"
        )
    if (0,) in rows.values():
        raise Refused("the server would never answer")
    return inputs


def answer_rest(export, body):
    """What the server answers to the body of a POST request: status and JSON."""
    try:
        request = json.loads(body)
        name = request.get("signature_name", "serving_default")
        if name not in export.definitions:
            raise Refused(f'Serving signature name: "{name}" not found')
        inputs = request.get("inputs")
        if "instances" in request:
            inputs = _columns(export.definitions[name], request["instances"])
        inputs = rest_inputs(export.definitions[name], inputs)
        found = export.run(name, **joined_rows(inputs))
    except Refused as error:
        return 400, {"error": str(error)}
    outputs = {key: _json(value.tolist()) for key, value in found.items()}
    if len(outputs) == 1:
        (outputs,) = outputs.values()
    return 200, {"outputs": outputs}


def _columns(definition, instances):
    """Rows as columns: an instance is the value of the one input, or an object."""
    if len(definition.inputs) == 1:
        (name,) = definition.inputs
        return {name: instances}
    return {name: [each[name] for each in instances] for name in instances[0]}


def _json(value):
    if isinstance(value, list):
        return [_json(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def signature_map(export):
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in export.definitions.items():
        found.signature_def[name].CopyFrom(definition)
    return found


@contextlib.contextmanager
def rest_server(answer, has_defaults=True, export=None):
    """A server whose POST requests `answer(path, body)` answers: its address.

    Args:
        answer: Function that returns a status and JSON, or bytes.
        has_defaults: Whether the metadata has the signatures' defaults.
        export: What the metadata is about; without it there is none.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(*answer(self.path, body))

        def do_GET(self):
            if export is None or not self.path.endswith("/metadata"):
                return self.reply(404, {"error": "Malformed request"})
            signatures = json_format.MessageToDict(
                signature_map(export), preserving_proto_field_name=True
            )
            if not has_defaults:
                for each in signatures["signature_def"].values():
                    each.pop("defaults", None)
            self.reply(200, {"metadata": {"signature_def": signatures}})

        def reply(self, status, answer):
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def grpc_server(answer, export=None):
    """A server whose `Predict` is `answer(request, context)`: its address."""

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            return answer(request, context)

        def GetModelMetadata(self, request, context):
            if export is None:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "no metadata")
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(signature_map(export))
            return response

    options = [("grpc.max_receive_message_length", -1)]
    pool = concurrent.futures.ThreadPoolExecutor(2)
    server = grpc.server(pool, options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), server
    )
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None)


def answer_grpc(export):
    """A `Predict` that fills in defaults of one row and joins requests."""

    def predict(request, context):
        name = request.model_spec.signature_name or "serving_default"
        if name not in export.definitions:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f'"{name}" not found')
        definition = export.definitions[name]
        inputs = {**definition.defaults, **request.inputs}
        for key, value in inputs.items():
            if key not in definition.inputs or (
                value.dtype != definition.inputs[key].dtype
            ):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{key}: wrong")
        try:
            inputs = {k: tf.make_ndarray(v) for k, v in inputs.items()}
            found = export.run(name, **joined_rows(inputs))
        except Refused as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse()
        for key, value in found.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    return predict
