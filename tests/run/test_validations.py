"""The best validation is kept, training stops where none gets better, rates fall."""

import json
import math
import os
import shutil
import signal
import types

import keras
import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.run import RunConfig, train
from keras_transformer.run.held_out_bleu import HeldOutBleu
from keras_transformer.run.held_out_loss import HeldOutLoss
from keras_transformer.run.validations import Validations
from keras_transformer.training import Checkpoints, Preempted
from keras_transformer.training.metrics_file import read_metrics

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 16}


def validations(values, monitor="val_loss", patience=None):
    rows = [
        {"epoch": str(epoch), **({} if value is None else {monitor: repr(value)})}
        for epoch, value in enumerate(values)
    ]
    checkpoints = types.SimpleNamespace(protected=())
    return Validations(rows, checkpoints, monitor, patience, steps_per_epoch=10)


@pytest.mark.parametrize(
    "values, best, since",
    [
        ([], None, 0),
        ([None, None], None, 0),
        ([3.0, 2.0, 2.5, 2.0], 1, 2),
        ([None, 3.0, 4.0], 1, 1),
        ([math.nan, 3.0, math.nan], 1, 1),
        ([math.nan, math.nan], None, 2),
        ([1.0, 2.0, 3.0, 0.5], 3, 0),
    ],
)
def test_the_best_is_the_first_of_the_lowest_losses(values, best, since):
    found = validations(values)
    assert (found.best_epoch, found.since_best) == (best, since)
    assert found.checkpoints.protected == (() if best is None else (10 * (best + 1),))
    higher = validations([v if v is None else -v for v in values], "val_bleu")
    assert (higher.best_epoch, higher.since_best) == (best, since)
    for patience in (1, 2, 3):
        over = validations(values, patience=patience).is_over
        assert over == (since >= patience)
    assert not found.is_over


def test_the_best_of_what_is_there_is_taken():
    found = validations([1.0, 3.0, None, 2.0])
    assert found.best_of([20, 30, 40]) == 40 and found.best_of({10: 0, 20: 0}) == 10
    assert found.best_of([30]) is None and found.best_of([]) is None


def test_the_table_has_a_row_for_each_epoch_and_marks_the_best():
    lines = validations([3.0, None, 2.0]).table().splitlines()
    assert [line.split() for line in lines] == [
        ["epoch", "step", "val_loss"],
        ["1", "10", "3.0000"],
        ["2", "20"],
        ["3", "30", "2.0000", "best"],
    ]


LOSSES = [5.0, 3.0, 4.0, 4.0, 4.0, 4.0, 2.0, 2.0, 2.0, 2.0]


@pytest.fixture
def scripted(monkeypatch):
    """Validations that give what a test says, of the tenth epoch at most."""

    def loss(callback, epoch, logs=None):
        logs["val_loss"] = LOSSES[epoch]

    def bleu(callback, epoch, logs=None):
        logs["val_bleu"] = 20 - LOSSES[epoch]

    monkeypatch.setattr(HeldOutLoss, "on_epoch_end", loss)
    monkeypatch.setattr(HeldOutBleu, "on_epoch_end", bleu)


def config(corpus, **changes):
    options = {
        "valid_source": corpus[0],
        "valid_target": corpus[1],
        "model": {**SIZES, "dropout": 0.1},
        "vocabulary_size": 300,
        "tokens_per_batch": 64,
        "steps": 10,
        "steps_per_epoch": 1,
        "warmup_steps": 1,
        "peak_learning_rate": 0.01,
        "average_last": 2,
        "bleu_sentences": 1,
        "samples": 0,
        **changes,
    }
    return RunConfig(*corpus, **options)


def weights(path):
    model = keras.models.load_model(path)
    return model.get_weights()


