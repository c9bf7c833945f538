"""A run's metrics by epoch, in a file that spreadsheets read."""

import csv
import io
import pathlib

import keras

from keras_transformer.files import write_text


class MetricsFile(keras.callbacks.Callback):
    """Writes what each epoch logged as a row of a CSV file.

    The file is written anew each time, aside first. A metric that comes later, such as
    the loss on texts that validation was added with, is a column of its own; earlier
    rows are empty there. An epoch that is trained again replaces its row.

    Args:
        path: Path of the file.
        going_on: Whether to keep the epochs that the file has.

    Raises:
        ValueError: If the file is to be kept and isn't one of metrics.

    Example:

    >>> model.fit(batches, callbacks=[MetricsFile("runs/en-de/metrics.csv")])
    """

    def __init__(self, path, *, going_on=False):
        super().__init__()
        self.path = pathlib.Path(path)
        self.rows = read_metrics(path) if going_on and self.path.exists() else []

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: repr(float(value)) for name, value in (logs or {}).items()}
        self.rows = [row for row in self.rows if int(row["epoch"]) < epoch]
        self.rows.append({"epoch": str(epoch), **dict(sorted(logs.items()))})
        # A dict keeps the order in which names came first.
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())


def read_metrics(path):
    """The rows of a `metrics.csv`: dicts of strings, empty where nothing was measured.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is cut short or no file of metrics; the line is named.
    """
    way_out = "Correct it, or remove the file to go on without these epochs."
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows = []
            for row in reader:
                where = f"metrics={str(path)!r}, line {reader.line_num}"
                if None in row:
                    raise ValueError(
                        f"{where}: more values than the header has names. {way_out}"
                    )
                if not (row.get("epoch") or "").isdecimal():
                    raise ValueError(
                        f"{where}: no number of an epoch; received {row}. {way_out}"
                    )
                for name, value in row.items():
                    _check_number(value, f"{where}, {name}: ", way_out)
                rows.append(row)
            if "epoch" not in (reader.fieldnames or ["epoch"]):
                raise ValueError(
                    f"metrics={str(path)!r}, line 1: no column epoch. {way_out}"
                )
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"metrics={str(path)!r} is no CSV: {error}. {way_out}"
        ) from None
    return rows


def _check_number(text, where, way_out):
    # Keras writes NA where an epoch has no value.
    if text not in ("", "NA"):
        try:
            float(text)
        except ValueError:
            raise ValueError(f"{where}{text!r} is no number. {way_out}") from None
