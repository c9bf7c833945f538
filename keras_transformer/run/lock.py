"""One training at a time in a folder, also where several machines see it."""

import contextlib
import json
import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

from keras_transformer.files import is_running

_NAME = "lock.json"
# Seconds between two signs of life, and without one until a holder is taken for dead.
_BEAT, _PATIENCE = 5, 60
# How often a lock is read that may be written at the moment.
_READS = 10


class FolderInUse(ValueError):
    """Another process holds a folder."""


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Holds a run's folder: its file `lock.json` names the process and its host.

    The lock of a dead process is taken over. Whether a process of this host lives is
    known at once. One of another host shows that it lives by touching the file every 5
    seconds; it counts as dead when it hasn't done so for a minute. Locks of the
    operating system would need no such signs, but not every network's file system
    knows them.

    Args:
        folder: The run's folder; it is created.

    Raises:
        FolderInUse: If another process trains in the folder; it is named.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAME
    own = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "started": _start_of(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    while not _created(path, own):
        holder, beat = _read(path), _last_beat(path)
        if _lives(path, holder, beat):
            holder = _read(path)
            raise FolderInUse(
                f"folder={str(folder)!r} is in use: process {holder['process']} on "
                f"{holder['host']} has trained there since {holder['since']}. Wait for "
                "it or stop it, or use another folder. If it is no training any more, "
                f"remove {path}."
            )
        _take_away(path, holder)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, done), daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        if _read(path) == own:
            path.unlink(missing_ok=True)


def _created(path, content):
    try:
        with open(path, "x", encoding="utf-8") as file:
            json.dump(content, file)
    except FileExistsError:
        return False
    return True


def _read(path):
    """What a lock says; of one that is cut short nothing is known."""
    unknown = dict.fromkeys(("process", "host", "started", "since"), "unknown")
    for _ in range(_READS):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            return unknown
        except ValueError:
            # It may be written at this moment.
            time.sleep(0.02)
        else:
            return {**unknown, **content} if isinstance(content, dict) else unknown
    return unknown


def _last_beat(path):
    """When the file was touched last, by the clock of the disk; None without it."""
    try:
        # Opening asks the server of a network's file system, which `stat` may not.
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _lives(path, holder, beat):
    if holder["host"] == socket.gethostname() and isinstance(holder["process"], int):
        same = holder["started"] == _start_of(holder["process"])
        return is_running(holder["process"]) and same
    deadline = time.monotonic() + _PATIENCE
    while beat is not None and time.monotonic() < deadline:
        time.sleep(min(1, _PATIENCE / 10))
        now = _last_beat(path)
        if now != beat:
            return now is not None
    return False


def _start_of(pid):
    """What tells a process from a later one of the same number; None if unknown."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text("utf-8")
        # The name before it may hold anything, spaces and brackets too.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
    except OSError:
        return None
    return f"{boot.strip()} {fields.split()[19].decode()}"


def _take_away(path, holder):
    """Removes a dead process's lock, but not what another process has put there.

    One process at a time looks and removes: otherwise the second of two would remove
    the lock that the first has made by then.
    """
    guard = path.with_name(f"{_NAME}.removing")
    try:
        guard.touch(exist_ok=False)
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - guard.stat().st_mtime > _PATIENCE:
                # Of a process that has died here.
                guard.unlink()
        time.sleep(0.01)
        return
    try:
        if _read(path) == holder:
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _beat(path, done):
    while not done.wait(_BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)
