"""benchmarks/serving.py counts a server's answers, the wrong ones and failures."""

import http.server
import importlib.util
import json
import pathlib
import subprocess
import sys
import threading
import time

import pytest


@pytest.fixture(scope="module")
def benchmark():
    path = pathlib.Path(__file__).parents[2] / "benchmarks" / "serving.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_serving", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server():
    """Answers in capitals after 20 ms; "wrong" and "busy" as they say."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            (text,) = json.loads(self.rfile.read(length))["inputs"]["text"]
            time.sleep(0.02)
            answer = "?" if text == "wrong" else text.upper()
            body = json.dumps({"outputs": {"translation": [answer], "score": [0.0]}})
            self.send_response(400 if text == "busy" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    stub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{stub.server_port}"
    stub.shutdown()
    stub.server_close()


def test_answers_are_counted_and_compared(benchmark, server):
    texts = ["one", "two", "wrong", "busy"]
    clients = benchmark.rest_clients(server, "small", "serving_default", texts, 30)
    expected = {text: text.upper() for text in texts}
    found = benchmark.measure(clients, texts, 4, 0.5, expected)
    # Four threads ask every 20 ms, and three of four texts are answered.
    assert 8 <= found["answers"] <= 4 * 25
    assert 0.02 <= found["p50"] <= found["p95"] <= found["p99"] < 1
    assert found["rate"] == pytest.approx(found["answers"] / 0.5, rel=0.5)
    assert {text for text, *_ in found["wrong"]} == {"wrong"}
    assert all("HTTP 400" in words for words in found["failed"])
    assert found["failed"]


def test_the_table_has_a_line_for_each_number_of_clients(
    benchmark, server, tmp_path, monkeypatch, capsys
):
    (tmp_path / "texts").write_text("one\n\ntwo\n", encoding="utf-8")
    monkeypatch.setattr(benchmark, "WARM_UP_SECONDS", 0.05)
    arguments = [server, "small", "--texts", str(tmp_path / "texts")]
    arguments += ["--clients", "1", "--clients", "3", "--seconds", "0.2"]
    monkeypatch.setattr(sys, "argv", ["serving.py", *arguments])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 1", "| 3"]
    assert all(line.endswith("| 0 |") for line in lines[2:])


def test_what_is_started_is_ended(benchmark):
    command = f"{sys.executable} -c 'import time; time.sleep(60)'"
    with benchmark.started(command, lambda: True) as process:
        assert process.poll() is None
    assert process.poll() is not None
    failing = f"{sys.executable} -c 'raise SystemExit(3)'"
    with pytest.raises(SystemExit, match="code 3"):
        with benchmark.started(failing, lambda: False):
            pass


def test_what_a_started_server_takes_is_watched(benchmark):
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        # Until it is Python, and no longer a copy of this process.
        time.sleep(0.2)
        watch = benchmark.Watch(process, 0.4)
        time.sleep(0.5)
        memory, took = watch.columns(10)
    finally:
        process.kill()
        process.wait()
    assert all(float(each) >= 1 for each in memory.split(" / "))
    assert len(memory.split(" / ")) == 3
    # Ten answers in half a second, of which the process had some.
    assert 0 < float(took) <= 200
    assert benchmark.Watch(None, 1).columns(10) == ()
