"""A run in a folder: learns, is reproducible, goes on after being killed."""

import dataclasses
import gzip
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import warnings
import zipfile

import keras
import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.cli import main
from keras_transformer.run import RunConfig, train
from keras_transformer.run.folder import RunFolder, read_config
from keras_transformer.run.held_out_loss import HeldOutLoss
from keras_transformer.run.lock import locked
from keras_transformer.run.trainer import _fits
from keras_transformer.training import Checkpoints, Preempted
from keras_transformer.training.metrics_file import read_metrics

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
        "samples": 0,
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
    assert [set(row) for row in rows(finished)] == [
        {"epoch", "loss", "val_loss", "val_bleu"}
    ] * 3
    assert read_config(finished).steps == 30


def assert_same_weights(folder, expected):
    """To the last bit."""
    for found, wanted in zip(weights(folder), weights(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)


def rows(folder):
    """The metrics by epoch: validation, BLEU and training loss."""
    return read_metrics(folder / "metrics.csv")


def send(number):
    """Sends this process a signal, whose handler then ends what is called."""

    def call(*_, **__):
        os.kill(os.getpid(), number)
        pytest.fail("it went on after the signal")

    return call


def test_a_run_that_is_stopped_in_every_part_is_one_without_a_stop(
    corpus, finished, tmp_path, monkeypatch, capsys
):
    """In the middle of an epoch, in its validation and in its BLEU; and prolonged."""
    count = Checkpoints.on_train_batch_end

    def stop_at_13(checkpoints, batch, logs=None):
        count(checkpoints, batch, logs)
        if checkpoints.step == 13:
            os.kill(os.getpid(), signal.SIGINT)

    # The first epoch: SIGTERM in validation.
    with monkeypatch.context() as patch:
        patch.setattr(HeldOutLoss, "on_epoch_end", send(signal.SIGTERM))
        with pytest.raises(Preempted, match="step-00000010.keras") as stop:
            train(config(corpus, steps=20), tmp_path, verbose=0)
    assert stop.value.code == 75 and not (tmp_path / "metrics.csv").exists()

    # The second one: Ctrl-C on the command line, in the middle.
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", stop_at_13)
        with pytest.raises(SystemExit) as stop:
            main(["train", str(tmp_path), "--verbose", "0"])
    assert stop.value.code == 130
    (words,) = capsys.readouterr().err.splitlines()[-1:]
    assert "Stopped by SIGINT" in words and "step-00000013.keras" in words

    # Its BLEU, after its validation.
    with monkeypatch.context() as patch:
        patch.setattr(kt.Translator, "translate", send(signal.SIGTERM))
        with pytest.raises(Preempted, match="step-00000020.keras"):
            train(config(corpus, steps=20), tmp_path, verbose=0)

    train(config(corpus), tmp_path, verbose=0)
    assert_same_weights(tmp_path, finished)
    found, expected = rows(tmp_path), rows(finished)
    # The loss of an epoch in two parts is that of its second part.
    found[1]["loss"] = expected[1]["loss"]
    assert found == expected and len(found) == 3
    assert not (tmp_path / "unfinished_epoch.json").exists()
    assert not (tmp_path / "lock.json").exists()


KILLED = """
import json, os, signal, sys
from keras_transformer import files
from keras_transformer.run import RunConfig, train

flush = files._flush_all

def kill_in_writing(path):
    if "step-00000020" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    flush(path)

files._flush_all = kill_in_writing
train(RunConfig(**json.loads(sys.argv[2])), sys.argv[1], verbose=0)
"""


@pytest.mark.process
def test_a_run_killed_while_it_writes_a_checkpoint_ends_with_the_same_weights(
    corpus, finished, tmp_path
):
    options = json.dumps(dataclasses.asdict(config(corpus)))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), options], capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert [name for name in left if name.startswith("writing-")]
    assert (tmp_path / "lock.json").exists()
    train(config(corpus), tmp_path, verbose=0)
    assert_same_weights(tmp_path, finished)
    assert rows(tmp_path) == rows(finished)
    for folder in (tmp_path, tmp_path / "checkpoints"):
        assert not list(folder.glob("writing-*")) + list(folder.glob("lock*"))


