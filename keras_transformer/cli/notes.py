"""Keeps other libraries' notes on the machine off the screen.

TensorFlow's libraries write to file descriptor 2 before any setting counts, and
SentencePiece's in TensorFlow Text has no setting at all. So descriptor 2 becomes a pipe
to a small process, this file, which passes on every line that isn't known to be such a
note. It is a process and not a thread, so that the last words of a program that crashes
come out. What Python itself prints doesn't go this way.
"""

import atexit
import os
import re
import subprocess
import sys

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_NOTES = re.compile(
    b"|".join(
        (
            rb"WARNING: All log messages before absl::InitializeLog\(\)",
            # Information and warnings of absl, and of older versions.
            rb"[IW]\d{4} \d\d:\d\d:",
            rb"\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IW] ",
            rb"To enable the following instructions:",
            # Errors that are none: there is no GPU, or another way to compute.
            rb"(E\d{4} |\d{4}-).* failed call to cuInit:",
            rb"(E\d{4} |\d{4}-).* Unable to register cu\w+ (factory|computation)",
            rb"(E\d{4} |\d{4}-).* oneDNN supports DT_INT64 only on",
            # SentencePiece.
            rb"\w+\.cc\(\d+\) LOG\(INFO\) ",
        )
    )
)


def keep_off_the_screen() -> None:
    """Sends descriptor 2 through the filter until the program ends.

    A user who sets TF_CPP_MIN_LOG_LEVEL to 0 or 1 wants to see the notes.
    """
    if os.environ.setdefault(LEVEL, "2") in ("0", "1"):
        return
    try:
        screen = os.dup(2)
    except OSError:
        # Standard error is closed.
        return
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__],
        stdin=reader,
        stdout=subprocess.DEVNULL,
        stderr=screen,
    )
    os.close(reader)
    os.dup2(writer, 2)
    os.close(writer)
    old = sys.stderr
    if old is not None and _writes_to(old, 2):
        sys.stderr = open(
            screen,
            "w",
            buffering=1,
            encoding=old.encoding,
            errors=old.errors,
            closefd=False,
        )
    atexit.register(_end, process, screen)


def _writes_to(stream, descriptor):
    try:
        return stream.fileno() == descriptor
    except (AttributeError, OSError, ValueError):
        return False


def _end(process, screen):
    """Waits until the last line has come out."""
    os.dup2(screen, 2)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        # Another program that this one has started still writes.
        pass


def _filter():
    import signal

    # It ends with the program, which Ctrl-C and schedulers stop in their own way.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        if not _NOTES.match(line):
            os.write(2, line)


if __name__ == "__main__":
    _filter()
