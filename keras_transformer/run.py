"""A training run in a folder: reproducible from its configuration, resumable."""

import dataclasses
import json
import os
import pathlib

import keras

from keras_transformer import evaluation
from keras_transformer.models.transformer import Transformer
from keras_transformer.text import Tokenizer, make_batches, read_pairs, train_tokenizer
from keras_transformer.training import (
    Checkpoints,
    MaskedCrossentropy,
    SaveOnSignal,
    StopOnNonFiniteLoss,
    WarmupInverseSqrt,
    average_checkpoints,
    get_strategy,
)
from keras_transformer.translator import Translator


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that a run's result depends on.

    Args:
        source: Training text, as `kt.text.read_pairs` takes it.
        target: Its target side, unless `source` has both.
        valid_source: Held-out text for validation; none if left out.
        valid_target: Its target side, unless `valid_source` has both.
        preset: Name of the model's size, see `kt.models.PRESETS`.
        model: Arguments of `kt.Transformer` that override the preset's.
        vocabulary_size: Number of ids of a tokenizer.
        joint_vocabulary: Whether source and target share one tokenizer.
        tokenizer: Further arguments of `kt.text.train_tokenizer`.
        tokens_per_batch: Most tokens a batch holds on either side.
        max_length: Most tokens of a sentence; longer pairs are left out.
        steps: Number of updates.
        steps_per_epoch: Updates between validations and checkpoints.
        peak_learning_rate: Highest learning rate of the schedule; by default
            equation 3's, `(hidden_dim * warmup_steps) ** -0.5`.
        warmup_steps: Updates that the learning rate grows.
        label_smoothing: Label smoothing.
        average_last: Number of last checkpoints that make the final model.
        bleu_sentences: Held-out pairs translated after each epoch, greedily, for BLEU.
        strategy: Distribution strategy, see `kt.training.get_strategy`.
        seed: Seed of weights, dropout and order.
    """

    source: str
    target: str | None = None
    valid_source: str | None = None
    valid_target: str | None = None
    preset: str = "tiny"
    model: dict = dataclasses.field(default_factory=dict)
    vocabulary_size: int = 8000
    joint_vocabulary: bool = True
    tokenizer: dict = dataclasses.field(default_factory=dict)
    tokens_per_batch: int = 4096
    max_length: int | None = None
    steps: int = 10_000
    steps_per_epoch: int = 250
    peak_learning_rate: float | None = None
    warmup_steps: int = 4000
    label_smoothing: float = 0.1
    average_last: int = 5
    bleu_sentences: int = 200
    strategy: str = "auto"
    seed: int = 1

    def __post_init__(self):
        for name in ("steps", "steps_per_epoch", "average_last", "vocabulary_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be positive; received {name}={getattr(self, name)}."
                )
        if self.steps % self.steps_per_epoch:
            raise ValueError(
                "steps must be a multiple of steps_per_epoch; received "
                f"steps={self.steps}, steps_per_epoch={self.steps_per_epoch}."
            )


def train(config, folder, verbose=1):
    """Trains a translator in a folder, or goes on where the folder's run stopped.

    The folder holds `config.json`, the tokenizers, `checkpoints/`, `metrics.csv`,
    TensorBoard's logs and at the end `translator/`, for `Translator.load`. Called
    again with the same configuration it goes on from the last checkpoint, on the data
    that come next. More `steps` prolong a run; any other change is an error.

    Args:
        config: A `RunConfig`.
        folder: The run's folder; it is created.
        verbose: 0, 1 for progress bars or 2 for a line an epoch.

    Returns:
        The trained `Translator`, its weights the mean of the last checkpoints.

    Raises:
        ValueError: If the folder holds a run with another configuration; the
            differences are named.
        FloatingPointError: If the loss isn't finite; the step, a file with its batch
            and the last good checkpoint are named.
        kt.training.Preempted: After a SIGTERM and a checkpoint; called again, training
            goes on.

    Example:

    >>> config = RunConfig("train.en", "train.de", "val.en", "val.de", steps=5000)
    >>> translator = train(config, "runs/en-de")
    """
    folder = pathlib.Path(folder)
    _check_same_run(config, folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Seeds whatever draws without a seed of its own: weights and dropout. It comes
    # first because TensorFlow drops the tokenizers' tables when it is seeded.
    keras.utils.set_random_seed(config.seed)
    source_tokenizer, target_tokenizer = _tokenizers(config, folder)
    _write_aside(
        folder / "config.json", json.dumps(dataclasses.asdict(config), indent=2)
    )
    batches, validation = _data(config, source_tokenizer, target_tokenizer)
    checkpoints = Checkpoints(folder / "checkpoints", keep=max(5, config.average_last))
    saved = checkpoints.latest()
    with get_strategy(config.strategy).scope():
        if saved:
            model = keras.models.load_model(saved)
        else:
            model = _new_model(config, source_tokenizer, target_tokenizer)
    step = int(model.optimizer.iterations)
    translator = Translator(model, source_tokenizer, target_tokenizer)
    if verbose:
        print(_summary(config, batches, model, step))
    if step < config.steps:
        callbacks = [
            StopOnNonFiniteLoss(batches.from_step, folder, checkpoints),
            SaveOnSignal(checkpoints),
            checkpoints,
        ]
        if config.valid_source and config.bleu_sentences:
            callbacks.insert(0, _held_out_bleu(config, translator))
        callbacks += [
            keras.callbacks.CSVLogger(folder / "metrics.csv", append=bool(saved)),
            keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
        ]
        for done, epoch, end, steps_per_epoch in _fits(step, config):
            model.fit(
                batches.from_step(done),
                validation_data=validation,
                initial_epoch=epoch,
                epochs=end,
                steps_per_epoch=steps_per_epoch,
                callbacks=callbacks,
                verbose=verbose,
            )
    average_checkpoints(model, checkpoints.paths()[-config.average_last :])
    translator.save(folder / "translator")
    return translator


def _fits(step, config):
    """Yields the calls of `fit`: first step, first epoch, last epoch, steps an epoch.

    A run that was stopped in the middle of an epoch first ends that one.
    """
    epoch, done = divmod(step, config.steps_per_epoch)
    if done:
        rest = config.steps_per_epoch - done
        yield step, epoch, epoch + 1, rest
        step, epoch = step + rest, epoch + 1
    if step < config.steps:
        last = config.steps // config.steps_per_epoch
        yield step, epoch, last, config.steps_per_epoch


class HeldOutBleu(keras.callbacks.Callback):
    """Translates held-out sentences after each epoch and logs `val_bleu`.

    Place it before loggers in the list of callbacks, so that they see the figure.

    Args:
        translator: A `Translator` of the model in training.
        sources: List of strings to translate.
        references: List of strings, their translations.
        beam_size: Number of hypotheses; greedy by default, for speed.

    Example:

    >>> model.fit(batches, callbacks=[HeldOutBleu(translator, sources, references)])
    """

    def __init__(self, translator, sources, references, beam_size=1):
        super().__init__()
        self.translator = translator
        self.sources = sources
        self.references = references
        self.beam_size = beam_size

    def on_epoch_end(self, epoch, logs=None):
        hypotheses = self.translator.translate(self.sources, beam_size=self.beam_size)
        score, _ = evaluation.bleu(hypotheses, self.references)
        if logs is not None:
            logs["val_bleu"] = score


def _check_same_run(config, folder):
    path = folder / "config.json"
    if not path.exists():
        return
    before, now = json.loads(path.read_text()), dataclasses.asdict(config)
    changed = [
        f"{name}: {before.get(name)!r} before, {now[name]!r} now"
        for name in now
        if before.get(name) != now[name] and name not in ("steps", "strategy")
    ]
    if changed:
        raise ValueError(
            f"folder={str(folder)!r} holds a run with another configuration. "
            "Use another folder, or the same configuration to go on. Different are "
            + "; ".join(changed)
            + "."
        )


def _tokenizers(config, folder):
    paths = folder / "source.spm", folder / "target.spm"
    files = [
        [config.source],
        [config.target if config.target else config.source],
    ]
    if config.joint_vocabulary:
        files, paths = [sorted(set(files[0] + files[1]))], paths[:1]
    for path, texts in zip(paths, files):
        if not path.exists():
            tokenizer = train_tokenizer(
                texts, config.vocabulary_size, **config.tokenizer
            )
            tokenizer.save(path)
    tokenizers = [Tokenizer.load(path) for path in paths]
    return tokenizers[0], tokenizers[-1]


def _data(config, source_tokenizer, target_tokenizer):
    common = {
        "source_tokenizer": source_tokenizer,
        "target_tokenizer": target_tokenizer,
        "tokens_per_batch": config.tokens_per_batch,
        "max_length": config.max_length,
    }
    batches = make_batches(config.source, config.target, seed=config.seed, **common)
    validation = None
    if config.valid_source:
        validation = make_batches(
            config.valid_source,
            config.valid_target,
            shuffle=False,
            repeat=False,
            **common,
        )
    return batches, validation


def _new_model(config, source_tokenizer, target_tokenizer):
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
    if config.peak_learning_rate is None:
        schedule = WarmupInverseSqrt(hidden_dim, config.warmup_steps)
    else:
        schedule = WarmupInverseSqrt.from_peak(
            config.peak_learning_rate, hidden_dim, config.warmup_steps
        )
    model.compile(
        keras.optimizers.Adam(schedule, beta_1=0.9, beta_2=0.98, epsilon=1e-9),
        MaskedCrossentropy(config.label_smoothing),
    )
    return model


def _held_out_bleu(config, translator):
    pairs = read_pairs(config.valid_source, config.valid_target)
    pairs = [pair for _, pair in zip(range(config.bleu_sentences), pairs)]
    return HeldOutBleu(translator, *map(list, zip(*pairs)))


def _summary(config, batches, model, step):
    report = batches.report
    start = f"going on from step {step:,}" if step else "from the start"
    return (
        f"{report.pairs:,} pairs, {report.source_tokens:,} source and "
        f"{report.target_tokens:,} target tokens; {model.count_params():,} parameters; "
        f"{config.steps:,} steps, {start}"
    )


def _write_aside(path, text):
    aside = path.with_name(f"{path.name}.writing-{os.getpid()}")
    aside.write_text(text + "\n")
    os.replace(aside, path)
