"""Each number stands under its name, whenever a metric comes or goes."""

import csv

import pytest

from keras_transformer import plotting
from keras_transformer.training.metrics_file import MetricsFile, read_metrics


def log(path, *epochs, going_on=True):
    """Writes epochs as one call of `fit` does: a number and what it logged."""
    callback = MetricsFile(path, going_on=going_on)
    for epoch, logs in epochs:
        callback.on_epoch_end(epoch, logs)


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def test_columns_that_come_later_are_empty_before(path):
    log(path, (0, {"loss": 3.0}), (1, {"loss": 2.5}))
    log(path, (2, {"loss": 2.0, "val_loss": 2.25, "val_bleu": 7.5}))
    log(path, (3, {"loss": 1.0, "val_loss": 1.5}))
    log(path, (4, {"loss": 0.5, "accuracy": 0.75}))
    names = ("epoch", "loss", "val_loss", "val_bleu", "accuracy")
    assert [[row[name] for name in names] for row in rows(path)] == [
        ["0", "3.0", "", "", ""],
        ["1", "2.5", "", "", ""],
        ["2", "2.0", "2.25", "7.5", ""],
        ["3", "1.0", "1.5", "", ""],
        ["4", "0.5", "", "", "0.75"],
    ]


def test_a_file_of_an_earlier_version_goes_on_with_its_columns_in_their_order(path):
    path.write_text(
        "epoch,loss,val_bleu,val_loss\n0,5.0,1.5,4.0\n1,4.0,NA,NA\n", "utf-8"
    )
    log(path, (2, {"loss": 3.0, "val_loss": 2.0}))
    assert path.read_text("utf-8") == (
        "epoch,loss,val_bleu,val_loss\n0,5.0,1.5,4.0\n1,4.0,NA,NA\n2,3.0,,2.0\n"
    )


def test_an_epoch_that_is_trained_again_replaces_its_row(path):
    log(path, *((epoch, {"loss": 9.0}) for epoch in range(4)))
    log(path, (2, {"loss": 1.0}))
    assert [(row["epoch"], row["loss"]) for row in rows(path)] == [
        ("0", "9.0"),
        ("1", "9.0"),
        ("2", "1.0"),
    ]
    log(path, (0, {"loss": 2.0}), going_on=False)
    assert len(rows(path)) == 1


def test_numbers_come_back_to_the_last_bit(path):
    values = [0.1 + 0.2, 1e-300, float("inf"), float("nan")]
    log(path, *((i, {"loss": value}) for i, value in enumerate(values)))
    assert [repr(float(row["loss"])) for row in read_metrics(path)] == list(
        map(repr, values)
    )


@pytest.mark.parametrize(
    "content, words",
    [
        ("garbage\n", "line 1: no column epoch"),
        ("garbage\n1\n", "line 2: no number of an epoch"),
        ("epoch,loss\nx,1\n", "line 2: no number of an epoch"),
        ("epoch,loss\n0,1,2\n", "line 2: more values than the header has names"),
        ("epoch,loss\n0,1.0\n1,1.\x00", "no CSV|no number"),
        ("epoch,loss\n0,one\n", "line 2, loss: 'one' is no number"),
        (b"epoch,\xff\n", "no CSV"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(content, words, path):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (
        read_metrics,
        plotting.plot_training,
        lambda path: MetricsFile(path, going_on=True),
    ):
        with pytest.raises(ValueError, match=words) as error:
            read(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content, losses, bleu",
    [
        ("epoch,loss\n0,5.0\n1,3.0\n", [[[1, 2], [5, 3]]], None),
        ("epoch,loss,val_loss\n0,5.0,NA\n1,3.0,NA\n", [[[1, 2], [5, 3]]], None),
        ("epoch,loss,val_loss\n0,5,\n1,3,2\n", [[[1, 2], [5, 3]], [[2], [2]]], None),
        ("epoch,loss,val_bleu\n0,5,8\n1,3\n", [[[1, 2], [5, 3]]], [[1], [8]]),
        ("epoch,val_bleu\n3,8\n", [], [[4], [8]]),
    ],
)
def test_curves_are_drawn_where_there_are_numbers(content, losses, bleu, path):
    path.write_text(content, "utf-8")
    axes, *more = plotting.plot_training(path).axes
    drawn = [[list(values) for values in line.get_data()] for line in axes.lines]
    assert drawn == losses
    found = [list(values) for values in more[0].lines[0].get_data()] if more else None
    assert found == bleu
