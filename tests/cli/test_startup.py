"""Help, the version and errors of use come without Keras and TensorFlow."""

import os
import subprocess
import sys

import pytest

import keras_transformer
from keras_transformer.cli import COMMANDS

HEAVY = {"tensorflow", "keras", "keras_hub", "tensorflow_text", "matplotlib", "jax"}
CASES = r"""
import contextlib, io, json, pathlib, sys

sys.argv[0] = "keras-transformer"
from keras_transformer.cli import COMMANDS, main

pathlib.Path("a").write_text("a\n")
pathlib.Path("empty").touch()
cases = [
    ["--help"], ["--version"], [], ["trane"], ["train", "new"],
    ["train", "new", "a", "a", "--stepz", "3"],
    ["train", "new", "a", "a", "--steps", "0"],
    ["train", "new", "a", "a", "--steps", "7"],
    ["train", "new", "a", "a", "--preset", "tinny"],
    ["train", "new", "missing", "a"],
    ["train", "a", "a", "a"],
    ["train", "new", "a", "a", "--config", "missing.yaml"],
    ["prepare", "new"], ["prepare", "new", "missing"], ["prepare", "new", "--verify"],
    ["prepare", "new", "a", "a", "--max-length", "1"],
    ["translate", "missing", "text"],
    ["translate", ".", "text"],
    ["translate", "missing", "text", "--beam-size", "0"],
    ["translate", "missing", "text", "--beem-size", "3"],
    ["translate", "missing", "text", "--batch-tokens", "0"],
    ["evaluate", "missing", "empty", "empty"],
    ["evaluate", "missing", "a", "a", "--metric", "blue"],
    ["score", "missing", "a", "a"],
    ["explain", "missing", "a"],
    ["average", "missing", "to"],
    ["convert", "missing", "to", "--format", "onnx"],
    ["convert", "missing", "to", "--quantization", "int8"],
    ["export", "missing", "to"],
    ["plot", "attention", "--to", "a.png"],
    ["completion", "fish"],
    *([name, "--help"] for name in COMMANDS),
]
found = []
for case in cases:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(case)
            code = 0
        except SystemExit as stop:
            code = stop.code
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    found.append([case, code, out.getvalue(), err.getvalue(), loaded])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each case ends with, in one process."""
    import json

    root = os.path.dirname(os.path.dirname(keras_transformer.__file__))
    done = subprocess.run(
        [sys.executable, "-c", CASES],
        cwd=tmp_path_factory.mktemp("startup"),
        env={**os.environ, "PYTHONPATH": root, "COLUMNS": "80"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_heavy_is_imported(answers):
    for case, *_, loaded in answers:
        assert not HEAVY & set(loaded), case


def test_help_is_no_error_and_wrong_use_is_one_line(answers):
    for case, code, out, err, _ in answers:
        if "--help" in case or "--version" in case:
            assert (code, err) == (0, "") and out, case
        else:
            assert code == 2 and len(err.splitlines()) == 1 and not out, (case, err)


def test_every_command_shows_an_example(answers):
    helps = {case[0]: out for case, _, out, *_ in answers if case[1:] == ["--help"]}
    assert set(helps) == set(COMMANDS)
    for name, text in helps.items():
        assert f"keras-transformer {name}" in text.partition("Example:")[2], name


def test_every_option_has_words():
    from keras_transformer.cli import parser

    (commands,) = parser(COMMANDS)._subparsers._group_actions
    for name, command in commands.choices.items():
        for action in command._actions:
            assert action.help, (name, action.option_strings)


def test_a_wrong_name_is_answered_with_the_nearest(answers):
    errors = {" ".join(case): err for case, _, _, err, _ in answers}
    assert "did you mean 'train'?" in errors["trane"]
    assert "did you mean '--steps'?" in errors["train new a a --stepz 3"]
    assert "'--beam-size'" in errors["translate missing text --beem-size 3"]


@pytest.mark.parametrize(
    "argv, original, expected",
    [
        (["/usr/bin/keras-transformer", "x"], ["python", "x"], True),
        (["C:/keras-transformer.exe"], ["python"], True),
        (["-m", "train"], ["python", "-m", "keras_transformer", "train"], True),
        (["-m"], ["python", "-X", "utf8", "-mkeras_transformer"], True),
        (
            ["-m", "keras_transformer"],
            ["python", "-m", "app", "keras_transformer"],
            False,
        ),
        (["-m"], ["python", "-m", "keras_transformer.demo"], False),
        (["-m"], ["python", "-m", "keras_transformer.data.process"], True),
        (["keras-transformer.py"], ["python", "keras-transformer.py"], False),
        (["-c"], ["python", "-c", "import keras_transformer"], False),
        ([""], ["python"], False),
    ],
)
def test_only_the_command_line_leaves_the_classes_for_later(
    monkeypatch, argv, original, expected
):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", original)
    assert keras_transformer._is_command_line() is expected


def test_an_import_gives_functions_not_the_modules_of_their_names():
    for name in ("explain", "generate", "search"):
        assert callable(getattr(keras_transformer.decoding, name))
