"""Tokenizing in several processes.

Each is a fresh Python that runs this module. It imports neither Keras nor TensorFlow,
nor the program's main module, as processes of `multiprocessing` do. It isn't forked:
threads of TensorFlow don't survive that.
"""

import collections
import concurrent.futures
import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator

from keras_transformer.data.encoding import (
    EncodedPairs,
    PairEncoder,
    needs_no_tensorflow,
)

# Chunks that are on their way, for each process.
_PENDING = 3


class EncoderPool:
    """Processes that encode; a context manager, which ends them.

    They are started when they are first needed.

    Args:
        encoder: A `PairEncoder`.
        processes: Number of processes; with 1, this one.
    """

    def __init__(self, encoder: PairEncoder, processes: int) -> None:
        self.encoder = encoder
        self._processes = processes
        self._workers: list[_Worker] = []
        self._free: queue.SimpleQueue = queue.SimpleQueue()
        self._threads = concurrent.futures.ThreadPoolExecutor(processes)

    def encoded(self, chunks: Iterable[list]) -> Iterator[EncodedPairs]:
        """What the encoder makes of chunks of pairs, in their order.

        Args:
            chunks: Iterator of lists of pairs of texts; it is read as far as needed.

        Yields:
            `EncodedPairs`.
        """
        if self._processes == 1:
            yield from map(self.encoder, chunks)
            return
        while len(self._workers) < self._processes:
            self._workers.append(_Worker(self.encoder))
            self._free.put(self._workers[-1])
        pending: collections.deque = collections.deque()
        for chunk in chunks:
            pending.append(self._threads.submit(self._encode, chunk))
            if len(pending) >= _PENDING * self._processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _encode(self, chunk):
        worker = self._free.get()
        try:
            return worker(chunk)
        finally:
            self._free.put(worker)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self._workers:
            worker.end()
        self._threads.shutdown(cancel_futures=True)


def can_be_shared(encoder: PairEncoder) -> bool:
    """Whether an encoder works in another process."""
    tokenizers = encoder.source_tokenizer, encoder.target_tokenizer
    if not all(map(needs_no_tensorflow, tokenizers)):
        return False
    try:
        pickle.dumps(encoder)
    except Exception:
        return False
    # A main module isn't imported elsewhere.
    return type(encoder.filters).__module__ != "__main__"


class _Worker:
    """A process that encodes."""

    def __init__(self, encoder):
        paths = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self._send(encoder)

    def __call__(self, chunk):
        self._send(chunk)
        try:
            answer = pickle.load(self._process.stdout)
        except EOFError:
            raise self._died() from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _send(self, value):
        try:
            pickle.dump(value, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _died(self):
        return RuntimeError(
            "A process that tokenizes has ended with code "
            f"{self._process.wait()}. Its message is above; after a lack of memory "
            "use fewer processes. Start again to go on."
        )

    def end(self):
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _main():
    # Ctrl-C is for the process that asks; it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What libraries print must not get between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    encoder = pickle.load(sys.stdin.buffer)
    while True:
        try:
            chunk = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = pickle.dumps(encoder(chunk), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            answer = pickle.dumps(_as_plain(error))
        answers.write(answer)
        answers.flush()


def _as_plain(error):
    """The error, or one with its words if it can't be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    _main()
