"""Files of earlier versions still load, and give what they gave."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_transformer as kt

OLD = pathlib.Path(__file__).parent / "fixtures" / "version_0_1"
INPUTS = {
    "source_ids": np.array([[5, 7, 9, 3], [8, 3, 0, 0]]),
    "target_ids": np.array([[2, 6, 4], [2, 9, 0]]),
}


@pytest.mark.parametrize("name", json.loads((OLD / "logits.json").read_text("utf-8")))
def test_a_model_of_version_0_1_gives_the_logits_it_gave(name):
    expected = json.loads((OLD / "logits.json").read_text("utf-8"))[name]
    model = keras.models.load_model(OLD / f"{name}.keras")
    is_half = name in ("language_model", "encoder_model")
    logits = model(INPUTS["source_ids"] if is_half else INPUTS)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A copy of the run, beside the texts that its configuration names."""
    texts = tmp_path / "tests" / "fixtures" / "version_0_1"
    shutil.copytree(OLD, texts)
    monkeypatch.chdir(tmp_path)
    return texts / "run"


def test_a_translator_of_version_0_1_answers_as_it_did(run):
    answers = json.loads((OLD / "answers.json").read_text("utf-8"))
    translator = kt.Translator.load(run / "translator")
    found = translator.translate(list(answers), beam_size=2)
    assert dict(zip(answers, found)) == answers


def test_a_run_of_version_0_1_goes_on(run):
    config = json.loads((run / "config.json").read_text("utf-8"))
    kt.train(kt.RunConfig(**{**config, "steps": 900}), run, verbose=0)
    assert (run / "checkpoints" / "step-00000900.keras").exists()
