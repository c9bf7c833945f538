"""What lies around an export: warm-up, diagnosis, configuration, clients."""

import pytest
import tensorflow as tf

from keras_transformer.serving import (
    diagnose,
    loading_seconds,
)
from keras_transformer.serving.warmup import read_warmup, write_warmup


@pytest.mark.parametrize("kind", ["translator", "generator", "encoder"])
def test_the_warm_up_asks_every_signature_with_and_without_options(exports, kind):
    export = exports[kind]
    requests = read_warmup(export.path)
    assert {name for name, _ in requests} == set(export.definitions)
    for name, inputs in requests:
        # Complete and of equal rows, as a server that joins requests wants them.
        assert set(inputs) == set(export.definitions[name].inputs)
        assert len({len(value) for value in inputs.values()}) == 1
        assert "error" not in (found := export.run(name, **inputs)) or not any(
            found["error"]
        )
    sizes = {len(next(iter(inputs.values()))) for _, inputs in requests}
    assert sizes == {1, 8}
    options = {
        text
        for name, inputs in requests
        for text in (inputs["options"] if name == "with_options" else ())
    }
    assert options == (set() if kind == "encoder" else {b"", b"sample=1"})


@pytest.mark.slow
def test_loading_is_measured_with_the_warm_up_and_without(saved_path):
    model, warmup = loading_seconds(saved_path)
    assert 0 < model < 600 and 0 < warmup < 600


def test_too_many_warm_up_requests_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="1000; received 1001"):
        write_warmup(tmp_path, [("serving_default", {"text": ["a"]})] * 1001)


def test_nothing_is_wrong_with_an_export(saved_path):
    assert diagnose(saved_path) == []


def test_diagnosis_names_what_the_stock_server_lacks(tmp_path):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, "ids")])
        def ask(self, ids):
            found = tf.numpy_function(lambda x: x + 1, [ids], tf.int32)
            return {"found": tf.ensure_shape(found, [None, None])}

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
        def scalar(self, x):
            return {"y": x + 1}

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.float32, "x")], jit_compile=True
        )
        def compiled(self, x):
            return {"y": x * x + 1}

    model = Model()
    functions = {"ask": model.ask, "scalar": model.scalar, "compiled": model.compiled}
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=functions)
    problems = "\n".join(diagnose(tmp_path / "model"))
    for words in (
        "EagerPyFunc|PyFunc",
        "serving_default",
        "scalar",
        "warm-up",
        "jit_compile",
        "versions",
        "lengths beside them",
    ):
        assert any(word in problems for word in words.split("|")), (words, problems)


def test_diagnosis_needs_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved_model\.pb"):
        diagnose(tmp_path)
