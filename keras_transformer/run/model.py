"""A run's model: how it starts, goes on from a checkpoint, and ends."""

from __future__ import annotations

import pathlib
import typing

import keras

from keras_transformer.layers.lora import lora_layers, without_lora
from keras_transformer.models.transformer import Transformer
from keras_transformer.run.config import RunConfig
from keras_transformer.run.initial import initial_model
from keras_transformer.training import (
    Adam,
    MaskedCrossentropy,
    average_checkpoints,
    enable_lora,
    freeze,
    make_schedule,
    save_adapter,
)
from keras_transformer.training.schedule import default_peak

if typing.TYPE_CHECKING:
    from keras_transformer.run.folder import RunFolder
    from keras_transformer.run.validations import Validations


def make_model(
    config: RunConfig,
    source_vocabulary_size: int,
    target_vocabulary_size: int | None = None,
) -> Transformer:
    """The model that a run starts with, not compiled, with what isn't trained frozen.

    Args:
        config: A `RunConfig`.
        source_vocabulary_size: Number of source tokens. A model that the run starts
            from has its own.
        target_vocabulary_size: Number of target tokens; None for one vocabulary.

    Raises:
        FileNotFoundError: If there is no such translator to start from.
        ValueError: If it can't be read, or a part to freeze isn't the model's.
    """
    if config.initial is None:
        model = Transformer.from_preset(
            config.preset,
            source_vocabulary_size,
            target_vocabulary_size=target_vocabulary_size,
            **config.model,
        )
    else:
        model = initial_model(config.initial)
    if config.freeze:
        freeze(model, config.freeze)
    if config.lora_rank is not None:
        enable_lora(model, config.lora_rank)
    return model


def check_model(config: RunConfig) -> None:
    """Checks the model's arguments before the vocabularies' sizes are known.

    Args:
        config: A `RunConfig`.

    Raises:
        FileNotFoundError: If there is no such translator to start from.
        ValueError: If an argument of the model is out of range.
    """
    # Nothing depends on these sizes.
    make_model(config, *([8] if config.joint_vocabulary else [8, 8]))


def new_model(
    config: RunConfig, source_tokenizer: typing.Any, target_tokenizer: typing.Any
) -> Transformer:
    """The compiled model that a run starts with."""
    target_size = None
    if not config.joint_vocabulary:
        target_size = target_tokenizer.vocabulary_size
    model = make_model(config, source_tokenizer.vocabulary_size, target_size)
    accumulates = config.accumulation_steps > 1
    optimizer = Adam(
        **_learning_rate(config, model.config["hidden_dim"]),
        global_clipnorm=config.clip_norm,
        gradient_accumulation_steps=config.accumulation_steps if accumulates else None,
    )
    model.compile(optimizer, MaskedCrossentropy(config.label_smoothing))
    return model


def peak_learning_rate(config: RunConfig, hidden_dim: int) -> float:
    """The highest learning rate of a run."""
    if config.peak_learning_rate is not None:
        return config.peak_learning_rate
    return default_peak(hidden_dim, config.warmup_steps)


def _learning_rate(config, hidden_dim):
    """The optimizer's arguments about it."""
    if config.schedule == "plateau":
        # A number, which a callback changes.
        return {
            "learning_rate": peak_learning_rate(config, hidden_dim),
            "warmup_steps": config.warmup_steps,
        }
    schedule = make_schedule(
        config.schedule,
        config.peak_learning_rate,
        config.steps,
        hidden_dim,
        warmup_steps=config.warmup_steps,
        accumulation_steps=config.accumulation_steps,
    )
    return {"learning_rate": schedule}


def load_checkpoint(path: pathlib.Path) -> Transformer:
    """The compiled model in a checkpoint.

    Raises:
        ValueError: If it can't be loaded; it is named.
    """
    try:
        return keras.models.load_model(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"The checkpoint {path} can't be loaded: {error!r}. Remove it to go on "
            "from the one before."
        ) from error


def final_model(
    run: RunFolder, model: Transformer, validations: Validations, *, writes: bool
) -> Transformer:
    """The model that a run ends with, of those checkpoints that its `keep` names.

    Updates of LoRA become part of the weights; the run's folder has them alone, too.

    Args:
        run: The `RunFolder`.
        model: The run's model; its weights are overwritten.
        validations: The run's `Validations`, which say which checkpoint is the best.
        writes: Whether this process writes the adapter.
    """
    paths = run.checkpoints.paths()
    count = run.config.average_last if run.config.keep == "average" else 1
    chosen = paths[-count:]
    if run.config.keep == "best":
        by_step = {run.checkpoints.step_of(path): path for path in paths}
        best = validations.best_of(by_step)
        chosen = chosen if best is None else [by_step[best]]
    average_checkpoints(model, chosen)
    if not lora_layers(model):
        return model
    if writes:
        save_adapter(model, run.path / "adapter.safetensors")
    return without_lora(model)
