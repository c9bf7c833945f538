"""What a run's result depends on."""

import dataclasses


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
        accumulation_steps: Number of batches whose gradients make one update: the
            paper's 25,000 tokens are 6 batches of 4,096. The result is that of one
            large batch.
        clip_norm: Largest norm of the gradient of all weights; longer ones are scaled
            down to it. None as in the paper.
        skip_nonfinite: Number of times that a loss which isn't finite is passed over:
            training goes back to the last checkpoint and leaves that update's batches
            out. By default it stops the run.
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
    accumulation_steps: int = 1
    clip_norm: float | None = None
    skip_nonfinite: int = 0
    bleu_sentences: int = 200
    strategy: str = "auto"
    seed: int = 1

    def __post_init__(self):
        for name in (
            "steps",
            "steps_per_epoch",
            "average_last",
            "accumulation_steps",
            "vocabulary_size",
        ):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be positive; received {name}={getattr(self, name)}."
                )
        if self.steps % self.steps_per_epoch:
            raise ValueError(
                "steps must be a multiple of steps_per_epoch; received "
                f"steps={self.steps}, steps_per_epoch={self.steps_per_epoch}."
            )
