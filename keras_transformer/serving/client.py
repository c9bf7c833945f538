"""Small clients of a TF Serving that serves an export, by REST and by gRPC."""

import base64
import json
import os
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import urllib3

from keras_transformer import arguments
from keras_transformer.glossaries import as_glossaries
from keras_transformer.serving.requests import (
    InvalidRequest,
    ServingError,
    complete_request,
    glossary_options,
    glossary_request,
    rows_of,
    without_padding,
)
from keras_transformer.serving.streamed import streamed

# Open connections that are kept: no more threads ask at a time, most often.
_CONNECTIONS = 256

__all__ = ["GrpcClient", "InvalidRequest", "RestClient", "ServingError"]


class _Client:
    """What both have: patience, complete requests, and the shortest question."""

    # How a request is sent, of each its own.
    _predict: Callable[..., Any]

    def __init__(self, server, timeout, retries):
        if timeout is not None:
            arguments.number("timeout", timeout, above=0)
        arguments.integer("retries", retries, minimum=0)
        self._server = server
        self._definitions = None
        self.timeout = timeout
        self.retries = retries

    def ask(self, signature: str = "serving_default", **inputs: Any) -> dict[str, Any]:
        """Any signature's outputs for inputs by name.

        Args:
            signature: Name of the signature.
            **inputs: Lists, tuples or arrays with a row for each text; a single value
                is one row. Options that are left out get the export's defaults, which
                the server's metadata has, and those of one row go to all rows.

        Returns:
            A dict of nested lists by output's name. Rows are as long as their own
            answer: what pads them to the longest of the request is cut off.

        Raises:
            InvalidRequest: For inputs that no server can answer, such as no text at
                all. It is a `ServingError` and a `ValueError`.
            ServingError: If all tries fail, or the server refuses the request.
        """
        request, definition = rows_of(inputs), None
        if signature != "serving_default":
            definition = self._definition(signature)
        request = complete_request(signature, request, definition)
        outputs = self._try(lambda: self._predict(signature, request))
        if not isinstance(outputs, dict):
            # With one output the REST server sends it bare.
            names = list(definition.outputs) if definition else []
            outputs = {names[0] if len(names) == 1 else "output": outputs}
        return without_padding(outputs)

    def _definition(self, signature):
        """The signature's `SignatureDef`, or None if the server doesn't tell."""
        is_new = self._definitions and signature not in self._definitions
        if self._definitions is None or is_new:
            try:
                self._definitions = self._try(self._read_definitions)
            except ServingError as error:
                if error.may_pass:
                    raise
                # Whatever is wrong, the request itself will tell.
                self._definitions = {}
        return self._definitions.get(signature)

    def _try(self, send):
        """Calls `send`, again after 0.2, 0.4, 0.8 ... seconds if that may help."""
        for attempt in range(self.retries + 1):
            try:
                return send()
            except Exception as error:
                problem, may_pass = self._problem(error)
                if not problem:
                    raise
                if not may_pass or attempt == self.retries:
                    tries = f" after {attempt + 1} tries" if attempt else ""
                    words = f"{self._server}{tries}: {problem}"
                    raise ServingError(words, may_pass=may_pass) from error
            time.sleep(0.2 * 2**attempt)

    def translate(
        self,
        texts: str | bytes | Iterable[str | bytes],
        batch_size: int = 32,
        *,
        glossary: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        glossary_bonus: float | None = None,
        glossary_force: bool = False,
    ) -> Any:
        """Translates any number of texts, those of like length in one request.

        Args:
            texts: List, tuple or array of strings, or one string; bytes are UTF-8.
            batch_size: Most texts of a request. A server that joins requests refuses
                more than its `max_batch_size`, see `write_server_config`.
            glossary: Terms of the source and their translations, a dict; or a list with
                a dict, or None, for each text. See `kt.Translator.translate`. The
                export must have the signature `glossary`.
            glossary_bonus: A number; by default the export's.
            glossary_force: Whether answers must have the terms' translations.

        Returns:
            A list of strings in the order of `texts`; a string for a string.

        Raises:
            ValueError: If `batch_size` isn't a positive integer, or there isn't a
                glossary for each text.
            TypeError: If a glossary isn't made of strings.
            ServingError: As `ask`, and for a row that can't be answered.

        Example:

        >>> client.translate(["A dog runs."], glossary={"dog": "Köter"})
        ['Ein Köter läuft.']
        """
        arguments.integer("batch_size", batch_size)
        of_glossary: dict[str, Any] = {
            "glossary": glossary,
            "glossary_bonus": glossary_bonus,
            "glossary_force": glossary_force,
        }
        if isinstance(texts, (str, bytes)):
            return self.translate([texts], batch_size, **of_glossary)[0]
        texts = [*(texts.numpy() if hasattr(texts, "numpy") else texts)]
        for text in texts:
            if not isinstance(text, (str, bytes)):
                raise InvalidRequest(f"texts must be strings; received {text!r}.")
        ask = self._asking(texts, **of_glossary)
        answers: list[Any] = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(texts), batch_size):
            rows = order[start : start + batch_size]
            for i, answer in zip(rows, ask(rows)):
                answers[i] = answer
        return answers

    def _asking(self, texts, glossary, glossary_bonus, glossary_force):
        """A function of indices of texts: the translations that the server gives."""
        if glossary is None:
            return lambda rows: self.ask(text=[texts[i] for i in rows])["translation"]
        options = glossary_options(glossary_bonus, glossary_force)
        glossaries = as_glossaries(glossary, len(texts))

        def ask(rows):
            chosen = [[some[i] for i in rows] for some in (texts, glossaries)]
            request = glossary_request(*chosen)
            found = self.ask("glossary", **request, options=[options])
            if any(found["error"]):
                raise ServingError(next(filter(None, found["error"])))
            return [answers[0] for answers in found["translations"]]

        return ask

    def stream(self, text: str, num_tokens: int = 8) -> Iterator[str]:
        """Translates a text, and yields the answer in pieces as they come.

        Sentences are translated one after the other, each by requests for some more
        tokens. The export must have the signatures `split` and `stream`.

        With greedy search (an export with `beam_size=1`) the pieces joined are what
        `document` answers. A beam search goes on from what was yielded: the pieces
        joined may be another answer than that of one whole search, and a less probable
        one.

        Args:
            text: A string of any number of sentences.
            num_tokens: Number of tokens of a sentence's answer that one request adds.

        Returns:
            An iterator of strings, none of them empty.

        Raises:
            TypeError: If `text` isn't a string.
            ValueError: If `num_tokens` isn't a positive integer.
            ServingError: As `ask`, at the piece that can't be had.

        Example:

        >>> for piece in client.stream("A dog runs. Two people talk."):
        ...     print(piece, end="", flush=True)
        Ein Hund läuft. Zwei Personen unterhalten sich.
        """
        arguments.integer("num_tokens", num_tokens)
        if not isinstance(text, str):
            raise TypeError(f"text must be a string; received text={text!r}.")
        return streamed(self.ask, text, num_tokens)


