"""Trains a translator in a folder, and goes on after any stop."""

import contextlib
import os

import keras

from keras_transformer import arguments
from keras_transformer.data.report import left_out
from keras_transformer.run.batches import data_of_run, mixture_in_words
from keras_transformer.run.callbacks import run_callbacks
from keras_transformer.run.config import RunConfig
from keras_transformer.run.corpora import corpora_of_run, prepare_corpora
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.lock import locked
from keras_transformer.run.model import final_model, load_checkpoint, new_model
from keras_transformer.run.model_card import write_model_card
from keras_transformer.run.start import check_start
from keras_transformer.run.validations import Validations
from keras_transformer.tasks.translator import Translator
from keras_transformer.training import (
    Checkpoints,
    NonFiniteLoss,
    SaveOnSignal,
    WorkerLost,
    get_strategy,
)
from keras_transformer.training.freezing import trainable_count
from keras_transformer.training.metrics_file import read_metrics
from keras_transformer.training.strategy import alone, is_chief, wait_for_all


def train(config: RunConfig, folder: str | os.PathLike, verbose: int = 1) -> Translator:
    """Trains a translator in a folder, or goes on where the folder's run stopped.

    The folder holds `config.json`, the tokenizers, `checkpoints/`, `metrics.csv`,
    TensorBoard's logs and at the end `translator/`, for `Translator.load`,
    `MODEL_CARD.md`, and with LoRA `adapter.safetensors`.

    Called again with the same configuration it goes on from the last checkpoint, on the
    data that come next. More `steps` prolong a run, unless its learning rate ends at
    them. Texts, and what the run started from, may be moved. `patience`, `keep`,
    `samples`, `skip_nonfinite` and `strategy` may change; any other change is an error.
    A start that has left no checkpoint binds to nothing.

    The texts are tokenized once, when the run starts, into a folder of `corpora/`
    beside the run's folder; the environment variable `KERAS_TRANSFORMER_CORPORA` names
    another place. Runs of the same texts and tokenizers share it.

    While it trains, the folder's file `lock.json` keeps other processes out. SIGTERM
    and Ctrl-C save a checkpoint within an update.

    With the strategy `"multi_worker"` each worker calls it, on a folder that all of
    them see; the first one writes.

    Args:
        config: A `RunConfig`.
        folder: The run's folder; it is created.
        verbose: 0, 1 for progress bars or 2 for a line an epoch.

    Returns:
        The trained `Translator`, of the checkpoints that `keep` names: its weights are
        the mean of the last ones by default.

    Raises:
        ValueError: Before anything is written: if the texts or the model's arguments
            are wrong, or the folder holds a run with another configuration, other texts
            or another vocabulary, whose differences are named; and if another process
            trains in the folder.
        FileNotFoundError: If a text isn't there.
        kt.training.NonFiniteLoss: If the loss isn't finite; the step, a file with its
            batch and the last good checkpoint are named.
        kt.training.Preempted: After SIGTERM or Ctrl-C and a checkpoint; called again,
            training goes on.
        kt.training.WorkerLost: If another worker has died; called again on all of them,
            training goes on.
        TypeError: If `config` is no `RunConfig`, or `folder` no path.

    Example:

    >>> config = kt.RunConfig("train.en", "train.de", "val.en", "val.de", steps=5000)
    >>> translator = kt.train(config, "runs/en-de")
    """
    if not isinstance(config, RunConfig):
        raise arguments.ArgumentTypeError(
            f"config must be a kt.RunConfig; received config={config!r}."
        )
    folder = arguments.path("folder", folder)
    verbose = arguments.integer("verbose", verbose, minimum=0)
    # Before all work: workers meet before TensorFlow does anything else.
    strategy = get_strategy(config.strategy)
    _check_accumulation(config, strategy)
    run = RunFolder(folder, config)
    if not run.is_started:
        check_start(config)
    chief = run.checkpoints.write = is_chief(strategy)
    lock = locked(run.path) if chief else contextlib.nullcontext()
    with lock, _other_workers_watched(strategy):
        if chief:
            run.prepare()
            prepare_corpora(run, verbose)
        while True:
            wait_for_all(strategy)
            try:
                return _go_on(run, strategy, verbose if chief else 0)
            except NonFiniteLoss as error:
                if len(run.skipped) >= config.skip_nonfinite:
                    raise
                wait_for_all(strategy)
                if chief:
                    print(f"{error} This update is left out from now on.")
                    run.skip(error.update)


