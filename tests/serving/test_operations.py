"""What lies around an export: warm-up, diagnosis, configuration, clients."""

import concurrent.futures
import http.server
import json
import socket
import threading
import time

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_transformer.serving import (
    GrpcClient,
    RestClient,
    ServingError,
    diagnose,
)
from keras_transformer.serving.warmup import read_warmup, write_warmup


def test_warm_up_requests_can_be_played(saved_path, signatures):
    requests = read_warmup(saved_path)
    assert {name for name, _ in requests} == {"serving_default", "n_best"}
    assert sorted(len(inputs["text"]) for _, inputs in requests) == [1, 1, 8, 8]
    for name, inputs in requests:
        signatures(name, **inputs)


def test_too_many_warm_up_requests_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="1000; received 1001"):
        write_warmup(tmp_path, [("serving_default", {"text": ["a"]})] * 1001)


def test_nothing_is_wrong_with_an_export(saved_path):
    assert diagnose(saved_path) == []


def test_diagnosis_names_what_the_stock_server_lacks(tmp_path):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, "ids")])
        def ask(self, ids):
            found = tf.numpy_function(lambda x: x + 1, [ids], tf.int32)
            return {"found": tf.ensure_shape(found, [None, None])}

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
        def scalar(self, x):
            return {"y": x + 1}

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.float32, "x")], jit_compile=True
        )
        def compiled(self, x):
            return {"y": x * x + 1}

    model = Model()
    functions = {"ask": model.ask, "scalar": model.scalar, "compiled": model.compiled}
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=functions)
    problems = "\n".join(diagnose(tmp_path / "model"))
    for words in (
        "EagerPyFunc|PyFunc",
        "serving_default",
        "scalar",
        "warm-up",
        "jit_compile",
        "versions",
        "lengths beside them",
    ):
        assert any(word in problems for word in words.split("|")), (words, problems)


def test_diagnosis_needs_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved_model\.pb"):
        diagnose(tmp_path)


class RestServer:
    """Speaks TF Serving's REST protocol, after some failures."""

    def __init__(self, signatures, failures=()):
        failures = list(failures)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                request = json.loads(self.rfile.read(length))
                status, answer = 200, None
                if failures:
                    status, answer = failures.pop(0), {"error": "not now"}
                elif "/models/small:" not in self.path:
                    status, answer = 404, {"error": "no such model"}
                else:
                    found = signatures(request["signature_name"], **request["inputs"])
                    plain = {
                        name: [
                            x.decode() if isinstance(x, bytes) else x
                            for x in value.tolist()
                        ]
                        for name, value in found.items()
                    }
                    answer = {"outputs": plain}
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
        self.url = f"http://localhost:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def test_rest_client_tries_again_and_then_answers(signatures):
    expected = signatures("serving_default", text=["the dog"])["translation"][0]
    with RestServer(signatures, failures=[503, 429]) as server:
        client = RestClient(server.url, "small")
        assert client.translate(["the dog"]) == [expected.decode()]
        assert client.translate([]) == []


def test_client_sends_no_more_texts_at_a_time_than_a_server_takes(monkeypatch):
    requests = []

    def ask(self, text):
        requests.append(text)
        return {"translation": [one.upper() for one in text]}

    monkeypatch.setattr(RestClient, "ask", ask)
    client = RestClient("http://localhost:8501", "small")
    texts = [chr(97 + i % 26) * (1 + 7 * i % 10) for i in range(70)]
    assert client.translate(iter(texts)) == [text.upper() for text in texts]
    assert [len(request) for request in requests] == [32, 32, 6]
    assert len(requests[0][-1]) <= len(requests[1][0])
    assert client.translate("one", batch_size=1) == "ONE"
    with pytest.raises(ValueError, match="batch_size=0"):
        client.translate(texts, batch_size=0)


def test_rest_client_says_what_is_wrong(signatures):
    with RestServer(signatures) as server:
        with pytest.raises(ServingError, match="HTTP 404: no such model"):
            RestClient(server.url, "large").translate(["the dog"])
    port = free_port()
    start = time.time()
    with pytest.raises(ServingError, match=f"{port}.*after 2 tries.*can't be reached"):
        RestClient(f"http://localhost:{port}", "small", retries=1).translate(["a"])
    assert time.time() - start < 5


def test_rest_client_gives_up_in_time():
    with socket.socket() as silent:
        silent.bind(("localhost", 0))
        silent.listen()
        url = f"http://localhost:{silent.getsockname()[1]}"
        start = time.time()
        with pytest.raises(ServingError, match="timed out"):
            RestClient(url, "small", timeout=0.3, retries=0).translate(["a"])
        assert time.time() - start < 5


def test_grpc_client_asks_and_says_what_is_wrong(signatures):
    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            if request.model_spec.name != "small":
                context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
            inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            found = signatures(request.model_spec.signature_name, **inputs)
            for name, value in found.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), server
    )
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        client = GrpcClient(f"localhost:{port}", "small")
        expected = signatures("n_best", text=["the dog"])["translations"][0]
        found = client.ask("n_best", text=["the dog"])["translations"]
        assert found == [[text.decode() for text in expected]]
        with pytest.raises(ServingError, match="NOT_FOUND: no such model"):
            GrpcClient(f"localhost:{port}", "large").translate(["a"])
    finally:
        server.stop(None)
    with pytest.raises(ServingError, match="UNAVAILABLE"):
        GrpcClient(f"localhost:{free_port()}", "small", retries=0).translate(["a"])
