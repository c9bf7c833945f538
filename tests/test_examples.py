import importlib.util
import pathlib

import pytest

PATH = pathlib.Path(__file__).parents[1] / "examples" / "classify_text.py"
spec = importlib.util.spec_from_file_location("classify_text", PATH)
classify_text = importlib.util.module_from_spec(spec)
spec.loader.exec_module(classify_text)


@pytest.mark.parametrize("name", classify_text.CLASSIFIERS)
def test_a_classifier_around_each_layer_beats_guessing(name):
    assert classify_text.accuracy(name) > 0.9
