"""A run in a folder: learns, is reproducible, goes on after being killed."""

import dataclasses
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.run import RunConfig, train
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.trainer import _fits

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


def assert_same_weights(folder, expected):
    """To the last bit."""
    for found, wanted in zip(weights(folder), weights(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_going_on_gives_the_weights_of_a_run_without_a_stop(corpus, finished, tmp_path):
    train(config(corpus, steps=10), tmp_path, verbose=0)
    train(config(corpus), tmp_path, verbose=0)
    assert_same_weights(tmp_path, finished)


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


def start(corpus, folder):
    return subprocess.Popen(command(corpus, folder), stderr=subprocess.PIPE, text=True)


def wait_for(process, folder, pattern):
    """Until there is such a file among the checkpoints; False if the run has ended."""
    deadline = time.monotonic() + 120
    while not list((folder / "checkpoints").glob(pattern)):
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return True


def test_a_run_killed_again_and_again_ends_with_the_same_weights(
    corpus, finished, tmp_path
):
    """While a checkpoint is being written, then at random moments."""
    generator = random.Random(0)
    killed_in_writing = 0
    for attempt in range(3):
        process = start(corpus, tmp_path)
        in_writing = attempt % 2 == 0
        pattern = "writing-*" if in_writing else "step-*"
        if wait_for(process, tmp_path, pattern) and not in_writing:
            time.sleep(generator.uniform(0, 2))
        process.kill()
        process.communicate()
        killed_in_writing += bool(list(tmp_path.glob("checkpoints/writing-*")))
    assert killed_in_writing, "no kill came while a checkpoint was being written"
    process = start(corpus, tmp_path)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert_same_weights(tmp_path, finished)
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert not [name for name in left if name.startswith("writing-")]


def test_a_run_stopped_by_its_scheduler_goes_on(corpus, finished, tmp_path):
    process = start(corpus, tmp_path)
    assert wait_for(process, tmp_path, "step-*")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and "Stopped by SIGTERM" in errors
    last = sorted((tmp_path / "checkpoints").glob("step-*.keras"))[-1]
    assert last.name in errors
    train(config(corpus), tmp_path, verbose=0)
    assert_same_weights(tmp_path, finished)


def test_going_on_in_the_middle_of_an_epoch_ends_that_one_first():
    options = RunConfig("a", steps=40, steps_per_epoch=10)
    assert list(_fits(0, options)) == [(0, 0, 4, 10)]
    assert list(_fits(20, options)) == [(20, 2, 4, 10)]
    assert list(_fits(13, options)) == [(13, 1, 2, 7), (20, 2, 4, 10)]
    assert list(_fits(33, options)) == [(33, 3, 4, 7)]


def test_another_configuration_in_the_same_folder_is_named(corpus, finished):
    with pytest.raises(ValueError, match="tokens_per_batch: 512 before, 256 now"):
        train(config(corpus, tokens_per_batch=256), finished, verbose=0)


def test_changed_texts_and_vocabulary_in_the_same_folder_are_named(corpus, tmp_path):
    source, target, folder = tmp_path / "a", tmp_path / "b", tmp_path / "run"
    for path, origin in ((source, corpus[0]), (target, corpus[1])):
        shutil.copy(origin, path)
    options = config((str(source), str(target)))
    RunFolder(folder, options).prepare()
    moved = config(corpus)
    RunFolder(folder, moved)  # The same content elsewhere.
    with open(source, "a") as file:
        file.write("one more line\n")
    with pytest.raises(ValueError, match="source: its content isn't what it was"):
        RunFolder(folder, options)
    kt.text.train_tokenizer(corpus, vocabulary_size=300).save(folder / "source.spm")
    with pytest.raises(ValueError, match="source.spm: its content isn't"):
        RunFolder(folder, moved)


@keras.saving.register_keras_serializable(package="tests")
class FailsAtToken(kt.training.MaskedCrossentropy):
    """A loss that is no number where a certain token is among the labels."""

    token = None

    def call(self, y_true, y_pred):
        here = keras.ops.any(keras.ops.equal(y_true, self.token))
        return super().call(y_true, y_pred) + keras.ops.where(here, np.nan, 0.0)


def test_updates_that_give_no_number_are_left_out_up_to_a_limit(
    corpus, tmp_path, monkeypatch
):
    source, target = tmp_path / "a", tmp_path / "b"
    for path, origin in ((source, corpus[0]), (target, corpus[1])):
        lines = open(origin).read().splitlines()
        # A sign that no other pair has.
        path.write_text("\n".join([*lines[:1000], "\u00df", *lines[1000:]]) + "\n")
    options = {"valid_source": None, "valid_target": None, "bleu_sentences": 0}
    options = config((str(source), str(target)), steps=30, **options)
    RunFolder(tmp_path / "stops", options).prepare()
    (tokenizer, _) = RunFolder(tmp_path / "stops", options).tokenizers()
    FailsAtToken.token = int(tokenizer.tokenize(["\u00df"])[0][-1])
    monkeypatch.setattr(
        "keras_transformer.run.trainer.MaskedCrossentropy", FailsAtToken
    )

    with pytest.raises(kt.training.NonFiniteLoss) as error:
        train(options, tmp_path / "stops", verbose=0)
    update = error.value.update
    saved = tmp_path / "stops" / f"non-finite-step-{update + 1:08d}.npz"
    assert str(saved) in str(error.value)
    assert FailsAtToken.token in np.load(saved)["labels"]

    forgiving = dataclasses.replace(options, skip_nonfinite=1)
    train(forgiving, tmp_path / "stops", verbose=0)
    train(forgiving, tmp_path / "goes on", verbose=0)
    assert RunFolder(tmp_path / "goes on", forgiving).skipped == [update]
    assert_same_weights(tmp_path / "stops", tmp_path / "goes on")


def test_skipped_updates_are_counted_among_all(corpus, tmp_path):
    run = RunFolder(tmp_path, config(corpus))
    for update in (5, 3, 5, 20):
        run.skip(update)
    # 3 is before 5; then the sixth that is left is the eighth of all.
    assert run.skipped == [5, 3, 7, 23]


def test_float16_trains_with_its_loss_scaled(corpus, tmp_path):
    model = {**SIZES, "dropout": 0.1, "dtype": "mixed_float16"}
    options = config(
        corpus,
        model=model,
        accumulation_steps=2,
        clip_norm=1.0,
        bleu_sentences=0,
        valid_source=None,
        valid_target=None,
    )
    translator = train(options, tmp_path, verbose=0)
    assert hasattr(translator.model.optimizer, "inner_optimizer")
    _, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    losses = [float(row.split(",")[1]) for row in rows]
    assert len(losses) == 3 and losses[0] > losses[1] > losses[2]


@pytest.mark.slow
def test_learns_to_reverse_words(corpus, tmp_path):
    changes = {"steps": 600, "steps_per_epoch": 300, "warmup_steps": 100}
    model = {**SIZES, "hidden_dim": 64, "num_layers": 2, "dropout": 0.0}
    options = config(corpus, model=model, bleu_sentences=0, **changes)
    translator = train(options, tmp_path, verbose=0)
    answers = translator.translate(["the red dog runs", "a cat"])
    assert answers == ["runs dog red the", "cat a"]


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
