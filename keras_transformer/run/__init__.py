"""A training run in a folder: reproducible from its configuration, resumable."""

from keras_transformer.run.config import RunConfig
from keras_transformer.run.held_out_bleu import HeldOutBleu
from keras_transformer.run.trainer import train

__all__ = ["HeldOutBleu", "RunConfig", "train"]
