"""A run's validations: which is the best, when it stops, how its rate falls."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import keras

from keras_transformer.training import Checkpoints


class Validations(keras.callbacks.Callback):
    """Keeps the best validation's checkpoint, and stops where none gets better.

    All it knows follows from the run's rows of `metrics.csv`, so that a run that was
    killed goes on as if it hadn't been.

    Args:
        rows: What earlier epochs logged, as `read_metrics` gives it.
        checkpoints: The run's `Checkpoints`, which keep the best one.
        monitor: Name of the metric that tells which is better; those of BLEU are better
            higher, others lower.
        patience: Number of validations in a row without a better one after which
            training stops; None for never.
        steps_per_epoch: Number of updates between validations.

    Example:

    >>> rows = [{"epoch": "0", "val_loss": "3.5"}, {"epoch": "1", "val_loss": "3.6"}]
    >>> validations = Validations(rows, checkpoints, patience=3, steps_per_epoch=250)
    >>> validations.best_step, validations.since_best, validations.is_over
    (250, 1, False)
    """

    def __init__(
        self,
        rows: list[dict],
        checkpoints: Checkpoints,
        monitor: str = "val_loss",
        patience: int | None = None,
        steps_per_epoch: int = 1,
    ) -> None:
        super().__init__()
        self.rows = [
            {name: float(value) for name, value in row.items() if value not in _NONE}
            for row in rows
        ]
        self.checkpoints = checkpoints
        self.monitor = monitor
        self.patience = patience
        self.steps_per_epoch = steps_per_epoch
        self._protect()

    def forget_from(self, epoch: int) -> None:
        """Forgets an epoch, and those after it, which are trained again."""
        self.rows = [row for row in self.rows if row["epoch"] < epoch]
        self._protect()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.forget_from(epoch)
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self.rows.append({"epoch": float(epoch), **logs})
        self._protect()
        if self.is_over:
            self.model.stop_training = True

    def step_of(self, epoch: float) -> int:
        """Number of updates at the end of an epoch; the first one is 0."""
        return (int(epoch) + 1) * self.steps_per_epoch

    @property
    def measured(self) -> list[tuple[int, float]]:
        """Pairs of an epoch and the monitored value, where it was measured."""
        return [
            (int(row["epoch"]), row[self.monitor])
            for row in self.rows
            if self.monitor in row
        ]

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best validation, the first of equals; None before any."""
        return self._best(self.measured)

    def best_of(self, steps: Collection[int]) -> int | None:
        """Of some steps that of the best validation; None if none of them has one."""
        measured = [(e, v) for e, v in self.measured if self.step_of(e) in steps]
        best = self._best(measured)
        return None if best is None else self.step_of(best)

    @property
    def best_step(self) -> int | None:
        """The step of the best validation's checkpoint, or None before any."""
        best = self.best_epoch
        return None if best is None else self.step_of(best)

    @property
    def since_best(self) -> int:
        """Number of validations after the best one."""
        best = self.best_epoch
        return sum(best is None or epoch > best for epoch, _ in self.measured)

    @property
    def is_over(self) -> bool:
        """Whether none of the last `patience` validations was the best so far."""
        return self.patience is not None and self.since_best >= self.patience

    def names_of(self, *known: str) -> list[str]:
        """Those names of values that some epoch has."""
        return [name for name in known if any(name in row for row in self.rows)]

    def lines(self, names: list[str]) -> list[list[str]]:
        """The validations as lines of cells, below a head, the best of them marked."""
        lines = [["epoch", "step", *names, ""]]
        for row in self.rows:
            values = [f"{row[n]:.4f}" if n in row else "" for n in names]
            mark = "best" if row["epoch"] == self.best_epoch else ""
            epoch = int(row["epoch"])
            lines.append([str(epoch + 1), f"{self.step_of(epoch):,}", *values, mark])
        return lines

    def table(self) -> str:
        """The validations as lines of text, the best of them marked."""
        lines = self.lines(self.names_of(*_SHOWN))
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths)).rstrip()
            for line in lines
        )

    def _best(self, measured):
        sign = -1 if is_better_higher(self.monitor) else 1
        finite = [(sign * v, e) for e, v in measured if not math.isnan(v)]
        return min(finite)[1] if finite else None

    def _protect(self):
        best = self.best_step
        self.checkpoints.protected = () if best is None else (best,)


class PlateauRate(keras.callbacks.ReduceLROnPlateau):
    """Keras's `ReduceLROnPlateau`, which knows the validations before a restart.

    Args:
        validations: The run's `Validations`, after it among the callbacks.
        peak: The learning rate that training starts with.
        factor: What the rate is multiplied by.
        patience: Number of validations in a row without a better one before that.
        verbose: Whether to print new rates.
    """

    verbose: int

    def __init__(
        self,
        validations: Validations,
        peak: float,
        factor: float,
        patience: int,
        verbose: int = 0,
    ) -> None:
        monitor = validations.monitor
        super().__init__(
            monitor,
            factor=factor,
            patience=patience,
            verbose=verbose,
            mode="max" if is_better_higher(monitor) else "min",
            min_delta=0.0,
        )
        self._validations, self._peak = validations, peak

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self.model.optimizer.learning_rate = self._peak
        # What is measured already is counted without a word.
        verbose, self.verbose = self.verbose, 0
        for epoch, value in self._validations.measured:
            super().on_epoch_end(epoch, {self.monitor: value})
        self.verbose = verbose


def is_better_higher(monitor: str) -> bool:
    """Whether larger values of a metric are better ones."""
    return monitor.endswith("bleu")


# Keras writes NA where an epoch has no value.
_NONE = ("", "NA")
_SHOWN = ("loss", "val_loss", "val_bleu", "learning_rate")
