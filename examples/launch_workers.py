"""Starts several workers of one training on this machine.

    python examples/launch_workers.py 2 -- keras-transformer train runs/en-de \\
        train.en train.de --strategy multi_worker

Each worker gets the variable TF_CONFIG, which names all of them, on free ports; their
output is printed line by line, the worker's number before it. Signals are passed on.
When one worker fails, the others are given a while to notice and stop by themselves.
The launcher ends with code 75 if the same command, given again, goes on, as one of the
workers says; otherwise with that of the first that failed.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

PATIENCE = 60  # seconds
GOES_ON = 75  # a temporary failure, see sysexits.h


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workers", type=int)
    parser.add_argument("command", nargs="+", help="after --, a program and arguments")
    arguments = parser.parse_args()
    sys.exit(launch(arguments.command, arguments.workers))


def launch(command, count):
    """Runs the command in `count` workers; the code that the launcher ends with."""
    addresses = [f"localhost:{port}" for port in free_ports(count)]
    workers, printers = [], []
    for index in range(count):
        workers.append(start_worker(command, addresses, index))
        printer = threading.Thread(target=print_lines, args=(workers[-1], index))
        printer.start()
        printers.append(printer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: pass_on(received, workers))
    code = wait(workers)
    for printer in printers:
        printer.join()
    return code


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_worker(command, addresses, index):
    config = {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": index},
    }
    return subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def print_lines(worker, index):
    for line in worker.stdout:
        print(f"[{index}] {line}", end="", flush=True)


def pass_on(number, workers):
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)


def wait(workers):
    """Until all have ended; those that hang on after a failure are killed."""
    first_failure, deadline = 0, None
    while running := [worker for worker in workers if worker.poll() is None]:
        failed = [worker.returncode for worker in workers if worker.returncode]
        if failed and deadline is None:
            first_failure, deadline = failed[0], time.monotonic() + PATIENCE
        if deadline is not None and time.monotonic() > deadline:
            pass_on(signal.SIGKILL, running)
        time.sleep(0.1)
    codes = [worker.returncode for worker in workers if worker.returncode]
    if GOES_ON in codes:
        return GOES_ON
    code = first_failure or next(iter(codes), 0)
    # A worker killed by signal n counts as 128 + n, as in a shell.
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    main()
