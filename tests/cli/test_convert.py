"""`convert`, `average`, `score`, `explain`: from and to folders of any kind."""

import json
import pathlib
import sys

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.cli import main
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.model import new_model

MARIAN = "tests/interop/tiny-marian"


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A run that hasn't ended: three checkpoints, no translator."""
    folder = tmp_path_factory.mktemp("run")
    model = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 16}
    config = kt.RunConfig(*corpus, vocabulary_size=300, model=model, average_last=2)
    run = RunFolder(folder, config)
    run.prepare()
    (folder / "checkpoints").mkdir()
    model = new_model(config, *run.tokenizers())
    weights = model.get_weights()
    for step in (1, 2, 4):
        model.set_weights([np.full_like(weight, step) for weight in weights])
        model.save(folder / "checkpoints" / f"step-{step:08}.keras")
    return folder


@pytest.mark.parametrize(
    "flags, mean",
    [
        ([], 3),
        (["--last", "3"], 7 / 3),
        (["--last", "9"], 7 / 3),
        (["--steps", "1,4"], 2.5),
    ],
)
def test_average_makes_a_translator_of_checkpoints(run, tmp_path, flags, mean):
    main(["average", str(run), str(tmp_path / "to"), *flags])
    translator = kt.Translator.load(tmp_path / "to")
    for weight in translator.model.get_weights():
        np.testing.assert_allclose(weight, mean, rtol=1e-6)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--last", "0"], "--last must be at least 1"),
        (["--steps", "3"], r"--steps must be among [1, 2, 4]"),
        (["--steps", "x"], "must be steps"),
        (["--steps", "1", "--last", "1"], "exclude each other"),
    ],
)
def test_checkpoints_that_are_not_there_are_named(run, tmp_path, capsys, flags, words):
    with pytest.raises(SystemExit) as stop:
        main(["average", str(run), str(tmp_path / "to"), *flags])
    assert stop.value.code == 2 and words in capsys.readouterr().err


def test_a_run_that_has_not_ended_is_pointed_to_average(run, capsys):
    with pytest.raises(SystemExit):
        main(["translate", str(run), "text"])
    assert f"keras-transformer average {run} TO" in capsys.readouterr().err


def test_marian_there_and_back_translates_alike(tmp_path, capsys):
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    main(["convert", MARIAN, ours])
    main(["convert", ours, theirs, "--format", "marian"])
    assert json.loads(pathlib.Path(theirs, "config.json").read_text())["model_type"]
    capsys.readouterr()
    answers = []
    for folder in (MARIAN, ours, theirs):
        main(["translate", folder, "the dog", "--max-length", "6", "--scores"])
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] == answers[2]


def test_ctranslate2_is_written(tmp_path):
    pytest.importorskip("ctranslate2")
    main(["convert", MARIAN, str(tmp_path / "ct2"), "--format", "ctranslate2"])
    assert (tmp_path / "ct2" / "model.bin").exists()


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_pairs_of_a_marian_folder(command, tmp_path, capsys, monkeypatch):
    for name, lines in (("a", "the dog\nthe cat\n"), ("b", "dog\ncat\n")):
        (tmp_path / name).write_text(lines)
    files = [str(tmp_path / name) for name in "ab"]
    translator = kt.interop.load(MARIAN)
    if command == "score":
        main(["score", MARIAN, *files])
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        found = translator.score(["the dog", "the cat"], ["dog", "cat"])
        values = [float(log_prob) for log_prob, _ in rows]
        np.testing.assert_allclose(values, found["log_prob"], rtol=1e-4)
        return
    hypotheses = tmp_path / "answers"
    flags = ["--metric", "bleu", "chrf", "ter", "--hypotheses", str(hypotheses)]
    flags += ["--compare", files[1], "--bootstrap", "50", "--max-length", "5"]
    main(["evaluate", MARIAN, *files, *flags, "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)
    answers = translator.translate(["the dog", "the cat"], max_length=5)
    assert hypotheses.read_text("utf-8").splitlines() == answers
    expected = kt.evaluation.chrf(answers, ["dog", "cat"])
    assert tuple(found["scores"]["chrf"].values()) == expected
    assert found["comparison"]["bleu"]["systems"][files[1]]["p_value"] is None
    assert err == ""
    # Keras's progress bar is for people, and no answer.
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    main(["evaluate", MARIAN, *files, *flags])
    out, err = capsys.readouterr()
    assert f"chrF2 {expected[0]:.2f}  {expected[1]}" in out and "2/2" in err


def test_explain_prints_a_line_a_token(capsys):
    flags = ["--max-length", "5", "--beam-size", "2"]
    main(["explain", MARIAN, "the dog", *flags])
    first, *rows = capsys.readouterr().out.strip("\n").split("\n")
    found = kt.interop.load(MARIAN).explain("the dog", max_length=5, beam_size=2)
    assert first == found["translation"]
    assert [row.split("\t")[0] for row in rows] == found["tokens"]
    main(["explain", MARIAN, "the dog", *flags, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["aligned_source"] == found["aligned_source"].tolist()


def test_a_family_that_can_t_be_read_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bart"}')
    with pytest.raises(ValueError, match="model_type='bart'"):
        kt.interop.load(tmp_path)
