"""What a run's result depends on."""

import dataclasses
import difflib
import inspect
import json
import math
import numbers
from collections.abc import Collection, Iterable
from typing import Any

from keras_transformer.models.presets import PRESETS
from keras_transformer.run.consistency import (
    check_initial,
    check_uses,
    check_validation,
)
from keras_transformer.run.texts import checked_texts
from keras_transformer.training.freezing import check_parts
from keras_transformer.training.schedule_names import SCHEDULES, check_decay
from keras_transformer.training.strategy_names import STRATEGIES


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that a run's result depends on.

    Args:
        source: Training text: source sentences, one a line; a TSV or TMX of both sides;
            `tfds:NAME:SPLIT:SOURCE:TARGET`, see `kt.data.read_pairs`; or the folder of
            a prepared corpus, whose tokenizers count then. Several corpora are a list,
            on the command line with commas between them.
        target: Its target side, unless `source` has both. For several corpora a list,
            with None for one whose source has both.
        valid_source: Held-out text for validation; none if left out.
        valid_target: Its target side, unless `valid_source` has both.
        initial: What the run starts from instead of random weights: the folder of a
            saved translator, of a run or of a Marian model, or a Marian model's name on
            the Hugging Face Hub. The run has its model and its tokenizers.
        freeze: Names of parts that aren't trained, such as `encoder` and `embeddings`;
            see `kt.training.freeze`.
        lora_rank: Rank of the updates that are trained instead of the weights of
            `initial`; see `kt.training.enable_lora`.
        columns: The source's and the target's column in each TSV: numbers from 1, or
            names in its first row.
        source_language: The source's language in each TMX, such as `en`.
        target_language: The target's language in each TMX.
        weights: How much of each corpus a batch holds, by number of pairs; only the
            ratios count. By default as `temperature` says.
        temperature: Mixes corpora by their sizes to the power of `1 / temperature`: 1,
            the default, takes each pair equally often; higher ones take small corpora
            more often.
        tags: Token in front of each source sentence, one for each corpus, such as
            `<2de>`, or None, on the command line an empty one. Held-out text and texts
            to translate begin with it themselves.
        filters: Arguments of `kt.data.Filters`: which training pairs are left out.
        bpe_dropout: Probability that BPE leaves out a merge, so that sentences are
            split anew each time they are trained on; 0.1 is usual.
        unigram_alpha: For a tokenizer of type unigram: sentences are split anew each
            time, with the splits' probabilities to this power; 0.2 is usual.
        preset: Name of the model's size, see `kt.models.PRESETS`.
        model: Arguments of `kt.Transformer` that override the preset's.
        vocabulary_size: Number of ids of a tokenizer.
        joint_vocabulary: Whether source and target share one tokenizer.
        tokenizer: Further arguments of `kt.text.train_tokenizer`.
        tokens_per_batch: Most tokens a batch holds on either side.
        max_length: Most tokens of a sentence; longer pairs are left out.
        steps: Number of updates.
        steps_per_epoch: Updates between validations and checkpoints.
        schedule: How the learning rate changes after the warm-up:
            `"inverse_square_root"`, the paper's; `"constant"`; `"linear"` or
            `"cosine"`, which fall to 0 at the last step; or `"plateau"`, which falls
            when validations don't improve. See `kt.training.make_schedule`.
        peak_learning_rate: Highest learning rate of the schedule; by default
            equation 3's, `(hidden_dim * warmup_steps) ** -0.5`.
        warmup_steps: Updates that the learning rate grows.
        plateau_factor: What the schedule `"plateau"` multiplies the rate by.
        plateau_patience: Number of validations in a row without a better one after
            which it does so.
        label_smoothing: Label smoothing.
        patience: Number of validations in a row without a better one after which
            training stops. None for all of `steps`.
        monitor: What tells which validation is better: `"val_loss"` or `"val_bleu"`.
        keep: Which checkpoints make the final model: `"average"`, the mean of the last
            ones; `"best"`, the one of the best validation; or `"last"`.
        average_last: Number of last checkpoints of `keep="average"`.
        accumulation_steps: Number of batches whose gradients make one update: the
            paper's 25,000 tokens are 6 batches of 4,096. The result is that of one
            large batch.
        clip_norm: Largest norm of the gradient of all weights; longer ones are scaled
            down to it. None as in the paper.
        skip_nonfinite: Number of times that a loss which isn't finite is passed over:
            training goes back to the last checkpoint and leaves that update's batches
            out. By default it stops the run.
        bleu_sentences: Held-out pairs translated after each epoch, greedily, for BLEU.
        samples: Held-out pairs whose translations and attention TensorBoard shows after
            each epoch.
        strategy: Distribution strategy, see `kt.training.get_strategy`.
        seed: Seed of weights, dropout and order.

    Raises:
        ValueError: For a value out of range, or an argument of `model` or `tokenizer`
            that there isn't.
        TypeError: For a value of another type.
    """

    source: str | list[str]
    target: str | list[str | None] | None = None
    valid_source: str | None = None
    valid_target: str | None = None
    initial: str | None = None
    freeze: list = dataclasses.field(default_factory=list)
    lora_rank: int | None = None
    preset: str = "tiny"
    model: dict = dataclasses.field(default_factory=dict)
    vocabulary_size: int = 8000
    joint_vocabulary: bool = True
    tokenizer: dict = dataclasses.field(default_factory=dict)
    tokens_per_batch: int = 4096
    max_length: int | None = None
    steps: int = 10_000
    steps_per_epoch: int = 250
    schedule: str = "inverse_square_root"
    peak_learning_rate: float | None = None
    warmup_steps: int = 4000
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    label_smoothing: float = 0.1
    patience: int | None = None
    monitor: str = "val_loss"
    keep: str = "average"
    average_last: int = 5
    accumulation_steps: int = 1
    clip_norm: float | None = None
    skip_nonfinite: int = 0
    bleu_sentences: int = 200
    samples: int = 8
    strategy: str = "auto"
    seed: int = 1
    columns: list[int | str] | None = None
    source_language: str | None = None
    target_language: str | None = None
    weights: list[float] | None = None
    temperature: float | None = None
    tags: list[str | None] | None = None
    filters: dict = dataclasses.field(default_factory=dict)
    bpe_dropout: float = 0.0
    unigram_alpha: float | None = None

    def __post_init__(self):
        for name, value in checked_texts(self).items():
            object.__setattr__(self, name, value)
        for name, (lowest, optional) in _WHOLE.items():
            value = getattr(self, name)
            if value is None and optional:
                continue
            number = _plain(name, value, numbers.Integral, int, "an int")
            object.__setattr__(self, name, number)
            _check(name, number, number >= lowest, f"at least {lowest}")
        for name, (fits, words, optional) in _REAL.items():
            value = getattr(self, name)
            if value is None and optional:
                continue
            number = _plain(name, value, numbers.Real, float, "a number")
            object.__setattr__(self, name, number)
            _check(name, number, math.isfinite(number) and fits(number), words)
        if self.seed >= 2**32:
            _check("seed", self.seed, False, "less than 2 ** 32")
        if not isinstance(self.joint_vocabulary, bool):
            raise TypeError(
                "joint_vocabulary must be a bool; received "
                f"joint_vocabulary={self.joint_vocabulary!r}."
            )
        if self.steps % self.steps_per_epoch:
            raise ValueError(
                "steps must be a multiple of steps_per_epoch; received "
                f"steps={self.steps}, steps_per_epoch={self.steps_per_epoch}."
            )
        if self.max_length is not None and self.max_length > self.tokens_per_batch:
            raise ValueError(
                "max_length must be at most tokens_per_batch; received "
                f"max_length={self.max_length}, "
                f"tokens_per_batch={self.tokens_per_batch}."
            )
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            _check(name, value, value in choices, f"one of {', '.join(choices)}")
        for name in ("model", "tokenizer"):
            value = getattr(self, name)
            _check_arguments(name, value)
            object.__setattr__(self, name, _as_json(name, value))
        object.__setattr__(self, "freeze", list(check_parts(self.freeze)))
        if self.filters != {}:
            # Not at the top: it imports NumPy, which help needs not.
            from keras_transformer.data.filters import Filters

            filters = Filters.from_json(self.filters)
            object.__setattr__(self, "filters", filters.to_json())
        check_initial(self)
        check_validation(self)
        check_uses(self)
        check_decay(self.schedule, self.steps, self.warmup_steps)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunConfig":
        """A configuration from a dict of its arguments, as `config.json` holds it.

        Raises:
            ValueError: For an argument that there isn't, with the nearest one's name.
            TypeError: If it has no source.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        refuse_unknown("a run's configuration", values, names)
        if "source" not in values:
            raise TypeError("it has no source, the text to train on.")
        return cls(**values)


