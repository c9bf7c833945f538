"""Trains a translator in a folder, and goes on after any stop."""

import contextlib
import itertools

import keras

from keras_transformer.data import Filters
from keras_transformer.data.report import left_out
from keras_transformer.models.transformer import Transformer
from keras_transformer.run.corpora import corpora_of_run, prepare_corpora
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.held_out_bleu import HeldOutBleu
from keras_transformer.run.held_out_loss import HeldOutLoss
from keras_transformer.run.lock import locked
from keras_transformer.run.metrics_file import MetricsFile
from keras_transformer.run.start import check_start
from keras_transformer.run.texts import training_texts, validation_texts
from keras_transformer.tasks.translator import Translator
from keras_transformer.text import make_batches
from keras_transformer.training import (
    Adam,
    Checkpoints,
    MaskedCrossentropy,
    NonFiniteLoss,
    SaveOnSignal,
    StopOnNonFiniteLoss,
    WarmupInverseSqrt,
    WorkerLost,
    average_checkpoints,
    get_strategy,
)
from keras_transformer.training.strategy import alone, is_chief, wait_for_all


def train(config, folder, verbose=1):
    """Trains a translator in a folder, or goes on where the folder's run stopped.

    The folder holds `config.json`, the tokenizers, `checkpoints/`, `metrics.csv`,
    TensorBoard's logs and at the end `translator/`, for `Translator.load`. Called
    again with the same configuration it goes on from the last checkpoint, on the data
    that come next. More `steps` prolong a run and texts may be moved; any other change
    is an error. A start that has left no checkpoint binds to nothing.

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
        The trained `Translator`, its weights the mean of the last checkpoints.

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

    Example:

    >>> config = kt.RunConfig("train.en", "train.de", "val.en", "val.de", steps=5000)
    >>> translator = kt.train(config, "runs/en-de")
    """
    # First of all: workers meet before TensorFlow does anything else.
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
    translator = Translator(model, *tokenizers)
    step = run.checkpoints.step = Checkpoints.step_of(saved) if saved else 0
    if verbose:
        print(_summary(config, batches, model, step))
    signals = SaveOnSignal(run.checkpoints)
    until_saved, after = _callbacks(run, strategy, translator, batches, validation)
    try:
        if saved and (noted := run.noted_epoch(step)):
            run.checkpoints.saved_step = step
            _end_epoch(model, [signals, *after], *noted)
        for done, epoch, end, steps_per_epoch in _fits(step, config):
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
    with strategy.scope():
        average_checkpoints(model, run.checkpoints.paths()[-config.average_last :])
    if is_chief(strategy):
        with alone():
            translator.save(run.path / "translator")
    wait_for_all(strategy)
    return translator


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


def _callbacks(run, strategy, translator, batches, validation):
    """What comes up to an epoch's checkpoint, and what comes after it.

    Validation takes long. A stop in it loses no update, and going on starts with it:
    what the epoch has logged so far is noted in the folder.
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
        pairs = validation_texts(config).pairs()
        pairs = list(itertools.islice(pairs, config.bleu_sentences))
        if pairs:
            after.append(HeldOutBleu(translator, *map(list, zip(*pairs))))
    if chief:
        after += [
            MetricsFile(run.metrics, going_on=run.is_started),
            keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: run.forget_epoch()
            ),
        ]
    return until_saved, after


def _end_epoch(model, callbacks, epoch, logs):
    """What was still to do for an epoch when training was stopped."""
    callbacks = keras.callbacks.CallbackList(callbacks, model=model)
    callbacks.on_train_begin()
    callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end(logs)


def data_of_run(config, tokenizers, strategy, corpora=None):
    """The batches that a run trains on, and those that it is validated on, or None.

    Args:
        config: A `RunConfig`.
        tokenizers: The source's and the target's.
        strategy: The distribution strategy.
        corpora: Folders of the prepared training corpora. Without them the texts are
            read.
    """
    common = {
        "source_tokenizer": tokenizers[0],
        "target_tokenizer": tokenizers[1],
        "tokens_per_batch": config.tokens_per_batch,
        "max_length": config.max_length,
        "num_replicas": strategy.num_replicas_in_sync,
        # On TensorFlow the strategy itself parts the rows.
        "process": getattr(strategy, "process", (0, 1)),
    }
    batches = make_batches(
        **_sources(config) if corpora is None else {"source": corpora},
        seed=config.seed,
        accumulation_steps=config.accumulation_steps,
        weights=config.weights,
        temperature=config.temperature,
        tags=config.tags,
        bpe_dropout=config.bpe_dropout,
        unigram_alpha=config.unigram_alpha,
        **common,
    )
    validation = None
    if texts := validation_texts(config):
        validation = make_batches(
            texts.source,
            texts.target,
            shuffle=False,
            repeat=False,
            **texts.options,
            **common,
        )
    return batches, validation


def _sources(config):
    """Arguments of `make_batches` that say which texts are trained on."""
    texts = training_texts(config)
    reading = {}
    for one in texts:
        reading |= one.options
    filters = Filters.from_json(config.filters) if config.filters else None
    return {
        "source": [one.source for one in texts],
        "target": [one.target for one in texts],
        "filters": filters,
        **reading,
    }


def load_checkpoint(path):
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


def new_model(config, source_tokenizer, target_tokenizer):
    """The compiled model that a run starts with."""
    target_size = None
    if not config.joint_vocabulary:
        target_size = target_tokenizer.vocabulary_size
    model = Transformer.from_preset(
        config.preset,
        source_tokenizer.vocabulary_size,
        target_vocabulary_size=target_size,
        **config.model,
    )
    hidden_dim = model.config["hidden_dim"]
    counts = {
        "warmup_steps": config.warmup_steps,
        "accumulation_steps": config.accumulation_steps,
    }
    if config.peak_learning_rate is None:
        schedule = WarmupInverseSqrt(hidden_dim, **counts)
    else:
        peak = config.peak_learning_rate
        schedule = WarmupInverseSqrt.from_peak(peak, hidden_dim, **counts)
    accumulates = config.accumulation_steps > 1
    optimizer = Adam(
        schedule,
        global_clipnorm=config.clip_norm,
        gradient_accumulation_steps=config.accumulation_steps if accumulates else None,
    )
    model.compile(optimizer, MaskedCrossentropy(config.label_smoothing))
    return model


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
    start = f"going on from step {step:,}" if step else "from the start"
    lines = [
        f"{report.pairs:,} pairs, {report.source_tokens:,} source and "
        f"{report.target_tokens:,} target tokens; {model.count_params():,} parameters; "
        f"{config.steps:,} steps, {start}"
    ]
    if report.dropped:
        lines.append(f"left out: {left_out(report.dropped)}")
    return "\n".join(lines + mixture_in_words(config, report))


def mixture_in_words(config, report):
    """A line for each of several corpora.

    Args:
        config: The `RunConfig`.
        report: The `MixtureReport`, or the `CorpusReport` of one corpus.
    """
    return [
        f"{texts.source}: {corpus.share:.1%} of the pairs of a batch; "
        f"{corpus.report.pairs:,} pairs; left out: {left_out(corpus.report.dropped)}"
        for texts, corpus in zip(training_texts(config), getattr(report, "corpora", ()))
    ]
