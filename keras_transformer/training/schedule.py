"""The learning rate of section 5.3."""

import keras
from keras import ops

from keras_transformer import arguments


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
