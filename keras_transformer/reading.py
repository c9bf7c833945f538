"""Files of others, or cut short: one place turns what is wrong with them into words.

Whatever is wrong with a file becomes a ValueError or a FileNotFoundError that names the
file, what it is to be, and the way out.
"""

import contextlib
import gzip
import json
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

# No settings, vocabulary or SentencePiece model is larger.
_MOST_BYTES = 1 << 28
_MOST_JSON_BYTES = 1 << 26
_BYTE_ORDER_MARK = "\ufeff"


def existing(path: str | os.PathLike, what: str) -> pathlib.Path:
    """The path of a file that is there.

    Args:
        path: Path of the file.
        what: What it is, such as `"the settings of a Translator"`.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return path
    kind = "a folder" if path.is_dir() else "missing"
    raise FileNotFoundError(
        f"{path} is {kind}; it must be {what}. Copy it again from where it is whole."
    )


@contextlib.contextmanager
def naming(
    path: str | os.PathLike,
    what: str,
    remedy: str = "Copy it again from where it is whole.",
) -> Iterator[None]:
    """A scope whose errors become a ValueError that names the file and the way out.

    Args:
        path: Path of the file that is read.
        what: What it is to be.
        remedy: What the reader of the message can do.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        words = " ".join(str(error).split()) or type(error).__name__
        if len(words) > 500:
            words = f"{words[:500]} ..."
        message = f"{path} can't be read as {what}: {words.rstrip('.')}. {remedy}"
        raise ValueError(message) from error


def read_bytes(path: str | os.PathLike, what: str) -> bytes:
    """The bytes of a file that is there, not empty and of a size to be held.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, too large, or can't be read.
    """
    path = existing(path, what)
    with naming(path, what):
        _check_size(path, _MOST_BYTES)
        content = path.read_bytes()
        if not content:
            raise ValueError("it is empty")
    return content


def read_lines(source: str | os.PathLike | BinaryIO) -> Iterator[str]:
    """The lines of a UTF-8 text, without their line ends.

    A byte order mark, which some editors write first, is no part of the text.

    Args:
        source: Path of a file, plain or `.gz`; or a stream that is open for reading
            bytes, such as `sys.stdin.buffer`, which is left open.

    Yields:
        Strings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: For a line that isn't UTF-8 and a `.gz` file that isn't whole; file
            and line are named.

    Example:

    >>> import io
    >>> list(read_lines(io.BytesIO(b"one line\\nand another")))
    ['one line', 'and another']
    """
    with open_bytes(source) as (file, name):
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{name}, line {number}: not valid UTF-8 ({error.reason} at byte "
                    f"{error.start + 1}). Convert the file to UTF-8."
                ) from None
            yield text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text


@contextlib.contextmanager
def open_bytes(
    source: str | os.PathLike | BinaryIO,
) -> Iterator[tuple[Any, Any]]:
    """A scope with a file open for reading bytes, and its name.

    Args:
        source: Path of a file, plain or `.gz`; or an open stream, which is left open.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: For a `.gz` file that isn't whole, also where the scope reads it.
    """
    is_empty = False
    if hasattr(source, "read"):
        name, opened = getattr(source, "name", source), contextlib.nullcontext(source)
    elif str(source).lower().endswith(".gz"):
        name, opened = source, gzip.open(source, "rb")
        # To Python's gzip a file without a byte is whole. A pipe has no size.
        is_empty = os.path.isfile(source) and not os.path.getsize(source)
    else:
        name, opened = source, open(source, "rb")
    with opened as file:
        try:
            if is_empty:
                raise EOFError("it is empty")
            yield file, name
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{name} is no whole gzip file: {error}. Copy it again, or, if it is "
                "plain text, take .gz off its name."
            ) from None


def read_json(path: str | os.PathLike, what: str, kind: type = dict) -> Any:
    """The value in a JSON file.

    Args:
        path: Path of the file, in UTF-8.
        what: What it is, for the words of an error.
        kind: Type of the value, `dict` or `list`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, or holds a value of another type.

    Example:

    >>> read_json("config.json", "the configuration of a Marian model")
    """
    path = existing(path, what)
    with naming(path, what):
        _check_size(path, _MOST_JSON_BYTES)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"it isn't valid JSON: {error}") from None
        except RecursionError:
            raise ValueError("it isn't valid JSON: nested too deeply") from None
        if not isinstance(value, kind):
            expected = "a JSON object" if kind is dict else "a JSON array"
            raise ValueError(f"it must hold {expected}; received {_short(value)}")
    return value


def field(
    settings: dict[str, Any],
    name: str,
    path: str | os.PathLike,
    kinds: type | tuple[type, ...],
    default: Any = ...,
) -> Any:
    """A value of a JSON object, with its type checked.

    Args:
        settings: The object, as `read_json` gives it.
        name: The key.
        path: Path of the file, for the words of an error.
        kinds: A type or tuple of types. A bool is no int.
        default: What a missing key or null stands for; without it the key must be
            there.

    Raises:
        ValueError: If the key is missing, or its value of another type.
    """
    value = settings.get(name)
    if value is None:
        if default is not ...:
            return default
        found = "null" if name in settings else "no such key"
        raise ValueError(f"{path} must have {name!r}; received {found}.")
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{path}: {name} must be of type {names}; received {name}={_short(value)}."
        )
    return value


def _check_size(path, most):
    if (size := path.stat().st_size) > most:
        raise ValueError(f"its {size:,} bytes are more than any such file has")


def _short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]} ..."
