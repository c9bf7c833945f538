"""The optimizer of section 5.3: Adam, clipping exactly on several replicas."""

import keras
from keras import ops

from keras_transformer import arguments, kernels
from keras_transformer.training.strategy import sum_over_replicas


@keras.saving.register_keras_serializable(package="keras_transformer")
class Adam(keras.optimizers.Adam):
    """Keras's Adam with the paper's constants.

    Under a `tf.distribute` strategy gradients are clipped after they have been summed
    over the replicas: the norm is that of the global batch's gradient. Keras 3.15 clips
    each replica's part alone, which gives another result.

    On TensorFlow a variable is updated by one operation instead of twenty, to the same
    value: steps are faster, and the first, which traces them, more so.

    Args:
        learning_rate: A number or a schedule, such as `kt.training.WarmupInverseSqrt`.
        beta_1: Decay of the mean of gradients.
        beta_2: Decay of the mean of their squares.
        epsilon: What is added to the root of that mean.
        warmup_steps: Number of updates in which the rate grows to `learning_rate`, on a
            line; none by default. For a rate that is a number, which callbacks such as
            `ReduceLROnPlateau` set; schedules have a warm-up of their own.
        **kwargs: Other arguments of `keras.optimizers.Adam`: `global_clipnorm`,
            `clipnorm`, `clipvalue`, `gradient_accumulation_steps`, `weight_decay` ...
            None leaves each of them out.

    Raises:
        TypeError: For a setting that is no number, or a count that is no integer.
        ValueError: For a setting that means nothing, such as a norm of 0 to clip to.

    Example:

    >>> schedule = kt.training.WarmupInverseSqrt(512)
    >>> model.compile(kt.training.Adam(schedule, global_clipnorm=1.0), loss)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 5.3.
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.98,
        epsilon=1e-9,
        *,
        warmup_steps=0,
        **kwargs,
    ):
        kwargs = {name: _checked(name, value) for name, value in kwargs.items()}
        if not callable(learning_rate):
            learning_rate = arguments.number("learning_rate", learning_rate, minimum=0)
            learning_rate = float(learning_rate)
        super().__init__(
            learning_rate,
            arguments.number("beta_1", beta_1, minimum=0, below=1),
            arguments.number("beta_2", beta_2, minimum=0, below=1),
            arguments.number("epsilon", epsilon, above=0),
            **kwargs,
        )
        self.warmup_steps = arguments.integer("warmup_steps", warmup_steps, 0)
        if self.warmup_steps and callable(learning_rate):
            raise ValueError(
                "warmup_steps is for a learning_rate that is a number; received "
                f"warmup_steps={warmup_steps} and the schedule {learning_rate!r}. Use "
                "kt.training.WithWarmup(schedule, warmup_steps)."
            )

    def get_config(self):
        config = super().get_config()
        if self.warmup_steps:
            config["warmup_steps"] = self.warmup_steps
        return config

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if self.warmup_steps:
            # Keras's `iterations` counts updates, whatever is accumulated.
            share = (ops.cast(self.iterations, "float32") + 1.0) / self.warmup_steps
            learning_rate = learning_rate * ops.minimum(share, 1.0)
        rate = kernels.adam_rate(self, learning_rate)
        super()._backend_update_step(grads, trainable_variables, rate)

    def update_step(self, gradient, variable, learning_rate):
        """One variable's step; all of them share what `adam_rate` made of the rate."""
        kernels.adam_step(self, gradient, variable, learning_rate)

    def _clip_gradients(self, grads):
        if self._clips:
            grads = sum_over_replicas(grads)
        return super()._clip_gradients(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        if self._clips:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    @property
    def _clips(self):
        return any((self.clipnorm, self.global_clipnorm, self.clipvalue))


def _checked(name, value):
    """An argument of Keras's Adam; Keras takes 0 and numbers below for None."""
    if value is None:
        return None
    if name in ("clipnorm", "global_clipnorm", "clipvalue", "loss_scale_factor"):
        return arguments.number(name, value, above=0)
    if name == "weight_decay":
        return arguments.number(name, value, minimum=0)
    if name == "ema_overwrite_frequency":
        return arguments.integer(name, value)
    if name == "gradient_accumulation_steps":
        # Of one batch each update is made anyway, and Keras refuses the number.
        return None if arguments.integer(name, value) == 1 else int(value)
    return value