@pytest.mark.parametrize("monitor", ["val_loss", "val_bleu"])
@pytest.mark.long
def test_a_run_ends_when_its_patience_does_with_its_best_weights(
    corpus, tmp_path, scripted, monkeypatch, capsys, monitor
):
    """Also if it is killed on the way, and if the best isn't among the last five."""
    options = config(corpus, patience=4, keep="best", monitor=monitor)
    train(options, tmp_path / "whole", verbose=2)
    out = capsys.readouterr().out
    assert f"stopped: no better {monitor} in 4 validations (patience=4)" in out
    assert "the best is that of step 2" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["2", "2", *rows[[r[:1] for r in rows].index(["2"])][2:]][-1] == "best"
    paths = Checkpoints(tmp_path / "whole" / "checkpoints").paths()
    assert [Checkpoints.step_of(path) for path in paths] == [2, 3, 4, 5, 6]
    best = weights(paths[0])
    found = kt.Translator.load(tmp_path / "whole" / "translator").model.get_weights()
    for one, other in zip(found, best, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(read_metrics(tmp_path / "whole" / "metrics.csv")) == 6
    # Called again it trains no further, until its patience is longer.
    train(options, tmp_path / "whole", verbose=0)
    assert len(read_metrics(tmp_path / "whole" / "metrics.csv")) == 6
    if monitor == "val_bleu":
        return

    count = Checkpoints.on_train_batch_end

    def stop(checkpoints, batch, logs=None):
        count(checkpoints, batch, logs)
        if checkpoints.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", stop)
        with pytest.raises(Preempted):
            train(options, tmp_path / "stopped", verbose=0)
    train(options, tmp_path / "stopped", verbose=0)
    again = kt.Translator.load(tmp_path / "stopped" / "translator").model.get_weights()
    for one, other in zip(again, best, strict=True):
        np.testing.assert_array_equal(one, other)

    longer = config(corpus, patience=5, keep="best")
    train(longer, tmp_path / "stopped", verbose=0)
    # The fifth is better, so that it goes on to the end; the best are the last ones.
    assert len(read_metrics(tmp_path / "stopped" / "metrics.csv")) == 10
    paths = Checkpoints(tmp_path / "stopped" / "checkpoints").paths()
    assert [Checkpoints.step_of(path) for path in paths] == [6, 7, 8, 9, 10]


def rate(path):
    return float(keras.models.load_model(path).optimizer.learning_rate)


def test_a_plateau_s_rates_are_the_same_after_a_kill(corpus, tmp_path, scripted):
    options = config(
        corpus,
        schedule="plateau",
        plateau_patience=2,
        steps=8,
        warmup_steps=3,
        average_last=8,
        keep="last",
    )
    train(options, tmp_path / "whole", verbose=0)
    rows = read_metrics(tmp_path / "whole" / "metrics.csv")
    # What each epoch was trained with; it falls after the fourth and the sixth.
    expected = [0.01] * 4 + [0.005] * 2 + [0.0025] * 2
    found = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-6)

    # A kill after the sixth epoch's validation, and one before it.
    for kept, noted in ((6, False), (6, True)):
        folder = tmp_path / f"killed-{noted}"
        shutil.copytree(tmp_path / "whole", folder)
        shutil.rmtree(folder / "translator")
        for path in Checkpoints(folder / "checkpoints").paths()[kept:]:
            path.unlink()
        lines = (folder / "metrics.csv").read_text("utf-8").splitlines()
        lines = lines[: 1 + kept - noted]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n", "utf-8")
        if noted:
            epoch = {"epoch": kept - 1, "logs": {"loss": 4.0}}
            (folder / "unfinished_epoch.json").write_text(json.dumps(epoch), "utf-8")
        train(options, folder, verbose=0)
        for name in ("step-00000007.keras", "step-00000008.keras"):
            assert rate(folder / "checkpoints" / name) == rate(
                tmp_path / "whole" / "checkpoints" / name
            )
        for one, other in zip(
            weights(folder / "checkpoints" / "step-00000008.keras"),
            weights(tmp_path / "whole" / "checkpoints" / "step-00000008.keras"),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