class RestClient(_Client):
    """Asks a server by REST, its port 8501.

    Args:
        url: The server, such as `"http://localhost:8501"`. It is asked through a proxy
            if the environment has one (`http_proxy`, `https_proxy`, `no_proxy`).
        model: Name of the model.
        version: Number of the version; the newest by default.
        timeout: Seconds before a request is given up; None for no limit.
        retries: Number of further tries when the server can't be reached or is busy.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If `url` isn't such an address, or a number is out of range.

    Example:

    >>> client = kt.serving.RestClient("http://localhost:8501", "en-de")
    >>> client.translate(["A dog runs."])
    ['Ein Hund läuft.']
    """

    def __init__(
        self,
        url: str,
        model: str,
        version: int | None = None,
        timeout: float = 30.0,
        retries: int = 3,
    ) -> None:
        place = "" if version is None else f"/versions/{version}"
        name = urllib.parse.quote(model, safe="")
        self._model = f"{_checked_url(url)}/v1/models/{name}{place}"
        self._connections = self._process = None
        super().__init__(self._model, timeout, retries)

    def __getstate__(self):
        # Connections stay in their process.
        return {**self.__dict__, "_connections": None, "_process": None}

    def _predict(self, signature, request):
        inputs = {name: _json_values(value) for name, value in request.items()}
        body = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        answer = self._fetch(":predict", body)
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise _Garbled(f"no outputs in {str(answer)[:200]!r}")
        return answer["outputs"]

    def _read_definitions(self):
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_metadata_pb2

        answer = self._fetch("/metadata")
        found = get_model_metadata_pb2.SignatureDefMap()
        try:
            signatures = answer["metadata"]["signature_def"]
            json_format.ParseDict(signatures, found, ignore_unknown_fields=True)
        except (KeyError, TypeError, json_format.ParseError) as error:
            raise _Garbled(f"no metadata of signatures ({error})") from error
        return dict(found.signature_def)

    def _fetch(self, place, body=None):
        if self._process != os.getpid():
            # In a fork, another process reads the answers of its parent's connections.
            self._connections, self._process = _connections(self._model), os.getpid()
        response = self._connections.request(
            "GET" if body is None else "POST",
            self._model + place,
            body=body,
            headers={"Content-Type": "application/json"},
            timeout=self.timeout,
        )
        if response.status != 200:
            raise _Refusal(response.status, response.data)
        try:
            return json.loads(response.data)
        except ValueError as error:
            raise _Garbled(f"what isn't JSON: {response.data[:200]!r}") from error

    def _problem(self, error):
        """What went wrong, and whether another try may help; None for other errors."""
        if isinstance(error, _Garbled):
            return f"the server answers {error}", False
        if isinstance(error, _Refusal):
            text = error.body.decode("utf-8", "replace")
            try:
                text = json.loads(text)["error"]
            except (ValueError, KeyError, TypeError):
                pass
            may_pass = error.status in (429, 502, 503, 504)
            return f"HTTP {error.status}: {text}", may_pass
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            # It has the request: asked again, it would compute the answer once more.
            return f"timed out: no answer in {self.timeout} seconds", False
        if isinstance(error, urllib3.exceptions.HTTPError):
            return f"can't be reached: {error}", True
        return None, False


