import importlib.util
import pathlib

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


classify_text = example("classify_text")


@pytest.mark.parametrize("name", classify_text.CLASSIFIERS)
def test_a_classifier_around_each_layer_beats_guessing(name):
    assert classify_text.accuracy(name) > 0.9


@pytest.mark.parametrize("task", ("sort", "reverse"))
def test_position_study_asks_for_what_it_says(task):
    study = example("position_study")
    inputs, labels = study.sequences(task, [3, 5], np.random.default_rng(0))
    for source, target, label in zip(
        inputs["source_ids"], inputs["target_ids"], labels
    ):
        symbols = source[source >= study.FIRST].tolist()
        assert len(set(symbols)) == len(symbols)
        answer = sorted(symbols) if task == "sort" else symbols[::-1]
        assert label[label > 0].tolist() == [*answer, study.END]
        assert target[target > 0].tolist() == [study.START, *answer]


def test_position_study_measures_nothing_twice(tmp_path):
    study = example("position_study")
    assert study.Results(tmp_path / "run" / "r.json").measure("a", lambda: 1.5) == 1.5
    again = study.Results(tmp_path / "run" / "r.json")
    assert again.measure("a", lambda: 1 / 0) == 1.5
