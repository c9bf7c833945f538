"""What ends a training early: a scheduler's signal, a loss that isn't finite."""

import itertools
import math
import pathlib
import signal
import sys
import threading
import weakref
from signal import SIGINT

import keras
import numpy as np
from keras import ops

from keras_transformer.files import written_aside
from keras_transformer.training.checkpoints import accumulation_steps


class Interrupted(SystemExit):
    """Training was stopped from outside; started again, it goes on.

    It ends a program with code 75, which `sysexits.h` calls a temporary failure, so
    that a scheduler can tell it from an error. After Ctrl-C the code is 130, as shells
    have it.
    """

    CODE = 75

    def __init__(self, message, code=CODE):
        super().__init__(code)
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

    Schedulers send SIGTERM some seconds before they take a machine away. Ctrl-C is
    SIGINT; a second Ctrl-C ends the program at once. In validation, and in callbacks
    after the epoch's checkpoint, there is nothing to save: the program ends at once.

    Once `fit` has ended, also by an exception, signals do what they did before it.

    Args:
        checkpoints: The run's `Checkpoints`, before it among the callbacks. A worker
            whose checkpoints don't write waits for the one whose do to save and leave.
        signals: Signals to heed.

    Raises:
        Preempted: In training, at the end of the update in which the signal came.
        KeyboardInterrupt: At a second Ctrl-C.

    Example:

    >>> checkpoints = kt.training.Checkpoints("run/checkpoints")
    >>> callbacks = [checkpoints, kt.training.SaveOnSignal(checkpoints)]
    >>> model.fit(batches, callbacks=callbacks)
    """

    def __init__(self, checkpoints, signals=(signal.SIGTERM, SIGINT)):
        super().__init__()
        self.checkpoints = checkpoints
        self.signals = signals
        self._received = None
        self._before = {}
        self._fit = lambda: None
        # Whether the last update is in a checkpoint.
        self._saved = False

    def on_train_begin(self, logs=None):
        self._received = None
        self._saved = False
        self.restore()
        # Python hands signals to the main thread alone.
        if threading.current_thread() is threading.main_thread():
            # Keras makes one list of callbacks for each `fit`, which goes with it.
            callbacks = sys._getframe(1).f_locals.get("self", self)
            self._fit = weakref.ref(callbacks, self.restore)
            for number in self.signals:
                # Shells have programs in the background ignore Ctrl-C.
                if (number, signal.getsignal(number)) != (SIGINT, signal.SIG_IGN):
                    self._before[number] = signal.signal(number, self._note)

    def on_train_batch_begin(self, batch, logs=None):
        self._leave_if_saved()
        self._saved = False

    def on_train_batch_end(self, batch, logs=None):
        if self._received is None or not self.checkpoints.write:
            return
        if (batch + 1) % accumulation_steps(self.model.optimizer):
            return
        if batch + 1 == self.params.get("steps"):
            # The epoch's own checkpoint comes next.
            return
        self.checkpoints.save()
        self._saved = True
        self._leave_if_saved()

    def on_test_begin(self, logs=None):
        self._saved = self.checkpoints.saved_step == self.checkpoints.step
        self._leave_if_saved()

    def on_test_batch_end(self, batch, logs=None):
        self._leave_if_saved()

    def on_epoch_end(self, epoch, logs=None):
        self.on_test_begin()

    def on_train_end(self, logs=None):
        self.restore()
        self._leave_if_saved()

    def restore(self, _=None):
        """Gives signals back to whoever had them before training."""
        if threading.current_thread() is not threading.main_thread():
            return
        before, self._before = self._before, {}
        for number, handler in before.items():
            # Otherwise somebody else has taken it since.
            if signal.getsignal(number) == self._note:
                # Python can't name a handler that isn't of its own.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number, frame):
        if not self._is_fitting(frame):
            self.restore()
            signal.raise_signal(number)
            return
        if number == SIGINT and self._received is not None:
            self.restore()
            raise KeyboardInterrupt
        self._received = number
        self._leave_if_saved()

    def _is_fitting(self, frame):
        """Whether this `fit` still runs: an exception may have ended it."""
        callbacks = self._fit()
        while callbacks is not None and frame is not None:
            # A loop of one's own may have them as an attribute.
            attributes = getattr(frame.f_locals.get("self"), "__dict__", {})
            for values in (frame.f_locals.values(), attributes.values()):
                if any(value is callbacks for value in values):
                    return True
            frame = frame.f_back
        return False

    def _leave_if_saved(self):
        if self._received is None or not self._saved:
            return
        self.restore()
        name = signal.Signals(self._received).name
        code = 130 if self._received == SIGINT else Preempted.CODE
        self._received = None
        raise Preempted(
            f"Stopped by {name}. Start it again to go on from "
            f"{self.checkpoints.latest()}.",
            code,
        )


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

    def on_test_begin(self, logs=None):
        # Before the checkpoint, which comes before validation.
        if self.checkpoints.step is not None:
            self.on_epoch_end(None)

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
            with written_aside(path) as aside:
                np.savez(aside, labels=np.asarray(labels), **arrays)
            where = f" Its batch is in {path}."
        latest = self.checkpoints.latest()
        good = (
            f"The last good checkpoint is {latest}." if latest else "No checkpoint yet."
        )
        raise NonFiniteLoss(
            f"{what} after step {update + 1}.{where} {good} Lower the learning rate, "
            "lengthen its warm-up or clip gradients.",
            update,
        )