def _checked_url(url):
    if not isinstance(url, str):
        raise TypeError(f"url must be a string; received url={url!r}.")
    try:
        parts = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        parts = urllib3.util.Url()
    is_server = parts.scheme in ("http", "https") and parts.host
    if not is_server or parts.auth or parts.query or parts.fragment:
        raise ValueError(
            'url must be such as "http://localhost:8501", with http or https and '
            f"without a user or a query; received url={url!r}."
        )
    return url.rstrip("/")


def _connections(url):
    """Connections to a server, through a proxy if the environment has one for it."""
    options = {"maxsize": _CONNECTIONS, "retries": False}
    parts = urllib3.util.parse_url(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return urllib3.PoolManager(**options)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if user := urllib3.util.parse_url(proxy).auth:
        options["proxy_headers"] = urllib3.util.make_headers(proxy_basic_auth=user)
    return urllib3.ProxyManager(proxy, **options)


class _Refusal(Exception):
    """An answer with another status than 200."""

    def __init__(self, status, body):
        super().__init__(status, body)
        self.status, self.body = status, body


class _Garbled(Exception):
    """An answer that isn't one of TF Serving's."""


class GrpcClient(_Client):
    """Asks a server by gRPC, its port 8500.

    Args:
        target: The server, such as `"localhost:8500"`.
        model, version, timeout, retries: As of `RestClient`.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If `target` begins with `http://`, or a number is out of range.

    Example:

    >>> client = kt.serving.GrpcClient("localhost:8500", "en-de")
    >>> client.ask("n_best", text=["A dog runs."])["translations"]
    [['Ein Hund läuft.', 'Ein Hund rennt.']]
    """

    def __init__(
        self,
        target: str,
        model: str,
        version: int | None = None,
        timeout: float = 30.0,
        retries: int = 3,
    ) -> None:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        if target.startswith(("http://", "https://")):
            raise ValueError(
                'target must be such as "localhost:8500", without http; received '
                f"target={target!r}."
            )
        # gRPC's own limit is 4 MiB, which n-best lists and explanations can exceed.
        sizes = "grpc.max_send_message_length", "grpc.max_receive_message_length"
        options = [(name, -1) for name in sizes]
        self._channel = grpc.insecure_channel(target, options=options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self.model = model
        self.version = version
        super().__init__(target, timeout, retries)

    def _name_model(self, request):
        request.model_spec.name = self.model
        if self.version is not None:
            request.model_spec.version.value = int(self.version)
        return request

    def _predict(self, signature, request):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        message = self._name_model(predict_pb2.PredictRequest())
        message.model_spec.signature_name = signature
        for name, value in request.items():
            message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        found = self._stub.Predict(message, self.timeout).outputs
        return {
            name: _text(tf.make_ndarray(value).tolist())
            for name, value in found.items()
        }

    def _read_definitions(self):
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = self._name_model(get_model_metadata_pb2.GetModelMetadataRequest())
        request.metadata_field.append("signature_def")
        answer = self._stub.GetModelMetadata(request, self.timeout)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        return dict(found.signature_def)

    def _problem(self, error):
        """What went wrong, and whether another try may help; None for other errors."""
        import grpc

        if not isinstance(error, grpc.RpcError):
            return None, False
        code, details = error.code(), error.details() or ""
        # A message that is too large once is so again.
        is_busy = code == grpc.StatusCode.RESOURCE_EXHAUSTED and (
            "larger than max" not in details
        )
        may_pass = is_busy or code == grpc.StatusCode.UNAVAILABLE
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            details = f"timed out: no answer in {self.timeout} seconds"
        return f"{code.name}: {details}", may_pass


def _json_values(array):
    """An array as JSON has it: nested lists, bytes that aren't UTF-8 in base64."""

    def plain(value):
        if isinstance(value, list):
            return [plain(each) for each in value]
        if not isinstance(value, bytes):
            return value
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode("ascii")}

    return plain(np.asarray(array).tolist())


def _text(value):
    if isinstance(value, list):
        return [_text(one) for one in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
