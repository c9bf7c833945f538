"""A server's answers: how many a second, how late, and whether they are right.

    python benchmarks/serving.py http://localhost:8501 en-de --texts test.en
    python benchmarks/serving.py localhost:8500 en-de --grpc --texts test.en
    python benchmarks/serving.py http://localhost:8501 en-de --texts test.en \\
        --translator runs/en-de --clients 1 --clients 64
    python benchmarks/serving.py http://localhost:8501 en-de --texts test.en \\
        --start "keras-transformer serve runs/en-de --port 8501"
    python benchmarks/serving.py http://localhost:8501 en-de --texts test.en \\
        --start "keras-transformer serve saved_models --port 8501" \\
        --export saved_models/en-de/1 --alone --clients 64 --seconds 60

Each client sends one text at a time and waits for its answer, as users do, for
`--seconds`. Whatever speaks TF Serving's protocols at the address is measured; with
--start that is started first, and ended afterwards. With --translator each answer is
compared with what that gives for the text alone; with --alone, with what the server
gives when it has no other client. With --start the table has the server's resident
memory at the start, in the middle and at the end, and its processor time for a text.
--export adds what one big batch of the texts takes in the SavedModel, without a server.

The clients share the machine with the server, so they do little: by REST one request
for each text is written before the clock starts, and sent by Python's own HTTP client.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.parse

import numpy as np

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
# Before those that count, for each number of clients.
WARM_UP_SECONDS = 2.0


def measure(ask_of, texts, clients, seconds, expected=None):
    """Asks a server from many threads at a time.

    Args:
        ask_of: Function that gives a client: a function of a text, which returns the
            answer.
        texts: List of strings, sent in turn.
        clients: Number of threads, each with one request under way.
        seconds: How long.
        expected: Dict of the right answers by text, or None.

    Returns:
        A dict: `rate`, answers a second; `p50`, `p95`, `p99`, seconds from question to
        answer; `answers`, their number; `wrong`, of them others than expected;
        `failed`, requests without an answer, by what was said.
    """
    turns, lock = itertools.count(), threading.Lock()
    times, wrong, failed = [], [], []
    start = time.perf_counter()

    def ask_on():
        ask = ask_of()
        while time.perf_counter() < start + seconds:
            text = texts[next(turns) % len(texts)]
            before = time.perf_counter()
            try:
                answer = ask(text)
            except Exception as error:
                with lock:
                    failed.append(f"{type(error).__name__}: {error}")
                continue
            after = time.perf_counter()
            with lock:
                times.append(after - before)
                if expected is not None and answer != expected[text]:
                    wrong.append((text, answer, expected[text]))

    threads = [threading.Thread(target=ask_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    late = np.percentile(times, [50, 95, 99]) if times else [float("nan")] * 3
    return {
        "rate": len(times) / took,
        **dict(zip(("p50", "p95", "p99"), map(float, late))),
        "answers": len(times),
        "wrong": wrong,
        "failed": failed,
    }


def rest_clients(address, model, signature, texts, timeout):
    """What makes clients of a REST server, of one connection each."""
    server = urllib.parse.urlsplit(address)
    path = f"{server.path.rstrip('/')}/v1/models/{model}:predict"
    headers = {"Content-Type": "application/json"}
    bodies = {
        text: json.dumps(
            {"signature_name": signature, "inputs": {"text": [text]}}
        ).encode()
        for text in texts
    }

    def client():
        kind = http.client.HTTPConnection
        if server.scheme == "https":
            kind = http.client.HTTPSConnection
        connection = kind(server.hostname, server.port, timeout=timeout)

        def ask(text):
            try:
                connection.request("POST", path, bodies[text], headers)
                response = connection.getresponse()
                body = response.read()
            except BaseException:
                connection.close()
                raise
            if response.status != 200:
                raise RuntimeError(f"HTTP {response.status}: {body[:200]!r}")
            return _first_text(json.loads(body)["outputs"])

        return ask

    return client


def grpc_clients(address, model, signature, timeout):
    """What makes clients of a gRPC server, which share a connection."""
    from keras_transformer.serving import GrpcClient

    client = GrpcClient(address, model, timeout=timeout, retries=0)
    return lambda: lambda text: _first_text(client.ask(signature, text=[text]))


def _first_text(outputs):
    """The answer among a signature's outputs: its first string, whatever its name."""
    if isinstance(outputs, list):
        # A server sends a single output bare.
        outputs = {"output": outputs}
    for name in ("translation", "translations", "generated", "output"):
        if name in outputs:
            first = outputs[name][0]
            return first[0] if isinstance(first, list) else first
    raise ValueError(f"No text among the outputs: {', '.join(sorted(outputs))}.")


