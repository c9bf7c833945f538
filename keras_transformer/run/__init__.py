"""A training run in a folder: reproducible from its configuration, resumable."""

from typing import TYPE_CHECKING

from keras_transformer.lazy_names import lazy_names

_MODULES = {
    "HeldOutBleu": "held_out_bleu",
    "RunConfig": "config",
    "distill": "distillation",
    "train": "trainer",
}

__getattr__, __dir__, _ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)

if TYPE_CHECKING:
    # As type checkers see the names.
    from keras_transformer.run.config import RunConfig as RunConfig
    from keras_transformer.run.distillation import distill as distill
    from keras_transformer.run.held_out_bleu import HeldOutBleu as HeldOutBleu
    from keras_transformer.run.trainer import train as train
