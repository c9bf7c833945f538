"""A training run in a folder: reproducible from its configuration, resumable."""

from keras_transformer.lazy_names import lazy_names

_MODULES = {
    "HeldOutBleu": "held_out_bleu",
    "RunConfig": "config",
    "distill": "distillation",
    "train": "trainer",
}

__getattr__, __dir__, _ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
