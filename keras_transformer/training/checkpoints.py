"""Checkpoints of a run: the whole compiled model, written aside and renamed."""

import os
import pathlib
import warnings
import zipfile

import keras

from keras_transformer.training.strategy import alone


class Checkpoints(keras.callbacks.Callback):
    """Saves the compiled model at the end of each epoch and keeps the last few.

    A checkpoint is a `.keras` file with weights, optimizer, step and random state:
    `keras.models.load_model` gives a model that `fit` goes on with. It is written
    aside, flushed to the disk and renamed, so that a process killed at any moment
    leaves whole checkpoints only.

    Args:
        folder: Where the files `step-00001000.keras` go; steps are updates.
        keep: Number of checkpoints to keep.
        write: False on a worker that only counts steps, while another one writes.

    Attributes:
        step: Number of updates so far, those that loss scaling dropped included.

    Raises:
        ValueError: If `keep` isn't positive.
        OSError: In training, if a checkpoint can't be written, such as on a full disk.
            The earlier ones are left as they were.

    Example:

    >>> model.fit(batches, steps_per_epoch=250, epochs=8,
    ...           callbacks=[kt.training.Checkpoints("run/checkpoints")])
    """

    def __init__(self, folder, keep=10, write=True):
        super().__init__()
        if keep < 1:
            raise ValueError(f"keep must be positive; received keep={keep}.")
        self.folder = pathlib.Path(folder)
        self.keep = keep
        self.write = write
        self.step = None

    def on_train_begin(self, logs=None):
        if self.step is None:
            # A variable of several replicas is no number for Python.
            self.step = int(self.model.optimizer.iterations + 0)
        if self.write:
            # What a process that was killed has left.
            for path in self.folder.glob("writing-*.keras"):
                path.unlink()

    def on_train_batch_end(self, batch, logs=None):
        self.step += (batch + 1) % accumulation_steps(self.model.optimizer) == 0

    def on_epoch_end(self, epoch, logs=None):
        if self.write:
            self.save()

    def save(self):
        """Writes a checkpoint of the model as it is now and returns its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{self.step:08d}.keras"
        aside = self.folder / f"writing-{os.getpid()}.keras"
        try:
            with alone():
                self.model.save(aside)
            _flush(aside)
            os.replace(aside, path)
            _flush(self.folder)
        except OSError as error:
            aside.unlink(missing_ok=True)
            good = self.paths()
            raise OSError(
                error.errno,
                f"The checkpoint of step {self.step} can't be written to "
                f"{self.folder}: {error.strerror or error}. The last good one is "
                f"{good[-1] if good else 'none'}; make room and start again",
            ) from error
        for old in self.paths()[: -self.keep]:
            old.unlink()
        return path

    def paths(self):
        """The checkpoints in the folder, oldest first."""
        return sorted(self.folder.glob("step-*.keras"))

    @staticmethod
    def step_of(path):
        """The number of updates that a checkpoint was saved after."""
        return int(path.stem.removeprefix("step-"))

    def latest(self):
        """The newest checkpoint that is whole, or None.

        Each file carries checksums of its parts. Newer ones that don't agree with
        theirs are named in a warning and passed over.
        """
        for path in reversed(self.paths()):
            damage = _damage(path)
            if damage is None:
                return path
            warnings.warn(
                f"The checkpoint {path} is damaged and passed over: {damage}.",
                stacklevel=2,
            )
        return None


def accumulation_steps(optimizer):
    """Number of batches that make one update."""
    # Loss scaling, for float16, wraps the optimizer that accumulates.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer.gradient_accumulation_steps or 1


def _damage(path):
    """What is wrong with a `.keras` file, which is a zip archive; None if nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        return str(error)
    return part and f"the checksum of {part} doesn't agree"


def _flush(path):
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
