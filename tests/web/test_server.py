"""The server's process: clients by sockets, joined requests, an orderly end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from keras_transformer.serving import RestClient, serve
from keras_transformer.web import server as server_module
from keras_transformer.web.server import Server

TEXTS = ["the dog", "a small cat sees the old house", "woman", "", "the red house"]


@pytest.fixture(scope="module")
def server(models_folder):
    with Server(str(models_folder), port=0) as server:
        yield server


def test_it_listens_to_this_machine_only(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert server._connections._server.socket.getsockname()[0] == "127.0.0.1"


def test_our_own_client_needs_no_change(server):
    client = RestClient(server.url, "en-de", retries=0)
    alone = [client.translate(text) for text in TEXTS]
    assert client.translate(TEXTS) == alone
    found = client.ask("translate", text=TEXTS[:2], num_hypotheses=[1, 3])
    assert [len(row) for row in found["translations"]] == [1, 3]
    assert found["translations"][0] == alone[:1]
    assert client.ask("explain", text=TEXTS[0])["translation"] == alone[:1]
    client = RestClient(server.url, "en-de", version=1, retries=0)
    assert client.translate(TEXTS) == alone


def test_many_clients_at_once_lose_nothing(server):
    client = RestClient(server.url, "en-de", retries=0)
    alone = {text: client.translate(text) for text in TEXTS}
    wrong = []

    def ask(number):
        for turn in range(3):
            text = TEXTS[(number + turn) % len(TEXTS)]
            try:
                answer = client.translate(text)
            except Exception as error:
                answer = error
            if answer != alone[text]:
                wrong.append((text, answer))

    threads = [threading.Thread(target=ask, args=[n]) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_body_that_is_too_large_gets_an_answer(server):
    body = b'{"instances": ["' + b"a" * (6 << 20) + b'"]}'
    request = urllib.request.Request(f"{server.url}/v1/models/en-de:predict", body)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert error.value.code == 413
    assert b"max_body_bytes" in error.value.read()


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port={port} can't be listened at"):
            serve("nothing", port=port)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"port": -1}, "port must be at least 0"),
        ({"port": "x"}, "port must be an integer"),
        ({"port": 70000}, "port=70000 can't be listened at"),
        ({"poll_seconds": 0}, "poll_seconds must be"),
        ({"max_texts": 0}, "max_texts must be at least 1"),
        ({"max_requests": 513}, "max_requests must be at most 512"),
        ({"max_text": 1}, "max_text"),
        ({"host": "no.such.host.invalid"}, "host='no.such.host.invalid'"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_loaded(arguments, words):
    with pytest.raises((ValueError, TypeError, OSError), match=words):
        Server("nothing", **arguments)


@pytest.mark.parametrize(
    "host, local",
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
    ],
)
def test_only_loopback_is_local(host, local):
    assert server_module._is_loopback(host) == local


def test_new_versions_are_seen_by_the_poll(plain_folder, tmp_path):
    import shutil

    shutil.copytree(plain_folder / "en-de", tmp_path / "en-de")
    with Server(str(tmp_path), port=0, poll_seconds=0.1) as server:
        shutil.copytree(tmp_path / "en-de" / "1", tmp_path / "writing-2")
        os.rename(tmp_path / "writing-2", tmp_path / "en-de" / "2")
        client = RestClient(server.url, "en-de", version=2, retries=0)
        end = time.monotonic() + 100
        while time.monotonic() < end:
            if server.catalogue.get("en-de").newest.number == 2:
                break
            time.sleep(0.1)
        assert client.translate("the dog") == RestClient(server.url, "en-de").translate(
            "the dog"
        )


def test_stopping_waits_for_the_requests_under_way(plain_folder):
    server = Server(str(plain_folder), port=0).start()
    client = RestClient(server.url, "en-de", retries=0)
    expected = client.translate("the dog")
    entered, real = threading.Event(), server.application._rest

    def slow(*request):
        entered.set()
        time.sleep(1)
        return real(*request)

    server.application._rest = slow
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(client.translate("the dog"))
    )
    asking.start()
    assert entered.wait(20)
    assert server.stop()
    asking.join()
    assert answers == [expected]
    with pytest.raises(Exception, match="can't be reached"):
        client.translate("the dog")


def test_an_operation_has_one_thread_unless_the_user_chose(monkeypatch):
    chosen = []
    monkeypatch.setattr(
        "tensorflow.config.threading.set_intra_op_parallelism_threads", chosen.append
    )
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    with pytest.raises(FileNotFoundError):
        serve("nothing", port=0)
    assert chosen == [1]
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    with pytest.raises(FileNotFoundError):
        serve("nothing", port=0)
    assert chosen == [1]


@pytest.mark.process
def test_signals_end_the_command_after_the_request_under_way(plain_folder):
    # SIGINT ends the same way: `serve` has one handler for both.
    command = [sys.executable, "-m", "keras_transformer", "serve", str(plain_folder)]
    process = subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    line = ""
    while "Ctrl-C" not in line:
        line = process.stdout.readline()
        assert line, process.wait()
    client = RestClient(line.split()[1], "en-de", retries=0)
    # Enough texts to be under way when the signal comes.
    texts = [f"the small dog {number}" for number in range(250)]
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(client.translate(texts, batch_size=250))
    )
    asking.start()
    under_way = "keras_transformer_requests_under_way 1.0"
    end = time.monotonic() + 60
    while under_way not in _metrics(line.split()[1]) and time.monotonic() < end:
        pass
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    asking.join()
    assert process.returncode == 0
    assert "Ending after the requests under way." in rest
    assert len(answers[0]) == len(texts)


def _metrics(url):
    with urllib.request.urlopen(f"{url}/metrics") as response:
        return response.read().decode()