def _go_on(run, strategy, verbose):
    """Trains from the last checkpoint, or from the start, to the end."""
    config = run.config
    # Seeds whatever draws without a seed of its own: weights and dropout. It comes
    # first because TensorFlow drops the tokenizers' tables when it is seeded.
    keras.utils.set_random_seed(config.seed)
    tokenizers = run.tokenizers()
    batches, validation = data_of_run(config, tokenizers, strategy, corpora_of_run(run))
    saved = run.checkpoints.latest()
    with strategy.scope():
        if saved:
            model = load_checkpoint(saved)
        elif run.is_started:
            raise ValueError(
                f"No checkpoint in {run.checkpoints.folder} is whole. Copy one from a "
                "backup, or remove the folder to start from the beginning."
            )
        else:
            model = new_model(config, *tokenizers)
    settings = run.translator_settings()
    translator = Translator(model, *tokenizers, **settings)
    step = run.checkpoints.step = Checkpoints.step_of(saved) if saved else 0
    if verbose:
        print(_summary(config, batches, model, step))
    signals = SaveOnSignal(run.checkpoints)
    noted = run.noted_epoch(step) if saved else None
    # What is trained again, or was left unfinished, isn't known.
    epoch = noted[0] if noted else step // config.steps_per_epoch
    validations = _validations(run, epoch)
    until_saved, after = run_callbacks(
        run, strategy, translator, batches, validation, validations, verbose
    )
    try:
        if noted:
            run.checkpoints.saved_step = step
            _end_epoch(model, [signals, *after], *noted)
        for done, epoch, end, steps_per_epoch in _fits(step, config):
            if validations.is_over:
                break
            model.fit(
                batches.from_step(done, without=run.skipped),
                initial_epoch=epoch,
                epochs=end,
                steps_per_epoch=steps_per_epoch * config.accumulation_steps,
                callbacks=[*until_saved, signals, *after],
                # The batches come in the order of the seed.
                shuffle=False,
                verbose=verbose,
            )
    finally:
        signals.restore()
    # The chief has written the last checkpoint.
    wait_for_all(strategy)
    chief = is_chief(strategy)
    with strategy.scope():
        model = final_model(run, model, validations, writes=chief)
    translator = Translator(model, *tokenizers, **settings)
    if chief:
        with alone():
            translator.save(run.path / "translator")
        write_model_card(run, model, batches, validation, validations)
    if verbose and validations.measured:
        print(_of_validations(validations))
    wait_for_all(strategy)
    return translator


def _validations(run, epoch):
    """What is known of the validations before an epoch."""
    config = run.config
    rows = []
    if run.is_started and run.metrics.exists():
        rows = read_metrics(run.metrics)
    validations = Validations(
        rows,
        run.checkpoints,
        config.monitor,
        config.patience,
        config.steps_per_epoch,
    )
    validations.forget_from(epoch)
    return validations


def _of_validations(validations):
    """Their table, and why training has stopped where it has before its last step."""
    lines = [validations.table()]
    if validations.is_over:
        lines.append(
            f"stopped: no better {validations.monitor} in {validations.since_best} "
            f"validations (patience={validations.patience}); the best is that of step "
            f"{validations.best_step:,}"
        )
    return "\n".join(lines)


def _fits(step, config):
    """Yields the calls of `fit`: first step, first epoch, last epoch, steps an epoch.

    A run that was stopped in the middle of an epoch first ends that one.
    """
    epoch, done = divmod(step, config.steps_per_epoch)
    if done and step < config.steps:
        rest = config.steps_per_epoch - done
        yield step, epoch, epoch + 1, rest
        step, epoch = step + rest, epoch + 1
    if step < config.steps:
        last = config.steps // config.steps_per_epoch
        yield step, epoch, last, config.steps_per_epoch


def _end_epoch(model, callbacks, epoch, logs):
    """What was still to do for an epoch when training was stopped."""
    callbacks = keras.callbacks.CallbackList(callbacks, model=model)
    callbacks.on_train_begin()
    callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end(logs)


def _check_accumulation(config, strategy):
    if config.accumulation_steps == 1 or keras.backend.backend() != "tensorflow":
        return
    if strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "Keras 3.15 accumulates no gradients on several devices of TensorFlow; "
            f"received accumulation_steps={config.accumulation_steps}, "
            f"strategy={config.strategy!r}. Use a larger tokens_per_batch, one device, "
            "or the backend JAX."
        )


@contextlib.contextmanager
def _other_workers_watched(strategy):
    """Says in words what TensorFlow's errors mean when another worker has died."""
    if keras.backend.backend() != "tensorflow" or strategy.num_replicas_in_sync == 1:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        words = "Collective ops is aborted"
        if words not in error.message:
            raise
        reason = error.message[error.message.index(words) :].splitlines()[0]
        raise WorkerLost(reason) from error


def _summary(config, batches, model, step):
    report = batches.report
    parameters = f"{model.count_params():,} parameters"
    trained = trainable_count(model)
    if trained < model.count_params():
        parameters += f", {trained:,} of them trained"
    start = f"going on from step {step:,}" if step else "from the start"
    lines = [
        f"{report.pairs:,} pairs, {report.source_tokens:,} source and "
        f"{report.target_tokens:,} target tokens; {parameters}; "
        f"{config.steps:,} steps, {start}"
    ]
    if report.dropped:
        lines.append(f"left out: {left_out(report.dropped)}")
    return "\n".join(lines + mixture_in_words(config, report))