def refuse_unknown(what: str, given: Iterable, known: Collection[str]) -> None:
    """Raises a ValueError for names that aren't known, with the nearest known one."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {sorted(known)}."
            raise ValueError(f"{what} has no argument {name!r}; {hint}")


# The values of settings that have but a few.
CHOICES = {
    "preset": sorted(PRESETS),
    "strategy": STRATEGIES,
    "schedule": SCHEDULES,
    "monitor": ("val_loss", "val_bleu"),
    "keep": ("average", "best", "last"),
}
# The lowest value of each, and whether it may be None.
_WHOLE = {
    "vocabulary_size": (1, False),
    "tokens_per_batch": (2, False),
    "max_length": (2, True),
    "steps": (1, False),
    "steps_per_epoch": (1, False),
    "warmup_steps": (1, False),
    "lora_rank": (1, True),
    "plateau_patience": (1, False),
    "patience": (1, True),
    "average_last": (1, False),
    "accumulation_steps": (1, False),
    "skip_nonfinite": (0, False),
    "bleu_sentences": (0, False),
    "samples": (0, False),
    "seed": (0, False),
}
# Which values each may have, that in words, and whether it may be None.
_REAL = {
    "peak_learning_rate": (lambda x: x > 0, "positive and finite", True),
    "clip_norm": (lambda x: x > 0, "positive and finite; None for no clipping", True),
    "label_smoothing": (lambda x: 0 <= x < 1, "at least 0 and less than 1", False),
    "temperature": (lambda x: x > 0, "positive and finite", True),
    "bpe_dropout": (lambda x: 0 <= x < 1, "at least 0 and less than 1", False),
    "unigram_alpha": (lambda x: x > 0, "positive and finite", True),
    "plateau_factor": (lambda x: 0 < x < 1, "more than 0 and less than 1", False),
}
# What a run itself gives `kt.Transformer` and `kt.text.train_tokenizer`.
_TAKEN = {
    "model": ("source_vocabulary_size", "target_vocabulary_size"),
    "tokenizer": ("files", "sentences", "vocabulary_size"),
}


def _plain(name, value, kind, plain, words):
    """A number as JSON writes it; NumPy's are taken too."""
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name} must be {words}; received {name}={value!r}.")
    try:
        return plain(value)
    except OverflowError:
        raise ValueError(f"{name} must be finite; received {name}={value!r}.") from None


