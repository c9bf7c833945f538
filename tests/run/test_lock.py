"""One training at a time in a folder."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from keras_transformer.run import lock
from keras_transformer.run.lock import locked


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lock, "_BEAT", 0.05)
    monkeypatch.setattr(lock, "_PATIENCE", 0.5)


def write_lock(folder, **changes):
    content = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "started": lock._start_of(os.getpid()),
        "since": "2020-01-01 12:00:00",
    }
    (folder / "lock.json").write_text(json.dumps({**content, **changes}), "utf-8")


def dead_process():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def is_free(folder):
    with contextlib.suppress(ValueError), locked(folder):
        return True
    return False


def test_a_second_training_is_refused_with_the_first_one_s_process_and_host(tmp_path):
    folder = tmp_path / "run"
    with locked(folder):
        with pytest.raises(ValueError, match="in use") as error, locked(folder):
            pass
        for words in (f"process {os.getpid()} on {socket.gethostname()}", "lock.json"):
            assert words in str(error.value)
        assert (folder / "lock.json").exists()
    assert not list(folder.iterdir())


def test_the_folder_is_free_after_an_exception(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_dead_process_of_this_host_holds_nothing(tmp_path):
    write_lock(tmp_path, process=dead_process())
    start = time.monotonic()
    assert is_free(tmp_path) and time.monotonic() - start < lock._PATIENCE
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(lock._start_of(1) is None, reason="the system tells no start")
def test_another_process_that_has_the_dead_one_s_number_holds_nothing(tmp_path):
    write_lock(tmp_path, started="another boot 123")
    assert is_free(tmp_path)


def test_a_living_process_of_this_host_holds_it_without_a_sign_of_life(tmp_path):
    write_lock(tmp_path)
    os.utime(tmp_path / "lock.json", (0, 0))
    assert not is_free(tmp_path)


def test_another_host_holds_it_as_long_as_it_gives_signs_of_life(tmp_path):
    write_lock(tmp_path, host="elsewhere")
    done = threading.Event()
    beating = threading.Thread(target=lock._beat, args=(tmp_path / "lock.json", done))
    beating.start()
    with pytest.raises(ValueError, match=f"{os.getpid()} on elsewhere"):
        with locked(tmp_path):
            pass
    done.set()
    beating.join()
    assert is_free(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"process": "x"}', "\xff"])
def test_a_lock_that_is_cut_short_is_taken_over_without_a_sign_of_life(
    content, tmp_path
):
    (tmp_path / "lock.json").write_text(content, "latin-1")
    assert is_free(tmp_path)


def test_of_many_that_start_at_once_over_a_dead_one_one_goes_on(tmp_path):
    """Threads in place of processes: they start closer to each other."""
    write_lock(tmp_path, process=dead_process())
    barrier, held, refused = threading.Barrier(8), [], []

    def start():
        barrier.wait()
        try:
            with locked(tmp_path):
                held.append(1)
                # Until all others have tried, however late they start.
                deadline = time.monotonic() + 60
                while len(held) + len(refused) < 8 and time.monotonic() < deadline:
                    time.sleep(0.01)
        except ValueError:
            refused.append(1)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1 and len(refused) == 7
