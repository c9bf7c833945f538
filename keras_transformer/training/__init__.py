"""What `model.fit` is given: loss, schedule, metrics, checkpoints, strategy."""

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
