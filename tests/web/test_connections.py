"""Waitress as we set it up: refusals in JSON, many connections, an orderly end."""

import http.client
import json
import resource
import socket
import threading
import time

import pytest

from keras_transformer.web import connections as connections_module
from keras_transformer.web.connections import Connections
from keras_transformer.web.limits import Limits
from keras_transformer.web.server import _listen

LIMITS = Limits(max_body_bytes=100, max_requests=8)


class Echo:
    """An application that answers a body with itself; `/slow` waits until it may go on.

    Connections are what is tested: no model is needed.
    """

    def __init__(self):
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read()
        if environ["PATH_INFO"] == "/slow":
            self.entered.set()
            assert self.go_on.wait(20)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def wait_until_idle(self, seconds):
        return True


@pytest.fixture
def server():
    """A port of this machine, the application behind it, and its connections."""
    listening = _listen("127.0.0.1", 0)
    port, echo = listening.getsockname()[1], Echo()
    connections = Connections(echo, listening, LIMITS)
    connections.start()
    yield port, echo, connections
    echo.go_on.set()
    connections.stop(20)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def post(body=b"hi", path="/", length=None):
    length = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}"
    return f"{head}\r\n\r\n".encode() + body


def read_answer(connection):
    """The next answer's status, headers and body."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.headers, response.read()


@pytest.mark.parametrize(
    "request_, status, words",
    [
        (post(length=900), 413, "at most max_body_bytes=100 bytes"),
        (post(length="x"), 400, "Content-Length is invalid"),
        (b"\x16\x03\x01 hello\r\n\r\n", 400, "Start line is invalid"),
        (b"GET /" + b"a" * (1 << 18) + b" HTTP/1.1\r\n\r\n", 431, "exceeds max_header"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
            "Transfer-Encoding requested is not supported",
        ),
    ],
    ids=["body", "length", "garbage", "header", "encoding"],
)
def test_what_is_refused_before_it_is_read_gets_an_error_in_json(
    server, request_, status, words
):
    with connect(server[0]) as connection:
        connection.sendall(request_)
        found, headers, body = read_answer(connection)
    assert (found, headers["Content-Type"]) == (status, "application/json")
    assert words in json.loads(body)["error"]


def test_a_connection_is_kept_and_may_send_ahead(server):
    with connect(server[0]) as connection:
        connection.sendall(post(b"one") + post(b"two") + post(b"three"))
        answers = b""
        while b"three" not in answers:
            answers += connection.recv(1 << 16)
    assert [answers.count(word) for word in (b"one", b"two", b"200 OK")] == [1, 1, 3]


def test_clients_that_go_away_leave_nothing(server):
    port, echo, connections = server
    for data in (b"", b"POST /v1/", post(length=90), post(), post(path="/slow")):
        connection = connect(port)
        connection.sendall(data)
        connection.close()
    assert echo.entered.wait(20)
    echo.go_on.set()
    channels = connections._server.active_channels
    end = time.monotonic() + 20
    while channels and time.monotonic() < end:
        time.sleep(0.01)
    assert not channels


def test_an_end_answers_what_was_sent_and_closes_each_connection(server):
    port, echo, connections = server
    slow, silent, half = connect(port), connect(port), connect(port)
    slow.sendall(post(path="/slow"))
    silent.sendall(post(b"before"))
    assert "Connection" not in read_answer(silent)[1]
    half.sendall(post(length=90))
    assert echo.entered.wait(20)
    ended = []
    stopping = threading.Thread(target=lambda: ended.append(connections.stop(20)))
    stopping.start()
    while connections._server.accepting:
        time.sleep(0.01)
    # A client that didn't know of the end gets its answer, and knows then.
    silent.sendall(post(b"after"))
    _, headers, body = read_answer(silent)
    assert (headers["Connection"], body) == ("close", b"after")
    echo.go_on.set()
    assert read_answer(slow)[2] == b"hi"
    stopping.join(20)
    assert ended == [True]
    assert [each.recv(9) for each in (slow, silent, half)] == [b""] * 3
    with pytest.raises(ConnectionRefusedError):
        connect(port)


def test_an_end_says_if_a_request_is_still_under_way(server):
    port, echo, connections = server
    with connect(port) as connection:
        connection.sendall(post(path="/slow"))
        assert echo.entered.wait(20)
        threading.Timer(0.5, echo.go_on.set).start()
        assert not connections.stop(0.1)


@pytest.mark.parametrize("is_started", [True, False])
def test_a_stopped_server_may_be_stopped_again_and_its_port_is_free(is_started):
    listening = _listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    connections = Connections(Echo(), listening, LIMITS)
    if is_started:
        connections.start()
    assert connections.stop(1)
    assert connections.stop(1)
    _listen("127.0.0.1", port).close()


@pytest.mark.parametrize(
    "files, most", [(8, 6), (1 << 20, 1024), (resource.RLIM_INFINITY, 1024)]
)
def test_connections_leave_files_for_other_things(monkeypatch, files, most):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert connections_module._most_connections() == most
