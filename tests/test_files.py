"""Files and folders are whole whatever happens while they are written."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

import keras_transformer
from keras_transformer import files
from keras_transformer.files import whole, write_text, written_aside

# Writes, and kills itself at the n-th call of one of these functions of `os`.
WRITER = """
import os, runpy, signal, sys
module, path, kind, n = *sys.argv[1:4], int(sys.argv[4])
calls = 0
def counted(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
files = runpy.run_path(module)
for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir"):
    setattr(os, name, counted(getattr(os, name)))
with files["written_aside"](path, stale=("old",)) as aside:
    if kind == "file":
        aside.write_text("new", encoding="utf-8")
    else:
        aside.mkdir()
        for name in ("new", "shared"):
            (aside / name).write_text("new", encoding="utf-8")
"""


def killed_at(path, kind, call):
    """Writes in a process that is killed at a call; False if it came to its end."""
    command = [
        sys.executable,
        "-S",
        "-c",
        WRITER,
        files.__file__,
        path,
        kind,
        str(call),
    ]
    code = subprocess.run(command).returncode
    assert code in (0, -9)
    return code == -9


def content(path):
    if path.is_file():
        return path.read_text("utf-8")
    return {entry.name: entry.read_text("utf-8") for entry in path.iterdir()}


def test_a_file_killed_at_any_step_is_the_old_one_or_the_new_one(tmp_path):
    path, found, call = tmp_path / "file", [], 1
    path.write_text("old", "utf-8")
    while killed_at(path, "file", call):
        found.append(content(path))
        path.write_text("old", "utf-8")
        call += 1
    assert "old" in found and set(found) <= {"old", "new"}
    assert content(path) == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_killed_at_any_step_is_the_old_one_or_the_new_one(tmp_path):
    old = {"old": "old", "shared": "old", "my notes": "mine"}
    new = {"new": "new", "shared": "new", "my notes": "mine"}
    path, found, moved_away, call = tmp_path / "folder", [], 0, 1

    def start():
        with written_aside(path, stale=("new",)) as aside:
            aside.mkdir()
            for name, text in old.items():
                (aside / name).write_text(text, "utf-8")

    start()
    while killed_at(path, "folder", call):
        moved_away += not path.exists()
        found.append(content(whole(path)))
        start()
        call += 1
    assert moved_away, "no kill came between the two renames"
    assert old in found and new in found
    assert all(each in (old, new) for each in found)
    assert content(path) == new
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_exception_while_writing_leaves_what_was_there(tmp_path, kind):
    path = tmp_path / kind
    before = "old"
    if kind == "folder":
        path.mkdir()
        write_text(path / "a", "old")
        before = {"a": "old"}
    else:
        write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), written_aside(path) as aside:
        if kind == "folder":
            aside.mkdir()
            aside /= "a"
        aside.write_text("half", "utf-8")
        raise KeyboardInterrupt
    assert content(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == [kind]


def test_the_target_of_a_symbolic_link_is_written_and_the_link_stays(tmp_path):
    for name, target in (("file", "a"), ("folder", "b")):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "elsewhere" / target)
    for text in ("first", "second"):
        write_text(tmp_path / "file", text)
        with written_aside(tmp_path / "folder") as aside:
            aside.mkdir()
            (aside / "c").write_text(text, "utf-8")
        assert (tmp_path / "file").is_symlink() and (tmp_path / "folder").is_symlink()
        assert content(tmp_path / "elsewhere" / "a") == text
        assert content(tmp_path / "elsewhere" / "b") == {"c": text}


def test_half_copies_of_dead_processes_are_removed_and_of_living_ones_kept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
    dead.wait()
    host = files._HOST
    gone = [
        f"writing-{dead.pid}~{host}~model.keras",
        f"translator.writing-{dead.pid}",
        f"config.json.writing-{dead.pid}",
        f"writing-{dead.pid}.keras",
        # A number that this process has now, and an earlier one had.
        f"writing-{os.getpid()}~{host}~model.keras",
    ]
    kept = [
        f"writing-{os.getppid()}~{host}~model.keras",
        f"writing-{dead.pid}~another-host~model.keras",
        "writing-2-friends.txt",
        "my.writing",
    ]
    for name in gone + kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").touch()
    write_text(tmp_path / "other", "")
    assert {entry.name for entry in tmp_path.iterdir()} == {*kept, "other"}
    os.utime(tmp_path / kept[1], (0, 0))
    write_text(tmp_path / "other", "")
    assert not (tmp_path / kept[1]).exists()


def test_what_may_not_be_replaced_is_not(tmp_path):
    write_text(tmp_path / "1", "old")
    with pytest.raises(FileExistsError, match="is there already"):
        with written_aside(tmp_path / "1", replace=False) as aside:
            aside.write_text("new", "utf-8")
    assert content(tmp_path / "1") == "old"


def opens(tree):
    """Calls in a module that read or write text in the encoding of the locale."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        words = {word.arg: word.value for word in node.keywords}
        values = [v.value if isinstance(v, ast.Constant) else None for v in node.args]
        if name in ("read_text", "write_text"):
            place = 0 if name == "read_text" else 1
            if "encoding" not in words and len(values) <= place:
                yield node
        elif name in ("open", "fdopen", "TextIOWrapper") and "encoding" not in words:
            mode = getattr(words.get("mode"), "value", [*values, None, None][1])
            # A module's `open`, such as gzip's, reads bytes unless told otherwise.
            is_module_s = name == "open" and isinstance(node.func, ast.Attribute)
            if "t" in str(mode) if is_module_s else "b" not in str(mode):
                yield node


def test_every_text_file_says_its_encoding():
    root = pathlib.Path(keras_transformer.__file__).parent
    found = [
        f"{path.relative_to(root)}:{call.lineno}"
        for path in sorted(root.rglob("*.py"))
        for call in opens(ast.parse(path.read_text("utf-8")))
    ]
    assert not found