def no_training(monkeypatch):
    """Makes `train` end before its first update, as a kill does."""

    def killed(*_, **__):
        raise InterruptedError

    monkeypatch.setattr("keras_transformer.run.trainer._go_on", killed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": {**SIZES, "num_heads": 7}},
        {"model": {**SIZES, "position_encoding": "spiral"}},
        {"target": "missing.txt"},
        {"target": "shorter.txt"},
        {"target": None},
        {"source": "empty.txt", "target": "empty.txt"},
        {"valid_source": "empty.txt", "valid_target": None},
        {"source": "latin1.txt"},
        {"source": "cut.gz"},
        {"source": "no.gz"},
        {"valid_target": "missing.txt"},
        {"valid_target": "shorter.txt"},
        {"source": "tfds:nothing"},
    ],
)
def test_a_mistyped_start_writes_no_file(corpus, tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("empty.txt").touch()
    pathlib.Path("shorter.txt").write_text("one line\n", "utf-8")
    pathlib.Path("latin1.txt").write_bytes("\xe4\n".encode("latin-1") * 2000)
    pathlib.Path("no.gz").write_bytes(b"no gzip")
    packed = gzip.compress(pathlib.Path(corpus[0]).read_bytes())
    pathlib.Path("cut.gz").write_bytes(packed[: len(packed) // 2])
    options = {**dataclasses.asdict(config(corpus)), **wrong}
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        train(RunConfig(**options), "run", verbose=0)
    assert not pathlib.Path("run").exists()
    value = [value for value in wrong.values() if isinstance(value, str)]
    assert not value or value[0] in str(error.value)


def test_what_is_no_configuration_folder_or_number_is_named(corpus, tmp_path):
    right = {"config": config(corpus), "folder": tmp_path / "run"}
    for wrong, words in (
        ({"config": {"source": "a"}}, "config must be a kt.RunConfig; .*'source': 'a'"),
        ({"folder": None}, "folder must be a path; received folder=None"),
        ({"folder": ""}, "folder must name a file or a folder"),
        ({"verbose": "no"}, "verbose must be an integer; received verbose='no'"),
    ):
        with pytest.raises(ValueError, match=words):
            train(**{**right, **wrong})
    assert not (tmp_path / "run").exists()


def test_a_start_without_a_checkpoint_binds_to_nothing(corpus, tmp_path, monkeypatch):
    no_training(monkeypatch)
    first = config(corpus, vocabulary_size=300, preset="base", bleu_sentences=7)
    with pytest.raises(InterruptedError):
        train(first, tmp_path, verbose=0)
    RunFolder(tmp_path, first).skip(3)
    second = config((corpus[1], corpus[0]), joint_vocabulary=False, average_last=2)
    with pytest.raises(InterruptedError):
        train(second, tmp_path, verbose=0)
    run = RunFolder(tmp_path, second)
    assert read_config(tmp_path) == second and run.skipped == []
    assert [t.vocabulary_size for t in run.tokenizers()] == [320, 320]
    # The corrected command takes no option from the one before.
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path), *corpus, "--vocabulary-size", "310"])
    expected = RunConfig(*corpus, vocabulary_size=310)
    assert read_config(tmp_path) == expected
    assert RunFolder(tmp_path, expected).tokenizers()[1].vocabulary_size == 310
    # Without a text it is the same start again.
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path), "--steps", "500"])
    assert read_config(tmp_path) == dataclasses.replace(expected, steps=500)


