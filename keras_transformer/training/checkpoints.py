"""Checkpoints of a run: the whole compiled model, written aside and renamed."""

import pathlib
import warnings
import zipfile

import keras

from keras_transformer.files import written_aside
from keras_transformer.training.strategy import alone


class Checkpoints(keras.callbacks.Callback):
    """Saves the compiled model at the end of each epoch and keeps the last few.

    A checkpoint is a `.keras` file with weights, optimizer, step and random state:
    `keras.models.load_model` gives a model that `fit` goes on with. It is written
    aside, flushed to the disk and renamed, so that a process killed at any moment
    leaves whole checkpoints only. It comes before the epoch's validation, which may
    take long.

    Args:
        folder: Where the files `step-00001000.keras` go; steps are updates.
        keep: Number of checkpoints to keep.
        write: False on a worker that only counts steps, while another one writes.

    Attributes:
        step: Number of updates so far, those that loss scaling dropped included.
        saved_step: The step of the last checkpoint that it has written, or None.
        protected: Steps whose checkpoints aren't deleted, however old they are.

    Raises:
        ValueError: If `keep` isn't positive.
        OSError: In training, if a checkpoint can't be written, such as on a full disk.
            The earlier ones are left as they were.

    Example:

    >>> model.fit(batches, steps_per_epoch=250, epochs=8,
    ...           callbacks=[kt.training.Checkpoints("run/checkpoints")])
    """

    def __init__(self, folder, keep=10, *, write=True):
        super().__init__()
        if keep < 1:
            raise ValueError(f"keep must be positive; received keep={keep}.")
        self.folder = pathlib.Path(folder)
        self.keep = keep
        self.write = write
        self.step = None
        self.saved_step = None
        self.protected = ()
        self._training = False

    def on_train_begin(self, logs=None):
        if self.step is None:
            # A variable of several replicas is no number for Python.
            self.step = int(self.model.optimizer.iterations + 0)
        self.saved_step = None

    def on_epoch_begin(self, epoch, logs=None):
        self._training = True

    def on_train_batch_end(self, batch, logs=None):
        self.step += (batch + 1) % accumulation_steps(self.model.optimizer) == 0

    def on_test_begin(self, logs=None):
        # The validation of `fit`, not an evaluation of its own.
        if self._training:
            self._save_epoch()

    def on_epoch_end(self, epoch, logs=None):
        self._save_epoch()
        self._training = False

    def _save_epoch(self):
        if self.write and self.saved_step != self.step:
            self.save()

    def save(self):
        """Writes a checkpoint of the model as it is now and returns its path."""
        path = self.folder / f"step-{self.step:08d}.keras"
        try:
            with written_aside(path) as aside, alone():
                self.model.save(aside)
        except OSError as error:
            good = self.paths()
            raise OSError(
                error.errno,
                f"The checkpoint of step {self.step} can't be written to "
                f"{self.folder}: {error.strerror or error}. The last good one is "
                f"{good[-1] if good else 'none'}; make room and start again",
            ) from error
        self.saved_step = self.step
        for old in self.paths()[: -self.keep]:
            if self.step_of(old) not in self.protected:
                old.unlink()
        return path

    def paths(self):
        """The checkpoints in the folder, oldest first."""
        names = self.folder.glob("step-*.keras")
        return sorted(p for p in names if p.stem.removeprefix("step-").isdecimal())

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
