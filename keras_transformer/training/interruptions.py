"""What ends a training early: a scheduler's signal, a loss that isn't finite."""

import itertools
import math
import pathlib
import signal
import threading

import keras
import numpy as np
from keras import ops

from keras_transformer.training.checkpoints import accumulation_steps


class Interrupted(SystemExit):
    """Training was stopped from outside; started again, it goes on.

    It ends a program with code 75, which `sysexits.h` calls a temporary failure, so
    that a scheduler can tell it from an error.
    """

    CODE = 75

    def __init__(self, message):
        super().__init__(self.CODE)
        self.message = message

    def __str__(self):
        return self.message


class Preempted(Interrupted):
    """Stopped by a signal, after a checkpoint."""


class WorkerLost(Interrupted):
    """Another worker has died or can't be reached."""

    def __init__(self, reason):
        super().__init__(
            "Another worker has died or can't be reached, so this one stops. Start "
            f"all of them again to go on from the last checkpoint. {reason}"
        )


class NonFiniteLoss(FloatingPointError):
    """The loss, or a weight, isn't finite any more.

    Attributes:
        update: Number of the update, the first one is 0.
    """

    def __init__(self, message, update):
        super().__init__(message)
        self.update = update


class SaveOnSignal(keras.callbacks.Callback):
    """Saves a checkpoint within an update of a signal, and ends the program.

    Schedulers send SIGTERM some seconds before they take a machine away.

    Args:
        checkpoints: The run's `Checkpoints`, before it among the callbacks. A worker
            whose checkpoints don't write waits for the one whose do to save and leave.
        signals: Signals to heed.

    Raises:
        Preempted: In training, at the end of the update in which the signal came.

    Example:

    >>> checkpoints = kt.training.Checkpoints("run/checkpoints")
    >>> callbacks = [checkpoints, kt.training.SaveOnSignal(checkpoints)]
    >>> model.fit(batches, callbacks=callbacks)
    """

    def __init__(self, checkpoints, signals=(signal.SIGTERM,)):
        super().__init__()
        self.checkpoints = checkpoints
        self.signals = signals
        self._received = None
        self._before = {}

    def on_train_begin(self, logs=None):
        self._received = None
        # Python hands signals to the main thread alone.
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in self.signals}

    def on_train_batch_end(self, batch, logs=None):
        if self._received is None or not self.checkpoints.write:
            return
        if (batch + 1) % accumulation_steps(self.model.optimizer):
            return
        self.on_train_end()
        name = signal.Signals(self._received).name
        path = self.checkpoints.save()
        raise Preempted(f"Stopped by {name}; {path} is where training goes on.")

    def on_train_end(self, logs=None):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number, frame):
        self._received = number


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stops training when the loss is no number any more, and keeps what led to it.

    Place it before the `Checkpoints`, so that no weights that aren't finite are saved.

    Args:
        batches_from: Function that takes a number n and returns the batches of training
            from the n-th update on, to look up the one of the step.
        folder: Where `non-finite-step-00001234.npz` goes, the batch's arrays.
        checkpoints: The run's `Checkpoints`, to count steps and name the last good one.

    Raises:
        NonFiniteLoss: In training. It names the step, the file and the checkpoint.

    Example:

    >>> stop = kt.training.StopOnNonFiniteLoss(batches.from_step, "run", checkpoints)
    >>> model.fit(batches, callbacks=[stop, checkpoints])
    """

    def __init__(self, batches_from, folder, checkpoints):
        super().__init__()
        self.batches_from = batches_from
        self.folder = pathlib.Path(folder)
        self.checkpoints = checkpoints

    def on_train_batch_end(self, batch, logs=None):
        # The mean of the epoch so far: it isn't finite from the first such step on.
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            part = batch % accumulation_steps(self.model.optimizer)
            # The checkpoints haven't counted this update yet.
            self._stop(f"The loss is {loss}", self.checkpoints.step, part)

    def on_epoch_end(self, epoch, logs=None):
        for variable in self.model.trainable_variables:
            if not ops.all(ops.isfinite(variable)):
                what = f"The weight {variable.path} isn't finite"
                self._stop(what, self.checkpoints.step - 1)

    def _stop(self, what, update, part=0):
        where = ""
        if self.checkpoints.write:
            path = self.folder / f"non-finite-step-{update + 1:08d}.npz"
            batches = iter(self.batches_from(update))
            inputs, labels, *_ = next(itertools.islice(batches, part, None))
            arrays = {name: np.asarray(values) for name, values in inputs.items()}
            np.savez(path, labels=np.asarray(labels), **arrays)
            where = f" Its batch is in {path}."
        raise NonFiniteLoss(
            f"{what} after step {update + 1}.{where} The last good checkpoint is "
            f"{self.checkpoints.latest()}. Lower the learning rate, lengthen its "
            "warm-up or clip gradients.",
            update,
        )