def test_a_folder_in_use_is_refused_before_anything_is_written(corpus, tmp_path):
    with locked(tmp_path), pytest.raises(ValueError, match=f"process {os.getpid()}"):
        train(config(corpus), tmp_path, verbose=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["config.json", "fingerprints.json", "skipped.json", "metrics.csv"]
)
@pytest.mark.parametrize("content", ["", "[", "[1, ", "null", "{}", '["x"]', "\x00"])
def test_a_broken_file_of_a_run_is_named_with_the_way_out(
    corpus, finished, tmp_path, name, content
):
    for path in finished.glob("*.*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "checkpoints").symlink_to(finished / "checkpoints")
    RunFolder(tmp_path, config(corpus))
    (tmp_path / name).write_text(content, "utf-8")
    if (name, content) in (
        # Nothing is known of the texts, or of epochs before.
        ("fingerprints.json", "{}"),
        ("metrics.csv", ""),
    ):
        RunFolder(tmp_path, config(corpus))
        return
    with pytest.raises(ValueError, match=name) as error:
        RunFolder(tmp_path, config(corpus))
    assert "another folder" in str(error.value) or "remove the file" in str(error.value)


@pytest.mark.parametrize("content", ["garbage", "", "another zip"])
def test_a_run_without_a_whole_checkpoint_is_not_started_again_in_silence(
    corpus, finished, tmp_path, content
):
    for path in finished.glob("*.*"):
        shutil.copy(path, tmp_path)
    path = tmp_path / "checkpoints" / "step-00000010.keras"
    path.parent.mkdir()
    if content == "another zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("notes.txt", "mine")
    else:
        path.write_text(content, "utf-8")
    with pytest.raises(ValueError, match="checkpoint"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(config(corpus), tmp_path, verbose=0)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_validation_added_to_a_run_going_on_has_its_own_columns(
    corpus, finished, tmp_path
):
    for path in finished.glob("*.*"):
        shutil.copy(path, tmp_path)
    shutil.copytree(finished / "checkpoints", tmp_path / "checkpoints")
    text = (tmp_path / "metrics.csv").read_text("utf-8")
    without = [row.split(",")[:2] for row in text.splitlines()]
    (tmp_path / "metrics.csv").write_text("\n".join(map(",".join, without)), "utf-8")
    train(config(corpus, steps=40), tmp_path, verbose=0)
    found = rows(tmp_path)
    assert [row["val_loss"] == row["val_bleu"] == "" for row in found] == [
        *(True, True, True),
        False,
    ]
    assert 0 < float(found[3]["val_loss"]) < 10 and found[3]["loss"] != ""


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
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-00000010.keras").touch()
    moved = config(corpus)
    RunFolder(folder, moved)  # The same content elsewhere.
    with open(source, "a", encoding="utf-8") as file:
        file.write("one more line\n")
    with pytest.raises(ValueError, match="source: its content isn't what it was"):
        RunFolder(folder, options)
    kt.text.train_tokenizer(corpus, vocabulary_size=300).save(folder / "source.spm")
    with pytest.raises(ValueError, match="source.spm: its content isn't"):
        RunFolder(folder, moved)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_rate_that_ends_at_the_last_step_binds_the_number_of_steps(
    corpus, tmp_path, schedule
):
    run = RunFolder(tmp_path, config(corpus, schedule=schedule))
    run.prepare()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-00000010.keras").touch()
    other = {"patience": 3, "keep": "best", "samples": 2, "skip_nonfinite": 1}
    RunFolder(tmp_path, config(corpus, schedule=schedule, **other))
    longer = config(corpus, schedule=schedule, steps=40)
    if schedule == "constant":
        RunFolder(tmp_path, longer)
        return
    with pytest.raises(ValueError, match="steps: 30 before, 40 now"):
        RunFolder(tmp_path, longer)


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
        lines = pathlib.Path(origin).read_text("utf-8").splitlines()
        # A sign that no other pair has.
        lines = [*lines[:1000], "\u00df", *lines[1000:]]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    options = {"valid_source": None, "valid_target": None, "bleu_sentences": 0}
    options = config((str(source), str(target)), steps=30, **options)
    RunFolder(tmp_path / "stops", options).prepare()
    (tokenizer, _) = RunFolder(tmp_path / "stops", options).tokenizers()
    FailsAtToken.token = int(tokenizer.tokenize(["\u00df"])[0][-1])
    monkeypatch.setattr("keras_transformer.run.model.MaskedCrossentropy", FailsAtToken)

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
    losses = [float(row["loss"]) for row in rows(tmp_path)]
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
