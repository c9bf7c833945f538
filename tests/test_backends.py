"""Layers, models and search give the same numbers on every backend of Keras."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = pathlib.Path(__file__).with_name("backend_numbers.py")


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None  # importing it is an ImportError
import keras
import numpy as np
import keras_transformer as kt

model = kt.Transformer(
    20, num_layers=1, hidden_dim=16, num_heads=2, intermediate_dim=32, seed=1
)
model.compile(kt.training.Adam(0.01), kt.training.MaskedCrossentropy())
ids = np.random.default_rng(0).integers(4, 20, (16, 5), dtype="int32")
inputs = {"source_ids": ids, "target_ids": ids}
scores = []

def answer(batch, logs):
    found = model.generate(ids[:3], beam_size=2, max_length=4)
    assert found["ids"].shape == (3, 1, 4)
    scores.append(np.asarray(found["scores"]))

each_batch = keras.callbacks.LambdaCallback(on_train_batch_end=answer)
fitted = model.fit(inputs, ids, 8, epochs=3, verbose=0, callbacks=[each_batch])
losses = fitted.history["loss"]
assert losses[-1] < losses[0], losses
assert all((a != b).any() for a, b in zip(scores, scores[1:]))
answers = kt.decoding.generate(model, ids[:3], beam_size=2, max_length=4)
np.testing.assert_allclose(answers["scores"], scores[-1], atol=1e-5)
"""


def numbers(backend, folder):
    path = folder / f"{backend}.npz"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(path)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return np.load(path)


def run_on_jax(*arguments):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed: pip install -e '.[parity,jax]'")
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, *arguments], env=environment, check=True)


@pytest.fixture(scope="module")
def tensorflow_numbers(tmp_path_factory):
    return numbers("tensorflow", tmp_path_factory.mktemp("tensorflow"))


@pytest.mark.process
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_gives_tensorflow_s_numbers(backend, tensorflow_numbers, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -e '.[parity]'")
    found = numbers(backend, tmp_path)
    assert set(found) == set(tensorflow_numbers)
    for name, expected in tensorflow_numbers.items():
        np.testing.assert_allclose(found[name], expected, atol=1e-5, err_msg=name)


@pytest.mark.process
def test_layers_models_and_decoding_import_no_tensorflow():
    code = (
        "import sys, keras_transformer\n"
        "from keras_transformer import decoding, layers, models, training\n"
        "assert 'tensorflow' not in sys.modules"
    )
    backend = "jax" if importlib.util.find_spec("jax") else "torch"
    if importlib.util.find_spec(backend) is None:
        backend = "numpy"
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )


@pytest.mark.process
def test_trains_and_decodes_where_tensorflow_is_not_installed():
    run_on_jax("-c", WITHOUT_TENSORFLOW)


@pytest.mark.process
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_loss_metrics_and_strategies_on(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -e '.[parity]'")
    folder = PROGRAM.parent / "training"
    tests = [
        str(folder / f"test_{name}.py") for name in ("loss", "metrics", "strategy")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", *tests],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.process
def test_dropout_on_jax():
    tests = PROGRAM.parent / "layers" / "test_dropout.py"
    run_on_jax("-m", "pytest", "-q", "-n", "0", str(tests))


@pytest.mark.process
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_masks_ranks_gradients_and_empty_inputs_of_layers(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -e '.[parity]'")
    names = ("test_embedding.py", "test_gradients.py", "test_empty_inputs.py")
    files = [str(PROGRAM.parent / "layers" / name) for name in names]
    # One way of knowing order stands for all: TensorFlow's run has each.
    few = ["-k", "not (rotary or relative or t5 or alibi)"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", *few, *files],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
