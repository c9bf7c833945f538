"""The server as a WSGI application: addresses, limits, counters, plain errors."""

import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException

from keras_transformer.web.asking import Asker, Deadline
from keras_transformer.web.catalogue import Catalogue
from keras_transformer.web.exploring import Explorer
from keras_transformer.web.libretranslate import LibreTranslate, read_form_or_json
from keras_transformer.web.limits import Limits
from keras_transformer.web.metrics import Metrics
from keras_transformer.web.page import Page
from keras_transformer.web.protocol import Refused
from keras_transformer.web.replies import json_response, write_error
from keras_transformer.web.rest import Rest

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_READS = ("GET", "HEAD")
# What a proxy is sent before an address, and a server may be.
_WHOLE_URL = re.compile(r"^https?://[^/?#]*", re.IGNORECASE)
_COUNTED = "keras_transformer.counted"


class Application:
    """Answers all addresses for the models of a catalogue.

    Args:
        catalogue: A `Catalogue`.
        limits: `Limits` of requests.
        local_only: Whether to answer only requests to this machine's own names. A
            browser is then kept from sending another site's requests here by a name
            that points to 127.0.0.1.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        limits: Limits | None = None,
        *,
        local_only: bool = True,
    ) -> None:
        self._limits = limits = limits or Limits()
        self._local_only = local_only
        self._metrics = Metrics()
        self._under_way = 0
        self._changed = threading.Condition()
        asker = Asker(limits, self._metrics)
        explorer = Explorer(asker)
        self._catalogue = catalogue
        self._rest = Rest(catalogue, asker)
        self._libre = LibreTranslate(catalogue, asker, explorer)
        self._page = Page(catalogue, explorer, limits)
        self._routes = {
            "/": ("GET", lambda *_: self._page.html()),
            "/favicon.ico": ("GET", lambda *_: Response(status=204)),
            "/health": ("GET", lambda *_: self._health()),
            "/metrics": ("GET", lambda *_: self._counters()),
            "/languages": ("GET", lambda *_: json_response(self._libre.languages())),
            "/translate": ("POST", self._translate),
            "/page/models": ("GET", lambda *_: self._page.models()),
            "/page/translate": ("POST", self._ask_page),
            "/page/alternatives": ("POST", self._ask_page),
            "/page/attention": ("POST", self._ask_page),
        }

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = self._limits.max_body_bytes
        # A form's fields count as its body does.
        request.max_form_memory_size = self._limits.max_body_bytes
        start = time.perf_counter()
        try:
            response = self._respond(request)
            response.headers.extend(_HEADERS)
            seconds = time.perf_counter() - start
            self._metrics.request(self._route(request), response.status_code, seconds)
            answer = response(environ, start_response)
        except BaseException:
            if environ.get(_COUNTED):
                self._over()
            raise
        if environ.get(_COUNTED):
            # It is over when the client has the whole answer.
            response.call_on_close(self._over)
        return answer

    def wait_until_idle(self, seconds: float) -> bool:
        """Waits for the requests under way, and returns whether all have ended."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, seconds)

    def _route(self, request):
        """A request's address, without what differs from model to model."""
        if request.path in self._routes:
            return request.path
        _, colon, method = request.path.rpartition(":")
        if request.path.lower().startswith("/v1/"):
            return "/v1/models:predict" if colon and method == "predict" else "/v1"
        return "other"

    def _respond(self, request):
        try:
            self._check_host(request)
            if request.method in _READS:
                return self._dispatch(request)
            return self._counted(request)
        except Refused as error:
            return _error(str(error), error.status, error.headers)
        except HTTPException as error:
            words = error.description or error.name
            if error.code == 413:
                words = self._limits.of_body
            return _error(words, error.code or 500)
        except Exception:
            # What is wrong is told where the server was started, and not to users.
            traceback.print_exc(file=sys.stderr)
            return _error("The server failed; its own output says more.", 500)

    def _check_host(self, request):
        name = request.headers.get("Host", "localhost").rsplit(":", 1)
        host = name[0] if len(name) == 2 and name[1].isdigit() else ":".join(name)
        if self._local_only and host.lower() not in _LOOPBACK:
            raise Refused(
                "This server answers requests to localhost only; start it with --host "
                "to be reached by another name.",
                403,
            )

    def _counted(self, request):
        most = self._limits.max_requests
        with self._changed:
            if self._under_way >= most:
                raise Refused(
                    f"The server is busy: max_requests={most} requests are under way.",
                    429,
                    {"Retry-After": "1"},
                )
            self._under_way += 1
            self._metrics.under_way(self._under_way)
            request.environ[_COUNTED] = True
        return self._dispatch(request)

    def _over(self):
        with self._changed:
            self._under_way -= 1
            self._metrics.under_way(self._under_way)
            self._changed.notify_all()

    def _dispatch(self, request):
        deadline = Deadline(self._limits.time_limit)
        if request.path in self._routes:
            method, answer = self._routes[request.path]
            if method != request.method and (method, request.method) != ("GET", "HEAD"):
                words = f"{request.path} is asked by {method}, not {request.method}."
                raise Refused(words, 405, {"Allow": method})
            return answer(request, deadline)
        path = _WHOLE_URL.sub("", request.environ.get("REQUEST_URI", request.path))
        path = path.split("?")[0]
        if not path.lower().startswith("/v1/"):
            raise Refused(f"No such address: {request.path}", 404)
        body = request.get_data() if request.method == "POST" else b""
        return self._rest(request.method, path, body, deadline)

    def _health(self):
        states = {
            name: "ok" if model.newest else "unavailable"
            for name, model in sorted(self._catalogue.models.items())
        }
        is_well = all(state == "ok" for state in states.values())
        found = {"status": "ok" if is_well else "unavailable", "models": states}
        return json_response(found, 200 if is_well else 503)

    def _counters(self):
        return Response(
            self._metrics.page(), headers={"Content-Type": self._metrics.content_type}
        )

    def _translate(self, request, deadline):
        return json_response(
            self._libre.translate(read_form_or_json(request), deadline)
        )

    def _ask_page(self, request, deadline):
        return self._page.answer(request.path, request.get_data(), deadline)


def _error(words, status, headers=None):
    return Response(write_error(words), status, headers, mimetype="application/json")
