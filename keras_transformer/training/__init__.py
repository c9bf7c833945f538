"""What `model.fit` is given: loss, schedule, metrics, checkpoints, strategy."""

from keras_transformer.training.averaging import average_checkpoints
from keras_transformer.training.checkpoints import Checkpoints
from keras_transformer.training.interruptions import (
    Preempted,
    SaveOnSignal,
    StopOnNonFiniteLoss,
)
from keras_transformer.training.loss import MaskedCrossentropy
from keras_transformer.training.metrics import MaskedAccuracy, MaskedPerplexity
from keras_transformer.training.schedule import WarmupInverseSqrt
from keras_transformer.training.strategy import get_strategy

__all__ = [
    "Checkpoints",
    "MaskedAccuracy",
    "MaskedCrossentropy",
    "MaskedPerplexity",
    "Preempted",
    "SaveOnSignal",
    "StopOnNonFiniteLoss",
    "WarmupInverseSqrt",
    "average_checkpoints",
    "get_strategy",
]
