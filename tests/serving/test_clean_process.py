import pytest

from keras_transformer.serving.clean_process import ask_in_clean_process


def test_a_process_that_takes_too_long_is_a_runtime_error(tmp_path):
    with pytest.raises(RuntimeError, match="within 0.01 seconds"):
        ask_in_clean_process(tmp_path, "serving_default", {}, timeout=0.01)
