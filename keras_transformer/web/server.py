"""The server's process: port, polls for new versions, and an orderly end."""

import ipaddress
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any, Self

import tensorflow as tf

from keras_transformer.arguments import integer, number
from keras_transformer.web.application import Application
from keras_transformer.web.catalogue import Catalogue
from keras_transformer.web.connections import WAITING, Connections
from keras_transformer.web.limits import Limits

# Calls of a signature at a time: more batches, and smaller ones, cost more than cores
# that are idle.
_MOST_CALLS = 4


class Server:
    """A server of the models of a folder, in threads of this process.

    Args:
        folder: See `serve`.
        host: Address to listen at.
        port: Port; 0 for any that is free.
        poll_seconds: Seconds between two looks for new versions.
        labels: See `serve`.
        **limits: See `Limits`.

    Example:

    >>> with Server("saved_models") as server:
    ...     RestClient(server.url, "en-de").translate(["A dog runs."])
    """

    def __init__(
        self,
        folder: Any,
        host: str = "127.0.0.1",
        port: int = 8501,
        *,
        poll_seconds: float = 2.0,
        labels: Mapping[str, int] | None = None,
        **limits: Any,
    ) -> None:
        limits = Limits(**limits)
        integer("port", port, minimum=0)
        number("poll_seconds", poll_seconds, above=0)
        self._poll_seconds = poll_seconds
        self._time_limit = limits.time_limit
        listening = _listen(host, port)
        try:
            calls = min(os.cpu_count() or 1, _MOST_CALLS)
            self.catalogue = Catalogue(folder, labels, max_calls=calls)
            self.application = Application(
                self.catalogue, limits, local_only=_is_loopback(host)
            )
        except BaseException:
            listening.close()
            raise
        shown = f"[{host}]" if ":" in host else host
        shown = "localhost" if host in ("0.0.0.0", "::", "") else shown
        self.url = f"http://{shown}:{listening.getsockname()[1]}"
        self._connections = Connections(self.application, listening, limits)
        self._stopped = threading.Event()

    def start(self) -> Self:
        """Starts to answer; returns at once."""
        self._connections.start()
        threading.Thread(target=self._poll, daemon=True).start()
        return self

    def stop(self) -> bool:
        """Ends: takes no more connections, and lets requests under way end first.

        Returns:
            Whether they have ended within the time limit of a request.
        """
        self._stopped.set()
        return self._connections.stop(self._time_limit)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _poll(self):
        for model in [*self.catalogue.models.values()]:
            self._safely(model.warm_up)
        while not self._stopped.wait(self._poll_seconds):
            self._safely(self.catalogue.refresh)

    def _safely(self, work):
        try:
            work()
        except Exception:
            # What is loaded is served all the same; the next look may succeed.
            traceback.print_exc(file=sys.stderr)


def serve(
    folder: Any,
    host: str = "127.0.0.1",
    port: int = 8501,
    *,
    poll_seconds: float = 2.0,
    labels: Mapping[str, int] | None = None,
    **limits: Any,
) -> None:
    """Serves models on this machine, with a page to try them, until it is stopped.

    It answers TF Serving's REST protocol (`/v1/models/NAME:predict`), LibreTranslate's
    (`/translate`, `/languages`, `/health`) and Prometheus (`/metrics`); the page is at
    `/`. It is for looking, trying and showing: it has no authentication and no
    encryption. SIGTERM and Ctrl-C end it after the requests under way.

    Args:
        folder: What to serve: a folder of exported models (`saved_models`), of which
            the newest versions are served, new ones as soon as they are there; one
            model's folder, or one version; a run; a saved `kt.Translator`,
            `kt.TextGenerator` or `kt.TextEncoder`, or such an object itself; a Marian
            folder, or its name on the Hugging Face Hub.
        host: Address to listen at. By default only this machine can ask; `"0.0.0.0"`
            lets all machines that reach this one.
        port: Port to listen at; 0 for any that is free.
        poll_seconds: Seconds between two looks for new versions.
        labels: Dict of versions' numbers by label, such as `{"stable": 3}`: that
            version is served beside the newest, at `/v1/models/NAME/labels/stable`.
            `"en-de:stable"` is a label of one model among several.
        **limits: `max_body_bytes` (4 MiB), `max_texts` of a request (256),
            `max_characters` of a text (50,000), `max_requests` under way (128; others
            get HTTP 429), and `time_limit`, the seconds of a request (60).

    Raises:
        FileNotFoundError: If there is no model in `folder`.
        ValueError: If no model can be loaded, if a label's version isn't there, or for
            an argument out of range.
        OSError: If the port is taken; the error says so.

    Example:

    >>> kt.serving.serve("saved_models", port=8501)
    """
    stop = threading.Event()
    _use_one_thread_an_operation()
    server = Server(
        folder, host, port, poll_seconds=poll_seconds, labels=labels, **limits
    )
    handled = {}
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGTERM, signal.SIGINT):
            handled[name] = signal.signal(name, lambda *_: stop.set())
    try:
        with server:
            names = ", ".join(sorted(server.catalogue.models))
            print(f"{names}: {server.url}  (Ctrl-C ends it)", flush=True)
            stop.wait()
            print("Ending after the requests under way.", flush=True)
    finally:
        for name, handler in handled.items():
            signal.signal(name, handler)


def _use_one_thread_an_operation():
    """Batches beside each other use all cores; threads within one cost twice as much.

    A search consists of small operations: to hand their parts to threads takes as long
    as to compute them.
    """
    if "TF_NUM_INTRAOP_THREADS" in os.environ:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        # TensorFlow has been at work in this process, with threads of its own.
        pass


def _is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host, port):
    """A socket at the address, before models are loaded, which takes long."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(WAITING)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            f"host={host!r} and port={port} can't be listened at: {reason}. Choose "
            "another --port, or end what uses it."
        ) from None
    return listening
