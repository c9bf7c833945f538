"""A run in a folder: learns, is reproducible, goes on after being killed."""

import json
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.run import RunConfig, train
from keras_transformer.run.train import _fits

SIZES = {"num_layers": 1, "hidden_dim": 32, "num_heads": 2, "intermediate_dim": 64}


def config(corpus, **changes):
    options = {
        "valid_source": corpus[0],
        "valid_target": corpus[1],
        "model": {**SIZES, "dropout": 0.1},
        "vocabulary_size": 320,
        "tokens_per_batch": 512,
        "steps": 30,
        "steps_per_epoch": 10,
        "warmup_steps": 20,
        "peak_learning_rate": 0.01,
        "average_last": 1,
        "bleu_sentences": 5,
        **changes,
    }
    return RunConfig(*corpus, **options)


def weights(folder):
    return kt.Translator.load(folder / "translator").model.get_weights()


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(config(corpus), folder, verbose=0)
    return folder


def test_folder_holds_all_of_the_run(finished):
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "config.json",
        "source.spm",
        "checkpoints",
        "metrics.csv",
        "tensorboard",
        "translator",
    }
    header, *rows = (finished / "metrics.csv").read_text().splitlines()
    assert set(header.split(",")) >= {"epoch", "loss", "val_loss", "val_bleu"}
    assert len(rows) == 3
    assert json.loads((finished / "config.json").read_text())["steps"] == 30


def test_going_on_gives_the_weights_of_a_run_without_a_stop(corpus, finished, tmp_path):
    train(config(corpus, steps=10), tmp_path, verbose=0)
    train(config(corpus), tmp_path, verbose=0)
    for found, expected in zip(weights(tmp_path), weights(finished)):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def command(corpus, folder):
    return [
        *(sys.executable, "-m", "keras_transformer", "train", str(folder)),
        *corpus,
        *("--valid-source", corpus[0], "--valid-target", corpus[1]),
        *("--model", json.dumps({**SIZES, "dropout": 0.1})),
        *("--vocabulary-size", "320", "--tokens-per-batch", "512"),
        *("--steps", "30", "--steps-per-epoch", "10", "--warmup-steps", "20"),
        *("--peak-learning-rate", "0.01", "--average-last", "1"),
        *("--bleu-sentences", "5", "--verbose", "0"),
    ]


def stop_in_the_middle(corpus, folder, number):
    """Starts the run in a process and stops it after its first checkpoint."""
    process = subprocess.Popen(
        command(corpus, folder), stderr=subprocess.PIPE, text=True
    )
    deadline = time.time() + 120
    while not list((folder / "checkpoints").glob("step-*.keras")):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert not (folder / "translator").exists()
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_process_s_run_goes_on(corpus, finished, tmp_path, number):
    code, errors = stop_in_the_middle(corpus, tmp_path, number)
    if number == signal.SIGTERM:
        assert code == 75 and "Stopped by SIGTERM" in errors
        last = sorted((tmp_path / "checkpoints").glob("step-*.keras"))[-1]
        assert last.name in errors
    else:
        assert code == -signal.SIGKILL
    again = ["-m", "keras_transformer", "train", str(tmp_path), "--verbose", "0"]
    subprocess.run([sys.executable, *again], check=True, stderr=subprocess.DEVNULL)
    for found, expected in zip(weights(tmp_path), weights(finished)):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_going_on_in_the_middle_of_an_epoch_ends_that_one_first():
    options = RunConfig("a", steps=40, steps_per_epoch=10)
    assert list(_fits(0, options)) == [(0, 0, 4, 10)]
    assert list(_fits(20, options)) == [(20, 2, 4, 10)]
    assert list(_fits(13, options)) == [(13, 1, 2, 7), (20, 2, 4, 10)]
    assert list(_fits(33, options)) == [(33, 3, 4, 7)]


def test_another_configuration_in_the_same_folder_is_named(corpus, finished):
    with pytest.raises(ValueError, match="tokens_per_batch: 512 before, 256 now"):
        train(config(corpus, tokens_per_batch=256), finished, verbose=0)


def test_learns_to_reverse_words(corpus, tmp_path):
    changes = {"steps": 600, "steps_per_epoch": 300, "warmup_steps": 100}
    model = {**SIZES, "hidden_dim": 64, "num_layers": 2, "dropout": 0.0}
    options = config(corpus, model=model, bleu_sentences=0, **changes)
    translator = train(options, tmp_path, verbose=0)
    answers = translator.translate(["the red dog runs", "a cat"])
    assert answers == ["runs dog red the", "cat a"]


def test_trains_under_a_mirrored_strategy_of_two_devices(tmp_path):
    """In a process of its own: devices are split before TensorFlow starts."""
    code = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, keras_transformer as kt
def losses(scope):
    keras.utils.set_random_seed(0)
    with scope:
        model = kt.Transformer(20, num_layers=1, hidden_dim=16, num_heads=2,
                               intermediate_dim=32, dropout=0.0)
        model.compile(keras.optimizers.Adam(0.01), kt.training.MaskedCrossentropy())
    ids = np.random.default_rng(0).integers(4, 20, (32, 6))
    inputs = {"source_ids": ids, "target_ids": ids}
    return model.fit(inputs, ids, batch_size=8, epochs=3, shuffle=False,
                     verbose=0).history["loss"]
strategy = kt.training.get_strategy("mirrored")
assert strategy.num_replicas_in_sync == 2
both = losses(strategy.scope())
one = losses(kt.training.get_strategy("one_device").scope())
np.testing.assert_allclose(both, one, rtol=1e-3)
assert both[-1] < both[0]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_averaging_takes_the_mean_of_the_weights(corpus, finished):
    paths = kt.training.Checkpoints(finished / "checkpoints").paths()[-2:]
    models = [keras.models.load_model(path) for path in paths]
    mean = [np.mean(pair, axis=0) for pair in zip(*(m.get_weights() for m in models))]
    kt.training.average_checkpoints(models[0], paths)
    trainable = {v.path for v in models[0].trainable_variables}
    for variable, found, expected in zip(
        models[0].weights, models[0].get_weights(), mean
    ):
        if variable.path in trainable:
            np.testing.assert_allclose(found, expected, atol=1e-6)
