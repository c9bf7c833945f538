"""HTTP connections: Waitress, with an orderly end and its own refusals in JSON."""

import logging
import queue
import resource
import socket
import threading
import time
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask, WSGITask

from keras_transformer.web.application import Application
from keras_transformer.web.limits import Limits
from keras_transformer.web.replies import write_error

# Connections that wait to be taken.
WAITING = 256
# Connections at a time. Without a file descriptor for the next one Waitress would ask
# for it without a pause, so a quarter of them is left for other files.
_CONNECTIONS, _SHARE_OF_FILES = 1024, 0.75
# Seconds after which a client that sends nothing is let go.
_SILENCE = 30
# Threads beside those of `max_requests`, for reads and for answers that refuse.
_MORE_THREADS = 8
# A larger body is cut off; one between `max_body_bytes` and this gets an answer.
_MOST_BODIES = 8
# Rounds without any request, 10 ms each, after which the last one is over: a client may
# have sent the next one before it knew of the end.
_QUIET_ROUNDS = 10
# Seconds until all sockets are closed.
_LAST_CLOSES = 5.0


class Connections:
    """Takes connections, and answers their requests in threads.

    Args:
        application: An `Application`.
        listening: A socket that listens.
        limits: `Limits` of requests.
    """

    def __init__(
        self, application: Application, listening: socket.socket, limits: Limits
    ) -> None:
        self._application = application
        self._sockets: dict[int, Any] = {}
        # It warns of requests that wait for a thread: here they wait for each other.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._server = create_server(
            application,
            map=self._sockets,
            sockets=[listening],
            threads=limits.max_requests + _MORE_THREADS,
            connection_limit=_most_connections(),
            backlog=WAITING,
            channel_timeout=_SILENCE,
            cleanup_interval=_SILENCE // 3,
            max_request_body_size=_MOST_BODIES * limits.max_body_bytes,
            asyncore_use_poll=True,
            # No address of a proxy is read.
            clear_untrusted_proxy_headers=False,
            ident=None,
        )
        self._server.channel_class = _Channel
        self._server.of_body = limits.of_body
        self._server.is_ending = False
        self._reading = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        """Starts to answer; returns at once."""
        self._reading.start()

    def stop(self, seconds: float) -> bool:
        """Takes no more connections, and ends those that are open after an answer.

        Args:
            seconds: Most seconds to wait for requests under way.

        Returns:
            Whether all have ended.
        """
        self._server.is_ending = True
        self._between_reads(self._end_listening)
        is_idle = self._wait_until_quiet(seconds)
        self._between_reads(lambda: wasyncore.close_all(self._sockets))
        if self._reading.is_alive():
            self._reading.join(_LAST_CLOSES)
        self._server.task_dispatcher.shutdown()
        return is_idle

    def _between_reads(self, work):
        """What the thread that reads and writes returns for a function."""
        if not self._reading.is_alive():
            return work()
        done = queue.SimpleQueue()

        def do():
            found = None
            try:
                found = work()
            finally:
                # Waitress logs what went wrong; who waits goes on.
                done.put(found)

        self._server.trigger.pull_trigger(do)
        return done.get()

    def _end_listening(self):
        """Takes the connections that wait already, and then no more."""
        if not self._server.accepting:
            return
        for _ in range(WAITING):
            self._server.handle_accept()
        wasyncore.dispatcher.close(self._server)

    def _wait_until_quiet(self, seconds):
        end = time.monotonic() + seconds
        rounds = 0
        while rounds < _QUIET_ROUNDS:
            rounds = 0 if self._between_reads(self._is_busy) else rounds + 1
            if not rounds and time.monotonic() >= end:
                return False
            time.sleep(0.01)
        return True

    def _is_busy(self):
        return not self._application.wait_until_idle(0) or any(
            channel.requests or channel.total_outbufs_len
            for channel in self._server.active_channels.values()
        )


class _Answer(WSGITask):
    """An answer of the application, the last of its connection if the server ends."""

    def build_response_header(self) -> bytes:
        if self.channel.server.is_ending:
            self.request.headers["CONNECTION"] = "close"
        return super().build_response_header()


class _Refusal(ErrorTask):
    """What is answered to what isn't HTTP, or is too large to be read."""

    def execute(self) -> None:
        error = self.request.error
        words = f"{error.reason}: {error.body}."
        if error.code == 413:
            words = self.channel.server.of_body
        body = write_error(words).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    task_class = _Answer
    error_task_class = _Refusal


def _most_connections():
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return min(_CONNECTIONS, int(files * _SHARE_OF_FILES))
