"""Files and folders that are written aside, flushed and renamed.

Whoever is killed, or runs out of disk space, leaves the old content or the new one.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator

_HOST = socket.gethostname()
# The separator is in no host's name.
_ASIDE = re.compile(
    r"(?P<kind>writing|replaced)-(?P<pid>\d+)~(?P<host>[^~]*)~(?P<name>.+)"
)
# As versions before 0.2 named what they wrote.
_OLD_ASIDE = re.compile(r"(.+\.)?writing-(?P<pid>\d+)(\.keras)?")
_A_DAY = 86_400
# What this process itself is writing: a number alone may be that of an earlier process.
_in_use: set[str] = set()


def check_not_in_file(folder: pathlib.Path) -> None:
    """Raises a ValueError for a folder that can't be made, as a file is in its path."""
    if any(parent.is_file() for parent in folder.parents):
        raise ValueError(
            f"folder={str(folder)!r} is in a file and not in a folder; choose another."
        )


@contextlib.contextmanager
def written_aside(
    path: str | os.PathLike, stale: Iterable[str] = (), *, replace: bool = True
) -> Iterator[pathlib.Path]:
    """Gives a path to write a file or a folder to, which then gets the name `path`.

    It stands beside `path` and ends as `path` does. At the end of the block it is
    flushed to the disk and renamed; if the block raises, it is removed and `path` is
    what it was. A symbolic link stays one: its target is written. What else lies in a
    folder of that name stays in it.

    Half-written files that dead processes have left beside `path` are removed.

    Args:
        path: The file or folder to write.
        stale: Names in the folder that belong to its earlier content. They aren't kept.
        replace: Whether to replace what has that name.

    Yields:
        A `pathlib.Path`. Nothing is there yet.

    Raises:
        FileExistsError: If `path` is there and `replace` is false.

    Example:

    >>> with written_aside("run/config.json") as aside:
    ...     aside.write_text("{}", encoding="utf-8")
    """
    path = pathlib.Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    aside, replaced = (
        path.with_name(f"{kind}-{os.getpid()}~{_HOST}~{path.name}")
        for kind in ("writing", "replaced")
    )
    remove(aside)
    _in_use.update((aside.name, replaced.name))
    try:
        yield aside
        if path.exists() and not replace:
            raise FileExistsError(f"{path} is there already; choose another name.")
        if aside.is_dir() and path.is_dir():
            _keep_others(path, aside, stale)
            _flush_all(aside)
            _swap(path, aside, replaced)
        else:
            _flush_all(aside)
            os.replace(aside, path)
        _flush(path.parent)
        remove(replaced)
    finally:
        remove(aside)
        _in_use.difference_update((aside.name, replaced.name))


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a file in UTF-8, aside first."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def whole(path: str | os.PathLike) -> pathlib.Path:
    """`path`, or what had that name before a process was killed in replacing it."""
    path = pathlib.Path(path)
    if path.exists():
        return path
    target = pathlib.Path(os.path.realpath(path))
    for name, kind, _, _, of in _asides(target.parent):
        if kind == "replaced" and of == target.name:
            return target.with_name(name)
    return path


def file_fingerprint(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_running(pid: int) -> bool:
    """Whether this machine has a process of that number."""
    if os.name == "nt":
        # There `os.kill` ends a process, so nobody is taken for dead.
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _keep_others(path, aside, stale):
    for entry in path.iterdir():
        copy = aside / entry.name
        if entry.name in stale or os.path.lexists(copy):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, copy, symlinks=True)
        else:
            shutil.copy2(entry, copy, follow_symlinks=False)


def _swap(path, aside, replaced):
    """Gives a folder's name to another one."""
    remove(replaced)
    os.rename(path, replaced)
    try:
        os.rename(aside, path)
    except BaseException:
        if not path.exists():
            os.rename(replaced, path)
        raise


def _asides(folder):
    """Yields name, kind, process, host and final name of what is written aside."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if found := _ASIDE.fullmatch(name):
            kind, pid, host, of = found.group("kind", "pid", "host", "name")
            yield name, kind, int(pid), host, of
        elif found := _OLD_ASIDE.fullmatch(name):
            yield name, "writing", int(found["pid"]), _HOST, None


def _remove_leftovers(folder):
    """Removes what dead processes have half written; what they moved away comes back.

    Of another machine's processes nothing is known, but that none writes for a day.
    """
    for name, kind, pid, host, of in _asides(folder):
        leftover = folder / name
        lives = name in _in_use if pid == os.getpid() else is_running(pid)
        with contextlib.suppress(OSError):
            is_new = time.time() - leftover.lstat().st_mtime < _A_DAY
            if is_new and (lives or host != _HOST):
                continue
            if kind == "replaced" and not (folder / of).exists():
                os.rename(leftover, folder / of)
            else:
                remove(leftover)


def remove(path: pathlib.Path) -> None:
    """Removes a file or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush_all(path):
    """Waits until a file, or all of a folder, is on the disk."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            if not os.path.islink(file := os.path.join(folder, name)):
                _flush(file)
        _flush(folder)
    if not path.is_dir():
        _flush(path)


def _flush(path):
    """Waits until a file, or a folder's list of names, is on the disk."""
    if os.name == "nt" and os.path.isdir(path):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
