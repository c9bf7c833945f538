"""Requests that arrive together are answered together."""

import collections
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

# A thread without work ends after this, and with it what it holds of an old version.
_IDLE_SECONDS = 5.0
# As long as a call waits, while another is under way, for a third of the most rows: of
# clients that wait for their answers some are then always at work.
_PATIENCE_BESIDE = 0.05


class Joined:
    """A function of signatures, called for the rows of many requests at once.

    Each signature has threads. One of them takes what waits, up to `max_rows` rows of
    equal shapes, and calls the function once. Rows are independent of each other in
    our exports, so each gets the answer that it would get alone. If a call fails, each
    of its requests is tried alone: none fails for another's fault.

    Args:
        run: Function of a signature's name and a dict of arrays; it returns a dict of
            arrays.
        max_rows: Most rows of a call; only a single request may have more.
        patience: Seconds that the first request of a call waits for others.
        max_calls: Most calls of a signature at a time.
    """

    def __init__(
        self,
        run: Callable[[str, dict[str, Any]], dict[str, Any]],
        max_rows: int = 64,
        patience: float = 0.003,
        max_calls: int = 1,
    ) -> None:
        self._run = run
        self._settings = max_rows, patience, max_calls
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()

    def ask(
        self, name: str, inputs: dict[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        """A signature's outputs for the rows of one request.

        Raises:
            TimeoutError: If they aren't there after `timeout` seconds.
        """
        with self._lock:
            if name not in self._lines:
                self._lines[name] = _Line(
                    lambda rows: self._run(name, rows), *self._settings
                )
        request = self._lines[name].put(inputs)
        try:
            found = request.answer.get(timeout=timeout)
        except queue.Empty:
            # Not begun, it needn't be computed any more.
            request.is_late = True
            raise TimeoutError from None
        if isinstance(found, Exception):
            raise found
        return found


class _Request:
    def __init__(self, inputs):
        self.inputs = inputs
        self.is_late = False
        # A dict of outputs or an exception. Waiting for it takes less than for a
        # `Future`, which counts with many clients.
        self.answer = queue.SimpleQueue()
        counts = {value.shape[:1] for value in inputs.values()}
        rows = counts.pop() if len(counts) == 1 else ()
        # Neither is an empty request joined, nor one with other rows in each input.
        self.rows = rows[0] if rows else 0
        self.shapes = {name: value.shape[1:] for name, value in inputs.items()}

    def joins(self, first, room):
        return 0 < self.rows <= room and self.shapes == first.shapes


class _Line:
    """The requests to one signature that wait, and the threads that answer them."""

    def __init__(self, run, max_rows, patience, max_calls):
        self._run, self._max_rows, self._patience = run, max_rows, patience
        self._max_calls = max_calls
        self._waiting = collections.deque()
        self._changed = threading.Condition()
        # One thread at a time gathers requests, or each would take some of a batch.
        self._gathering = threading.Lock()
        self._threads = self._busy = 0
        # Rows that wait, and how many of them a thread that gathers is woken for.
        self._rows = self._enough = 0

    def put(self, inputs):
        request = _Request(inputs)
        with self._changed:
            self._waiting.append(request)
            self._rows += request.rows
            self._start_a_thread()
            if self._rows >= self._enough:
                self._changed.notify()
        return request

    def _start_a_thread(self):
        """Starts one for what waits, if all are busy and one more may be."""
        if self._waiting and self._busy == self._threads < self._max_calls:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self):
        while requests := self._gather():
            if requests := [each for each in requests if not each.is_late]:
                _answer(self._run, requests)
            # Nothing of the last requests is kept while the thread waits.
            del requests
            with self._changed:
                self._busy -= 1
                self._changed.notify()

    def _gather(self):
        """The requests of the next call; none if nothing came for long."""
        with self._gathering, self._changed:
            self._enough = 0
            if not self._changed.wait_for(lambda: self._waiting, _IDLE_SECONDS):
                self._threads -= 1
                return []
            start = time.monotonic()
            while True:
                patience, self._enough = self._patience, self._max_rows
                if self._busy:
                    # Beside another call a small one takes more than it saves.
                    patience, self._enough = _PATIENCE_BESIDE, self._max_rows // 3
                left = start + patience - time.monotonic()
                if left <= 0 or self._rows >= self._enough:
                    break
                self._changed.wait(left)
            self._busy += 1
            taken = self._taken()
            self._start_a_thread()
            return taken

    def _taken(self):
        """Takes the first request, and others that join it."""
        first = self._waiting.popleft()
        taken, rows, others = [first], first.rows, collections.deque()
        for each in self._waiting:
            if rows and each.joins(first, self._max_rows - rows):
                taken.append(each)
                rows += each.rows
            else:
                others.append(each)
        self._waiting = others
        self._rows -= rows
        return taken


def _answer(run, requests):
    if len(requests) > 1:
        try:
            return _answer_together(run, requests)
        except Exception:
            # One of them may be at fault: that one alone is told so.
            pass
    for request in requests:
        try:
            request.answer.put(run(request.inputs))
        except Exception as error:
            request.answer.put(error)


def _answer_together(run, requests):
    names = requests[0].inputs
    found = run(
        {n: np.concatenate([each.inputs[n] for each in requests]) for n in names}
    )
    count = sum(each.rows for each in requests)
    if any(value.shape[:1] != (count,) for value in found.values()):
        raise ValueError("outputs without a row for each of the inputs' rows")
    start = 0
    for request in requests:
        end = start + request.rows
        request.answer.put({n: value[start:end] for n, value in found.items()})
        start = end
