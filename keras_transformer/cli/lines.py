"""Lines of text that come in and go out while a command works."""

import contextlib
import io
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# At most so much is read before it is answered: some hundred sentences.
_CHUNK = 1 << 16
_BYTE_ORDER_MARK = "\ufeff"


class Lines:
    """The lines of a stream, in batches of those that are there.

    A batch ends where the stream has no whole line at the moment, or after 64 KiB. So a
    line that somebody types is answered at once, and a long file isn't held in memory.

    Args:
        stream: A binary stream that is open for reading.

    Attributes:
        count: Number of lines so far.
        not_utf_8: Number of lines so far that weren't UTF-8. Their bytes that can't be
            decoded have become U+FFFD, as in an export.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self.stream = stream
        self.count = self.not_utf_8 = 0

    def batches(self) -> Iterator[list[str]]:
        """Yields lists of strings, without line ends."""
        pending = []
        while chunk := self.stream.read1(_CHUNK):
            pending.append(chunk)
            if b"\n" in chunk:
                *lines, rest = b"".join(pending).split(b"\n")
                pending = [rest] if rest else []
                yield list(map(self._text, lines))
        if pending:
            yield [self._text(b"".join(pending))]

    def _text(self, line):
        text, is_utf_8 = decoded(line.removesuffix(b"\r"))
        self.count += 1
        self.not_utf_8 += not is_utf_8
        return text.removeprefix(_BYTE_ORDER_MARK) if self.count == 1 else text


def decoded(data: bytes) -> tuple[str, bool]:
    """Bytes as text, and whether they are UTF-8."""
    try:
        return data.decode("utf-8"), True
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), False


def arguments(texts: Iterable[str]) -> tuple[list[str], int]:
    """Texts of the command line, and the number of those that aren't UTF-8.

    Python has bytes that it can't decode as lone surrogates.
    """
    found = [decoded(os.fsencode(text)) for text in texts]
    return [text for text, _ in found], sum(not is_utf_8 for _, is_utf_8 in found)


def standard_input() -> Any:
    """Standard input's binary stream.

    Raises:
        ValueError: If it is closed.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError(
            "standard input is closed; give texts as arguments, or pipe lines to it."
        )
    return sys.stdin.buffer


@contextlib.contextmanager
def opened_output(path: str | None = None) -> Iterator[Callable[[str], None]]:
    """Gives a function that writes text in UTF-8 at once.

    Args:
        path: Path of a file, which is written anew; by default standard output.
    """
    if path is not None and path != "-":
        with open(path, "w", encoding="utf-8", newline="") as file:
            yield _writer(file)
        return
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    yield _writer(sys.stdout)


def _writer(file):
    def write(text):
        file.write(text)
        file.flush()

    return write


def one_line(text: str) -> str:
    """A text without line breaks, which a model may write."""
    return " ".join(text.splitlines())


def check_output(flag: str, path: str | None) -> None:
    """Checks that a file can be written, before anything is done for it.

    Args:
        flag: The option that names it, for the message.
        path: Its path; None or `-` for standard output.

    Raises:
        FileNotFoundError: If its folder isn't there.
        ValueError: If it is a folder.
    """
    if path in (None, "-"):
        return
    if not pathlib.Path(path).parent.is_dir():
        raise FileNotFoundError(f"{flag} {path}: its folder isn't there.")
    if os.path.isdir(path):
        raise ValueError(f"{flag} {path} is a folder; give the name of a file.")


def check_batch_tokens(value: int) -> None:
    """Raises a ValueError for a batch of no tokens."""
    if value < 1:
        raise ValueError(f"--batch-tokens must be at least 1; received {value}.")
