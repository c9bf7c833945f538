"""What ends a training early: a scheduler's signal, a loss that isn't finite."""

import math
import pathlib
import signal
import threading

import keras
import numpy as np


class Preempted(SystemExit):
    """Training was stopped by a signal, after a checkpoint; start it again to go on.

    It ends a program with code 75, which `sysexits.h` calls a temporary failure, so
    that a scheduler can tell it from an error.
    """

    CODE = 75

    def __init__(self, message):
        super().__init__(self.CODE)
        self.message = message

    def __str__(self):
        return self.message


class SaveOnSignal(keras.callbacks.Callback):
    """Saves a checkpoint within a step of a signal, and ends the program.

    Schedulers send SIGTERM some seconds before they take a machine away.

    Args:
        checkpoints: The run's `Checkpoints`, also among the callbacks.
        signals: Signals to heed.

    Raises:
        Preempted: In training, at the end of the step in which the signal came.

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
        if self._received is not None:
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

    Args:
        batches_from: Function that takes a number n and returns the batches of training
            from the n-th on, to look up the one of the step.
        folder: Where `non-finite-step-00001234.npz` goes, the batch's arrays.
        checkpoints: The run's `Checkpoints`, to name the last good one.

    Raises:
        FloatingPointError: In training. It names the step, the file and the checkpoint.

    Example:

    >>> stop = kt.training.StopOnNonFiniteLoss(batches.from_step, "run", checkpoints)
    >>> model.fit(batches, callbacks=[checkpoints, stop])
    """

    def __init__(self, batches_from, folder, checkpoints):
        super().__init__()
        self.batches_from = batches_from
        self.folder = pathlib.Path(folder)
        self.checkpoints = checkpoints

    def on_train_batch_end(self, batch, logs=None):
        # The mean of the epoch so far: it isn't finite from the first such step on.
        loss = (logs or {}).get("loss", 0.0)
        if math.isfinite(loss):
            return
        step = int(self.model.optimizer.iterations)
        path = self.folder / f"non-finite-step-{step:08d}.npz"
        inputs, labels = next(iter(self.batches_from(step - 1)))
        arrays = {name: np.asarray(values) for name, values in inputs.items()}
        np.savez(path, labels=np.asarray(labels), **arrays)
        raise FloatingPointError(
            f"The loss is {loss} in step {step}. Its batch is in {path}; the last good "
            f"checkpoint is {self.checkpoints.latest()}. Lower the learning rate, "
            "lengthen its warm-up or clip gradients."
        )
