"""Checkpoints of a run: the whole compiled model, written aside and renamed."""

import os
import pathlib

import keras


class Checkpoints(keras.callbacks.Callback):
    """Saves the compiled model at the end of each epoch and keeps the last few.

    A checkpoint is a `.keras` file with weights, optimizer, step and random state:
    `keras.models.load_model` gives a model that `fit` goes on with. It is written
    aside and renamed, so that a run that is killed leaves no half checkpoint.

    Args:
        folder: Where the files `step-00001000.keras` go.
        keep: Number of checkpoints to keep.

    Raises:
        ValueError: If `keep` isn't positive.

    Example:

    >>> model.fit(batches, steps_per_epoch=250, epochs=8,
    ...           callbacks=[kt.training.Checkpoints("run/checkpoints")])
    """

    def __init__(self, folder, keep=10):
        super().__init__()
        if keep < 1:
            raise ValueError(f"keep must be positive; received keep={keep}.")
        self.folder = pathlib.Path(folder)
        self.keep = keep

    def on_epoch_end(self, epoch, logs=None):
        self.save()

    def save(self):
        """Writes a checkpoint of the model as it is now and returns its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        step = int(self.model.optimizer.iterations)
        path = self.folder / f"step-{step:08d}.keras"
        aside = self.folder / f"writing-{os.getpid()}.keras"
        self.model.save(aside)
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
        for old in self.paths()[: -self.keep]:
            old.unlink()
        return path

    def paths(self):
        """The checkpoints in the folder, oldest first."""
        return sorted(self.folder.glob("step-*.keras"))
