"""Errors of use are one line and code 2, and leave nothing behind."""

import pathlib
import shutil

import pytest

import keras_transformer as kt
from keras_transformer.cli import main

WRONG = [
    ([], "required: COMMAND"),
    (["trane"], "invalid choice: 'trane'"),
    (["train"], "folder is needed"),
    (["train", "new"], "source is needed"),
    (["train", "new", "a", "b", "--stepz", "3"], "unrecognized arguments"),
    (["train", "new", "a", "b", "--steps", "many"], "--steps: invalid int value"),
    (["train", "new", "a", "b", "--steps", "0"], "steps must be at least 1"),
    (["train", "new", "a", "b", "--steps", "333"], "multiple of steps_per_epoch"),
    (["train", "new", "a", "b", "--preset", "tinny"], "--preset: invalid choice"),
    (["train", "new", "a", "b", "--strategy", "one-device"], "'one_device'"),
    (["train", "new", "a", "b", "--model", "{"], "--model: no JSON"),
    (["train", "new", "a", "b", "--model", "[]"], "--model: must be a JSON object"),
    (["train", "new", "a", "b", "--model", '{"num_layer": 2}'], "'num_layers'"),
    (["train", "new", "a", "b", "--model", '{"num_heads": 7}'], "num_heads"),
    (["train", "new", "a", "b", "--tokenizer", '{"bogus": 1}'], "'bogus'"),
    (["train", "new", "a", "b", "--tokenizer", "null"], "must be a JSON object"),
    (["train", "new", "a", "b", "--clip-norm", "0"], "clip_norm must be positive"),
    (["train", "new", "a", "b", "--bleu-sentences", "-1"], "bleu_sentences must"),
    (["train", "new", "a", "b", "--accumulation-steps", "0"], "accumulation_steps"),
    (["train", "new", "a", "b", "--valid-target", "b"], "valid_source"),
    (["train", "new", "a"], "a, line 1: no tab"),
    (["train", "new", "a", "short"], "same number of lines"),
    (["train", "new", "missing", "b"], "source='missing' isn't there"),
    (["train", "new", "a", "b", "--valid-source", "missing"], "isn't there"),
    (["train", "new", "empty", "empty"], "source='empty' is empty"),
    (["train", "new", "a", "b", "--valid-source", "empty"], "'empty' is empty"),
    (["train", "new", "a", "a folder"], "a folder"),
    (["train", "a", "a", "b"], "folder='a' is a file"),
    (["train", "a/new", "a", "b"], "folder='a/new' is in a file and not"),
    (["train", "broken", "a", "b"], "config.json is no JSON"),
    (["train", "broken"], "config.json is no JSON"),
    (["translate"], "required: folder (see"),
    (["translate", "SAVED", "--document", "missing"], "missing: No such file"),
    (["translate", "missing", "text"], "holds no Translator"),
    (["translate", "broken", "text"], "is a run that hasn't ended"),
    (["translate", "SAVED"], "standard input is empty"),
    (["translate", "SAVED", "text", "--beam-size", "0"], "beam_size"),
    (["translate", "SAVED", "text", "--length-penalty", "x"], "--length-penalty"),
    (["translate", "SAVED", "text", "--max-length", "0"], "max_length"),
    (["evaluate", "SAVED", "empty"], "source='empty' is empty"),
    (["evaluate", "SAVED", "empty", "empty"], "source='empty' is empty"),
    (["evaluate", "SAVED", "a"], "a, line 1: no tab"),
    (["evaluate", "SAVED", "a", "missing"], "missing: No such file or directory"),
    (["evaluate", "SAVED", "a", "b", "--metric", "blue"], "did you mean 'bleu'?"),
    (["evaluate", "SAVED", "a", "b", "--bootstrap", "9"], "is for the test of --comp"),
    (["evaluate", "SAVED", "a", "b", "--hypotheses", "no/a"], "no/a: its folder isn't"),
    (
        ["evaluate", "SAVED", "a", "b", "--hypotheses", "."],
        "--hypotheses . is a folder",
    ),
    (["translate", "SAVED", "text", "--output", "."], "--output . is a folder"),
    (["translate", "SAVED", "--output", "no/a", "--document", "a"], "its folder isn't"),
    (["distill", "SAVED", "a", "new", "--similarity", "chrf"], "is for references"),
    (["average", "SAVED", "new"], "must be a run with a checkpoint"),
    (["average", "tests", "new"], "must be a run with a checkpoint"),
    (["convert", "SAVED", "to", "--format", "kears"], "did you mean 'keras'?"),
    (["completion", "bsh"], "did you mean 'bash'?"),
    (["evaluate", "missing", "a", "b"], "holds no Translator"),
    (["plot", "losses", "--to", "a.png"], "invalid choice: 'losses'"),
    (["plot", "positions"], "required: --to"),
    (["plot", "positions", "--to", "a.docx"], "docx"),
    (["plot", "positions", "--to", "missing/a.png"], "missing"),
    (["plot", "attention", "SAVED", "text", "--to", "."], "--to . is a folder"),
    (["plot", "training", "--to", "a.png"], "folder is needed"),
    (["plot", "training", "missing", "--to", "a.png"], "metrics.csv"),
    (["plot", "training", "broken", "--to", "a.png"], "no number of an epoch"),
    (["plot", "attention", "SAVED", "--to", "a.png"], "text is needed"),
    (["plot", "attention", "missing", "text", "--to", "a.png"], "no Translator"),
]


@pytest.fixture
def workplace(tmp_path, monkeypatch, corpus):
    """The files that wrong commands name."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("a", corpus[0]), ("b", corpus[1])):
        shutil.copy(text, name)
    pathlib.Path("short").write_text("one line\n", "utf-8")
    pathlib.Path("empty").touch()
    pathlib.Path("a folder").mkdir()
    checkpoints = pathlib.Path("broken", "checkpoints")
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-00000010.keras").touch()
    pathlib.Path("broken", "config.json").write_text('{"source": "a', "utf-8")
    pathlib.Path("broken", "metrics.csv").write_text("garbage\n1\n", "utf-8")


@pytest.mark.parametrize("command, words", WRONG)
def test_errors_of_use_are_one_line_and_code_2(
    command, words, saved, workplace, type_in, capsys
):
    type_in(b"")
    with pytest.raises(SystemExit) as stop:
        main([saved[0] if word == "SAVED" else word for word in command])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-transformer") and words in line
    assert not pathlib.Path("new").exists()


def test_a_closed_standard_input_is_one_line_and_code_2(folder, type_in, capsys):
    type_in(None)
    with pytest.raises(SystemExit) as stop:
        main(["translate", folder])
    assert stop.value.code == 2
    assert "standard input is closed" in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_code_130(folder, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(kt.Translator, "translate", stop)
    with pytest.raises(SystemExit) as stopped:
        main(["translate", folder, "text"])
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "keras-transformer: Stopped by Ctrl-C.\n"
