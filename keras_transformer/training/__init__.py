"""What `model.fit` is given: loss, schedule, metrics, checkpoints, strategy."""

from typing import TYPE_CHECKING

from keras_transformer.lazy_names import lazy_names

_MODULES = {
    "Adam": "optimizer",
    "Checkpoints": "checkpoints",
    "Interrupted": "interruptions",
    "MaskedAccuracy": "metrics",
    "MaskedCrossentropy": "loss",
    "MaskedPerplexity": "metrics",
    "NonFiniteLoss": "interruptions",
    "Preempted": "interruptions",
    "SaveOnSignal": "interruptions",
    "StopOnNonFiniteLoss": "interruptions",
    "WarmupInverseSqrt": "schedule",
    "WithWarmup": "schedule",
    "WorkerLost": "interruptions",
    "average_checkpoints": "averaging",
    "enable_lora": "adapters",
    "freeze": "freezing",
    "get_strategy": "strategy",
    "load_adapter": "adapters",
    "make_schedule": "schedule",
    "merge_lora": "adapters",
    "save_adapter": "adapters",
}

__getattr__, __dir__, load_names = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)

if TYPE_CHECKING:
    # As type checkers see the names.
    from keras_transformer.training.adapters import enable_lora as enable_lora
    from keras_transformer.training.adapters import load_adapter as load_adapter
    from keras_transformer.training.adapters import merge_lora as merge_lora
    from keras_transformer.training.adapters import save_adapter as save_adapter
    from keras_transformer.training.averaging import (
        average_checkpoints as average_checkpoints,
    )
    from keras_transformer.training.checkpoints import Checkpoints as Checkpoints
    from keras_transformer.training.freezing import freeze as freeze
    from keras_transformer.training.interruptions import Interrupted as Interrupted
    from keras_transformer.training.interruptions import NonFiniteLoss as NonFiniteLoss
    from keras_transformer.training.interruptions import Preempted as Preempted
    from keras_transformer.training.interruptions import SaveOnSignal as SaveOnSignal
    from keras_transformer.training.interruptions import (
        StopOnNonFiniteLoss as StopOnNonFiniteLoss,
    )
    from keras_transformer.training.interruptions import WorkerLost as WorkerLost
    from keras_transformer.training.loss import MaskedCrossentropy as MaskedCrossentropy
    from keras_transformer.training.metrics import MaskedAccuracy as MaskedAccuracy
    from keras_transformer.training.metrics import MaskedPerplexity as MaskedPerplexity
    from keras_transformer.training.optimizer import Adam as Adam
    from keras_transformer.training.schedule import (
        WarmupInverseSqrt as WarmupInverseSqrt,
    )
    from keras_transformer.training.schedule import WithWarmup as WithWarmup
    from keras_transformer.training.schedule import make_schedule as make_schedule
    from keras_transformer.training.strategy import get_strategy as get_strategy
