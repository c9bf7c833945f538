"""Small clients of a TF Serving that serves an export, by REST and by gRPC."""

import http.client
import json
import time
import urllib.error
import urllib.request

from keras_transformer.layers.arguments import check_positive


class ServingError(RuntimeError):
    """The server couldn't be reached, or refused the request; it says why."""


class _Client:
    """What both have: patience, and the shortest question."""

    def __init__(self, timeout, retries):
        self.timeout = timeout
        self.retries = retries

    def translate(self, texts, batch_size=32):
        """Translates any number of texts, those of like length in one request.

        Args:
            texts: List of strings, or one string.
            batch_size: Most texts of a request. A server that joins requests refuses
                more than its `max_batch_size`, see `write_server_config`.

        Returns:
            A list of strings in the order of `texts`; a string for a string.

        Raises:
            ValueError: If `batch_size` isn't a positive integer.
            ServingError: As `ask`.
        """
        check_positive("batch_size", batch_size)
        if isinstance(texts, str):
            return self.translate([texts])[0]
        texts = list(texts)
        answers = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(texts), batch_size):
            rows = order[start : start + batch_size]
            found = self.ask(text=[texts[i] for i in rows])["translation"]
            for i, answer in zip(rows, found):
                answers[i] = answer
        return answers


class RestClient(_Client):
    """Asks a server by REST, its port 8501.

    Args:
        url: The server, such as `"http://localhost:8501"`.
        model: Name of the model.
        version: Number of the version; the newest by default.
        timeout: Seconds before a request is given up.
        retries: Number of further tries when the server can't be reached or is busy.

    Example:

    >>> client = kt.serving.RestClient("http://localhost:8501", "en-de")
    >>> client.translate(["A dog runs."])
    ['Ein Hund läuft.']
    """

    def __init__(self, url, model, version=None, timeout=30.0, retries=3):
        place = f"/versions/{version}" if version else ""
        self._url = f"{url.rstrip('/')}/v1/models/{model}{place}:predict"
        super().__init__(timeout, retries)

    def ask(self, signature="serving_default", **inputs):
        """Any signature's outputs, nested lists by name, for lists of inputs by name.

        Raises:
            ServingError: If all tries fail, or the server refuses the request.
        """
        body = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)

        def send():
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)["outputs"]

        outputs = _retry(send, self.retries, self._url, _rest_problem)
        # With one output the server sends it bare.
        return outputs if isinstance(outputs, dict) else {"output": outputs}


class GrpcClient(_Client):
    """Asks a server by gRPC, its port 8500.

    Args:
        target: The server, such as `"localhost:8500"`.
        model: Name of the model.
        version: Number of the version; the newest by default.
        timeout: Seconds before a request is given up.
        retries: Number of further tries when the server can't be reached or is busy.

    Example:

    >>> client = kt.serving.GrpcClient("localhost:8500", "en-de")
    >>> client.ask("n_best", text=["A dog runs."])["translations"]
    [['Ein Hund läuft.', 'Ein Hund rennt.']]
    """

    def __init__(self, target, model, version=None, timeout=30.0, retries=3):
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self._target = target
        self._channel = grpc.insecure_channel(target)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self.model = model
        self.version = version
        super().__init__(timeout, retries)

    def ask(self, signature="serving_default", **inputs):
        """Any signature's outputs, nested lists by name, for lists of inputs by name.

        Raises:
            ServingError: If all tries fail, or the server refuses the request.
        """
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self.model
        request.model_spec.signature_name = signature
        if self.version:
            request.model_spec.version.value = self.version
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))

        def send():
            return self._stub.Predict(request, self.timeout)

        found = _retry(send, self.retries, self._target, _grpc_problem).outputs
        return {
            name: _text(tf.make_ndarray(value).tolist())
            for name, value in found.items()
        }


def _text(value):
    if isinstance(value, list):
        return [_text(one) for one in value]
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _retry(send, retries, server, problem_of):
    """Calls `send`, again after 0.2, 0.4, 0.8 ... seconds if that may help."""
    for attempt in range(retries + 1):
        try:
            return send()
        except Exception as error:
            problem, may_pass = problem_of(error)
            if not problem:
                raise
            if not may_pass or attempt == retries:
                tries = f" after {attempt + 1} tries" if attempt else ""
                raise ServingError(f"{server}{tries}: {problem}") from error
        time.sleep(0.2 * 2**attempt)


def _rest_problem(error):
    """What went wrong, and whether another try may help; None for other errors."""
    if isinstance(error, urllib.error.HTTPError):
        text = error.read().decode("utf-8", "replace")
        try:
            text = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            pass
        return f"HTTP {error.code}: {text}", error.code in (429, 502, 503, 504)
    if isinstance(error, (OSError, http.client.HTTPException)):
        reason = getattr(error, "reason", error)
        return f"can't be reached: {reason or type(error).__name__}", True
    return None, False


def _grpc_problem(error):
    import grpc

    if not isinstance(error, grpc.RpcError):
        return None, False
    code = error.code()
    busy = (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )
    return f"{code.name}: {error.details()}", code in busy