def _check(name, value, fits, words):
    if not fits:
        raise ValueError(f"{name} must be {words}; received {name}={value!r}.")


def _check_arguments(name, given):
    """Checks the names of the arguments of a run's model or tokenizer."""
    if not isinstance(given, dict):
        raise TypeError(
            f"{name} must be a dict of arguments; received {name}={given!r}."
        )
    if not given:
        return
    known = []
    for parameter in inspect.signature(_function_of(name)).parameters.values():
        # Further ones of a model are those of every Keras model.
        further = parameter.kind is parameter.VAR_KEYWORD
        known += ["name", "trainable"] if further else [parameter.name]
    refuse_unknown(name, given, [k for k in known if k not in _TAKEN[name]])


def _function_of(name):
    """What takes the arguments; imported here, as it needs Keras or TensorFlow."""
    if name == "model":
        from keras_transformer.models.transformer import Transformer

        return Transformer
    from keras_transformer.text.tokenizer import train_tokenizer

    return train_tokenizer


def _as_json(name, value):
    """A value as it comes back from `config.json`."""
    try:
        return json.loads(json.dumps(value))
    except TypeError as error:
        raise TypeError(
            f"{name} must hold plain values, as JSON has them: {error}; "
            f"received {name}={value!r}."
        ) from None
