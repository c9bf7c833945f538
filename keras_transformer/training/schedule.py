"""Learning rates by step: that of section 5.3, and others after a warm-up."""

import keras
from keras import ops

from keras_transformer import arguments
from keras_transformer.training.schedule_names import SCHEDULES, check_decay


@keras.saving.register_keras_serializable(package="keras_transformer")
class WarmupInverseSqrt(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a decay with the inverse square root of the step.

    `rate = scale * hidden_dim^-0.5 * min(step^-0.5, step * warmup_steps^-1.5)`
    (equation 3). Its peak, at `warmup_steps`, is
    `scale * (hidden_dim * warmup_steps)^-0.5`.

    Args:
        hidden_dim: Width D of the model.
        warmup_steps: Number of steps that the rate grows.
        scale: Factor on the whole; see `from_peak`.
        accumulation_steps: The optimizer's `gradient_accumulation_steps`, if it has
            any: Keras counts each of them, the schedule whole updates only.

    Call arguments:
        step: The optimizer's `iterations`, 0 at the first step, which counts as
            step 1.

    Returns:
        The learning rate, a float32 scalar.

    Raises:
        TypeError: If an argument is no number, or a count no integer.
        ValueError: If an argument isn't positive.

    Example:

    >>> schedule = WarmupInverseSqrt(hidden_dim=512, warmup_steps=4000)
    >>> optimizer = kt.training.Adam(schedule)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 5.3.
    """

    def __init__(self, hidden_dim, warmup_steps=4000, scale=1.0, accumulation_steps=1):
        self.hidden_dim = arguments.integer("hidden_dim", hidden_dim)
        self.warmup_steps = arguments.number("warmup_steps", warmup_steps, above=0)
        self.scale = arguments.number("scale", scale, above=0)
        self.accumulation_steps = arguments.integer(
            "accumulation_steps", accumulation_steps
        )

    @classmethod
    def from_peak(cls, peak, hidden_dim, warmup_steps=4000, accumulation_steps=1):
        """The schedule whose highest learning rate is `peak`, at `warmup_steps`."""
        peak = arguments.number("peak", peak, above=0)
        hidden_dim = arguments.integer("hidden_dim", hidden_dim)
        warmup_steps = arguments.number("warmup_steps", warmup_steps, above=0)
        scale = peak * (hidden_dim * warmup_steps) ** 0.5
        return cls(hidden_dim, warmup_steps, scale, accumulation_steps)

    def __call__(self, step):
        step = ops.cast(step // self.accumulation_steps, "float32") + 1.0
        growing = step * self.warmup_steps**-1.5
        decaying = 1.0 / ops.sqrt(step)
        return self.scale * self.hidden_dim**-0.5 * ops.minimum(growing, decaying)

    def get_config(self):
        return {
            "hidden_dim": self.hidden_dim,
            "warmup_steps": self.warmup_steps,
            "scale": self.scale,
            "accumulation_steps": self.accumulation_steps,
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class WithWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, and then another schedule, of Keras's for example.

    `rate = schedule(0) * step / warmup_steps` up to step `warmup_steps`, and
    `schedule(step - warmup_steps)` from then on.

    Args:
        schedule: A number, or a `LearningRateSchedule` such as
            `keras.optimizers.schedules.CosineDecay`.
        warmup_steps, accumulation_steps: As of `WarmupInverseSqrt`, with the same
            errors.

    Call arguments:
        step: The optimizer's `iterations`.

    Returns:
        The learning rate, a float32 scalar.

    Example:

    >>> decay = keras.optimizers.schedules.CosineDecay(3e-4, decay_steps=900)
    >>> schedule = WithWarmup(decay, warmup_steps=100)
    >>> [round(float(schedule(step)), 6) for step in (0, 99, 999)]
    [3e-06, 0.0003, 0.0]

    References:
        - Linear warm-up: [Goyal et al. 2017](https://arxiv.org/abs/1706.02677)
        - Cosine: [SGDR](https://arxiv.org/abs/1608.03983)
        - Linear decay: [BERT](https://arxiv.org/abs/1810.04805)
    """

    def __init__(self, schedule, warmup_steps=4000, accumulation_steps=1):
        if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            schedule = arguments.number("schedule", schedule, above=0)
        self.schedule = schedule
        self.warmup_steps = arguments.integer("warmup_steps", warmup_steps)
        self.accumulation_steps = arguments.integer(
            "accumulation_steps", accumulation_steps
        )

    def __call__(self, step):
        step = ops.cast(step // self.accumulation_steps, "float32") + 1.0
        share = ops.minimum(step / self.warmup_steps, 1.0)
        # During the warm-up the schedule stands at its start.
        return share * self._rate(ops.maximum(step - self.warmup_steps, 0.0))

    def _rate(self, step):
        return self.schedule(step) if callable(self.schedule) else self.schedule

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "warmup_steps": self.warmup_steps,
            "accumulation_steps": self.accumulation_steps,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(**{**config, "schedule": schedule})


def make_schedule(
    name, peak, steps, hidden_dim, *, warmup_steps=4000, accumulation_steps=1
):
    """A learning rate schedule by its name.

    | name | after the warm-up | from |
    | --- | --- | --- |
    | `"inverse_square_root"` | falls with the inverse square root of the step | [Attention Is All You Need](https://arxiv.org/abs/1706.03762), equation 3 |
    | `"constant"` | stays at its peak | [Goyal et al. 2017](https://arxiv.org/abs/1706.02677) |
    | `"linear"` | falls on a line to 0 at the last step | [BERT](https://arxiv.org/abs/1810.04805) |
    | `"cosine"` | falls on half a cosine to 0 at the last step | [SGDR](https://arxiv.org/abs/1608.03983) |

    Args:
        name: One of these.
        peak: Highest learning rate, at `warmup_steps`; None for equation 3's,
            `(hidden_dim * warmup_steps) ** -0.5`.
        steps: Number of updates of the whole training.
        hidden_dim: Width D of the model.
        warmup_steps: Updates that the rate grows.
        accumulation_steps: Number of batches that make one update.

    Returns:
        A `LearningRateSchedule`.

    Raises:
        ValueError: For an unknown name, or a number that is out of range; also if a
            rate that falls to 0 has no step left after the warm-up.

    Example:

    >>> schedule = make_schedule("cosine", 3e-4, 1000, 512, warmup_steps=100)
    """  # noqa: E501
    if name not in SCHEDULES or name == "plateau":
        known = ", ".join(each for each in SCHEDULES if each != "plateau")
        raise ValueError(f"schedule must be one of {known}; received {name!r}.")
    counts = {"warmup_steps": warmup_steps, "accumulation_steps": accumulation_steps}
    if name == "inverse_square_root":
        if peak is None:
            return WarmupInverseSqrt(hidden_dim, **counts)
        return WarmupInverseSqrt.from_peak(peak, hidden_dim, **counts)
    warmup_steps = arguments.integer("warmup_steps", warmup_steps)
    if peak is None:
        peak = default_peak(hidden_dim, warmup_steps)
    peak = arguments.number("peak", peak, above=0)
    if name == "constant":
        return WithWarmup(peak, **counts)
    steps = arguments.integer("steps", steps)
    check_decay(name, steps, warmup_steps)
    decay_steps = steps - warmup_steps
    if name == "cosine":
        decay = keras.optimizers.schedules.CosineDecay(peak, decay_steps)
    else:
        decay = keras.optimizers.schedules.PolynomialDecay(
            peak, decay_steps, end_learning_rate=0.0
        )
    return WithWarmup(decay, **counts)


def default_peak(hidden_dim, warmup_steps):
    """The highest rate of equation 3: `(hidden_dim * warmup_steps) ** -0.5`."""
    return (hidden_dim * warmup_steps) ** -0.5
