"""What a run does at the end of an epoch, in this order."""

from __future__ import annotations

import itertools
import typing

import keras

from keras_transformer.run.folder import RunFolder
from keras_transformer.run.held_out_bleu import HeldOutBleu
from keras_transformer.run.held_out_loss import HeldOutLoss
from keras_transformer.run.model import peak_learning_rate
from keras_transformer.run.samples import HeldOutSamples, writes_samples
from keras_transformer.run.texts import validation_texts
from keras_transformer.run.validations import PlateauRate, Validations
from keras_transformer.training import StopOnNonFiniteLoss
from keras_transformer.training.metrics_file import MetricsFile
from keras_transformer.training.strategy import is_chief

if typing.TYPE_CHECKING:
    from keras_transformer.tasks.translator import Translator


def run_callbacks(
    run: RunFolder,
    strategy: typing.Any,
    translator: Translator,
    batches: typing.Any,
    validation: typing.Any,
    validations: Validations,
    verbose: int = 0,
) -> tuple[list, list]:
    """What comes up to an epoch's checkpoint, and what comes after it.

    Validation takes long. A stop in it loses no update, and going on starts with it:
    what the epoch has logged so far is noted in the folder.

    Args:
        run: The `RunFolder`.
        strategy: The run's distribution strategy.
        translator: A `Translator` of the model in training.
        batches: The batches it trains on.
        validation: Those it is validated on, or None.
        validations: The run's `Validations`.
        verbose: Whether to print a learning rate that falls.

    Returns:
        Two lists of callbacks.
    """
    config, checkpoints, chief = run.config, run.checkpoints, is_chief(strategy)
    until_saved = [
        StopOnNonFiniteLoss(
            lambda update: batches.from_step(update, without=run.skipped),
            run.path,
            checkpoints,
        )
    ]
    if chief:
        note = keras.callbacks.LambdaCallback(on_epoch_end=run.note_epoch)
        until_saved.append(note)
    until_saved.append(checkpoints)
    after = []
    if validation is not None:
        # All workers take part: a model may be spread over them.
        after.append(HeldOutLoss(validation))
        if pairs := _held_out(config, config.bleu_sentences):
            sources, references = map(list, zip(*pairs))
            after.append(HeldOutBleu(translator, sources, references))
        if config.schedule == "plateau":
            after.append(
                PlateauRate(
                    validations,
                    peak_learning_rate(config, translator.model.config["hidden_dim"]),
                    config.plateau_factor,
                    config.plateau_patience,
                    verbose=int(verbose > 0),
                )
            )
        after.append(validations)
        if writes_samples() and (pairs := _held_out(config, config.samples)):
            logs = run.path / "tensorboard" / "held_out" if chief else None
            sources, references = map(list, zip(*pairs))
            after.append(HeldOutSamples(translator, sources, references, logs))
    if chief:
        after += [
            MetricsFile(run.metrics, going_on=run.is_started),
            keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: run.forget_epoch()
            ),
        ]
    return until_saved, after


def _held_out(config, count):
    """The first pairs of the held-out texts."""
    return list(itertools.islice(validation_texts(config).pairs(), count))