@contextlib.contextmanager
def started(command, is_ready, patience=600):
    """Runs a command until the block ends; waits first until `is_ready()`."""
    if not command:
        yield
        return
    process = subprocess.Popen(shlex.split(command))
    try:
        limit = time.monotonic() + patience
        while not is_ready():
            if process.poll() is not None or time.monotonic() > limit:
                raise SystemExit(f"{command}: no answer; code {process.poll()}.")
            time.sleep(1)
        yield process
    finally:
        process.terminate()
        process.wait()


def resident(pid):
    """A process's resident memory in megabytes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 / 1e6


def processor_seconds(pid):
    """A process's processor time so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """What a server's process takes during a measurement; nothing without a process.

    Args:
        process: A `subprocess.Popen`, or None.
        seconds: How long the measurement will be.
    """

    def __init__(self, process, seconds):
        self._process = process
        if process:
            self._memory = [resident(process.pid)]
            self._start = processor_seconds(process.pid)
            self._timer = threading.Timer(seconds / 2, self._look)
            self._timer.start()

    def _look(self):
        self._memory.append(resident(self._process.pid))

    def columns(self, answers):
        """Memory, and milliseconds of the processor for each answer, as text."""
        if not self._process:
            return ()
        self._timer.join()
        self._look()
        took = processor_seconds(self._process.pid) - self._start
        memory = " / ".join(f"{each:.0f}" for each in self._memory)
        return memory, f"{took / max(answers, 1) * 1000:.2f}"


def print_one_batch(path, texts, signature, seconds=5.0):
    """What one big batch takes; in a process that doesn't stay."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401, its operations are in the graph

    loaded = tf.saved_model.load(path)
    ask, batch = loaded.signatures[signature], tf.constant(texts)
    ask(text=batch)
    count, start, before = 0, time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - start) < seconds or not count:
        ask(text=batch)
        count += len(texts)
    processor = (time.process_time() - before) / count * 1000
    rate = count / took
    print(f"One batch of {len(texts)}: {rate:.1f} texts a second, {processor:.2f} ms")


def answers_alone(folder, texts):
    """Each text's answer from a translator, without neighbours."""
    from keras_transformer.tasks.translator import Translator

    inside = pathlib.Path(folder) / "translator"
    translator = Translator.load(inside if inside.exists() else folder)
    return {text: translator.translate([text])[0] for text in texts}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address", help="http://localhost:8501, or localhost:8500")
    parser.add_argument("model", help="the model's name")
    parser.add_argument("--texts", required=True, help="a file, a text a line")
    parser.add_argument("--most-texts", type=int, default=500, help="of that file")
    parser.add_argument("--grpc", action="store_true")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--clients", type=int, action="append", help="may be repeated")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--translator", help="a run or a saved translator to compare")
    parser.add_argument(
        "--alone", action="store_true", help="compare with answers without neighbours"
    )
    parser.add_argument("--start", help="a command that starts the server")
    parser.add_argument("--export", help="a SavedModel, to compare with one big batch")
    parser.add_argument("--one-batch", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with open(options.texts, encoding="utf-8") as file:
        lines = (line.strip() for line in file)
        texts = list(itertools.islice(filter(None, lines), options.most_texts))
    if options.one_batch:
        return print_one_batch(options.export, texts, options.signature)
    if options.grpc:
        ask_of = grpc_clients(
            options.address, options.model, options.signature, options.timeout
        )
    else:
        ask_of = rest_clients(
            options.address, options.model, options.signature, texts, options.timeout
        )
    expected = None
    if options.translator:
        expected = answers_alone(options.translator, texts)

    def is_ready():
        try:
            ask_of()(texts[0])
        except Exception:
            return False
        return True

    if options.export:
        command = [sys.executable, __file__, *sys.argv[1:], "--one-batch"]
        subprocess.run(command, check=True)
    titles = "clients", "texts a second", "p50", "p95", "p99", "wrong", "failed"
    if options.start:
        titles += "server's MB", "ms of the processor a text"
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}")
    with started(options.start, is_ready) as process:
        if options.alone:
            ask = ask_of()
            expected = {text: ask(text) for text in texts}
        for clients in options.clients or CLIENTS:
            measure(ask_of, texts, clients, WARM_UP_SECONDS)
            watch = Watch(process, options.seconds)
            found = measure(ask_of, texts, clients, options.seconds, expected)
            row = [clients, f"{found['rate']:.1f}"]
            row += [f"{found[name] * 1000:.0f} ms" for name in ("p50", "p95", "p99")]
            wrong = "?" if expected is None else f"{len(found['wrong'])}"
            row += [f"{wrong} of {found['answers']}", len(found["failed"])]
            row += watch.columns(found["answers"])
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            for text, answer, right in found["wrong"][:3]:
                print(f"  {text!r}: {answer!r}, but alone {right!r}")
            for words in sorted(set(found["failed"]))[:3]:
                print(f"  {words}")


if __name__ == "__main__":
    main()
