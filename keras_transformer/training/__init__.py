"""What `model.fit` is given: loss, schedule, metrics, checkpoints, strategy."""

from keras_transformer.training.averaging import average_checkpoints
from keras_transformer.training.checkpoints import Checkpoints
from keras_transformer.training.interruptions import (
    Interrupted,
    NonFiniteLoss,
    Preempted,
    SaveOnSignal,
    StopOnNonFiniteLoss,
    WorkerLost,
)
from keras_transformer.training.loss import MaskedCrossentropy
from keras_transformer.training.metrics import MaskedAccuracy, MaskedPerplexity
from keras_transformer.training.optimizer import Adam
from keras_transformer.training.schedule import WarmupInverseSqrt
from keras_transformer.training.strategy import get_strategy

__all__ = [
    "Adam",
    "Checkpoints",
    "Interrupted",
    "MaskedAccuracy",
    "MaskedCrossentropy",
    "MaskedPerplexity",
    "NonFiniteLoss",
    "Preempted",
    "SaveOnSignal",
    "StopOnNonFiniteLoss",
    "WarmupInverseSqrt",
    "WorkerLost",
    "average_checkpoints",
    "get_strategy",
]
