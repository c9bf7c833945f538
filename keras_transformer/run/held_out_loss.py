"""Loss on held-out sentences during training."""

from typing import Any

import keras


class HeldOutLoss(keras.callbacks.Callback):
    """Evaluates the model after each epoch and logs `val_loss` and other metrics.

    `fit` validates before it calls any callback at the end of an epoch. This comes
    after the callbacks before it, such as the epoch's checkpoint.

    Args:
        batches: Held-out batches, as `model.evaluate` takes them.

    Example:

    >>> model.fit(batches, callbacks=[checkpoints, HeldOutLoss(held_out)])
    """

    def __init__(self, batches: Any) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        found = self.model.evaluate(self.batches, return_dict=True, verbose=0)
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in found.items()})
