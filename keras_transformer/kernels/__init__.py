"""How the paper's equations are computed fast: the seam between ideas and speed.

Layers and searches call an operation by what it computes, `kernels.linear(...)`. Its
plain form, a few lines of `keras.ops`, is the formula (`plain.py`). `FAST_FORMS` says
which other form takes its place: the first one whose backend, `training` and compiler
are those of the call, and that can take its arguments. The choice is made while a
program is traced, so a compiled program pays nothing for it.

`KERAS_TRANSFORMER_KERNELS=plain` in the environment turns all fast forms off, and so
does the scope `kernels.plain_only()`.
"""

import dataclasses
import functools
import typing

import keras

from keras_transformer.kernels import (
    attention,
    dropout,
    losses,
    packed,
    plain,
    training,
    vocabulary,
    xla,
)
from keras_transformer.kernels.packed import Int8Table, PackedWeights
from keras_transformer.kernels.plain import add_bias, ban, masked, take_rows
from keras_transformer.kernels.scopes import (
    compiled_by_xla,
    is_plain,
    packed_weights,
    plain_only,
    with_matmuls_in_parts,
    with_packed_weights,
)
from keras_transformer.kernels.xla import TransposedWeights


@dataclasses.dataclass(frozen=True)
class Form:
    """A fast form of an operation, and when it takes the plain one's place.

    Attributes:
        function: Function of the plain form's arguments.
        backends: Backends that it is for, or None for all.
        training: Whether it is for training alone, or None where that is the same.
        by_xla: Whether it is for programs that XLA compiles alone.
        takes: Function of the arguments: whether the form can take them.
    """

    function: typing.Callable
    backends: tuple | None = None
    training: bool | None = None
    by_xla: bool = False
    takes: typing.Callable | None = None

    def serves(self, is_training, arguments, named):
        """Whether the form can be taken for a call."""
        return (
            (self.backends is None or keras.backend.backend() in self.backends)
            and (self.training is None or self.training == is_training)
            and (not self.by_xla or compiled_by_xla())
            and (self.takes is None or self.takes(*arguments, **named))
        )


_TENSORFLOW, _JAX, _TORCH = ("tensorflow",), ("jax",), ("torch",)

# By the plain form its fast ones, of which the first that serves is taken.
FAST_FORMS = {
    plain.linear: [
        Form(packed.linear_of_packed, takes=packed.has_packed),
        Form(training.linear, _TENSORFLOW, training=True),
        Form(packed.linear_in_parts, takes=packed.is_cut),
        Form(packed.linear_of_bare_row, _TENSORFLOW, takes=packed.is_bare_row),
    ],
    plain.scores: [
        Form(xla.scores_of_one_query, by_xla=True, takes=attention.is_one_query),
        Form(attention.scores_of_step, _TENSORFLOW, takes=attention.is_step),
        Form(attention.scores_of_one_query, takes=attention.is_one_query),
    ],
    plain.softmax: [
        Form(xla.softmax_of_one_query, by_xla=True, takes=attention.is_one_query),
    ],
    plain.weighted_sum: [
        Form(xla.weighted_sum_of_one_query, by_xla=True, takes=attention.is_one_query),
        Form(attention.weighted_sum_of_step, _TENSORFLOW, takes=attention.is_step),
    ],
    plain.attend: [
        Form(
            attention.attend_fused, _JAX + _TORCH, takes=attention.has_fused_attention
        ),
    ],
    plain.normalize: [
        Form(training.normalize, _TENSORFLOW, training=True),
    ],
    plain.drop: [
        Form(dropout.drop_by_16_bits, _TENSORFLOW, takes=dropout.can_draw_bits),
        Form(dropout.drop_by_hash, _JAX, takes=dropout.can_hash),
    ],
    plain.crossentropy: [
        Form(losses.on_tensorflow, _TENSORFLOW),
        Form(losses.on_jax, _JAX),
    ],
    plain.adam_rate: [Form(training.adam_rate, _TENSORFLOW)],
    plain.adam_step: [Form(training.adam_step, _TENSORFLOW)],
    plain.log_normalizer: [
        Form(vocabulary.log_normalizer_of_columns, takes=vocabulary.is_for_xla),
        Form(vocabulary.log_normalizer_of_pieces, takes=vocabulary.is_worth_pieces),
    ],
    plain.best_tokens: [
        Form(vocabulary.best_tokens_of_columns, takes=vocabulary.is_for_xla),
        Form(vocabulary.best_tokens_of_pieces, takes=vocabulary.is_worth_pieces),
    ],
    plain.draw: [Form(vocabulary.draw)],
}


def form_of(plain_form, arguments, named=None, *, training=False):
    """The form of an operation that a call with these arguments takes."""
    if not is_plain():
        for form in FAST_FORMS[plain_form]:
            if form.serves(bool(training), arguments, named or {}):
                return form.function
    return plain_form


def _operation(plain_form):
    """The operation as layers call it, which takes `training` too."""

    @functools.wraps(plain_form)
    def operation(*arguments, training=False, **named):
        form = form_of(plain_form, arguments, named, training=training)
        return form(*arguments, **named)

    return operation


linear = _operation(plain.linear)
scores = _operation(plain.scores)
softmax = _operation(plain.softmax)
weighted_sum = _operation(plain.weighted_sum)
normalize = _operation(plain.normalize)
drop = _operation(plain.drop)
crossentropy = _operation(plain.crossentropy)
adam_rate = _operation(plain.adam_rate)
adam_step = _operation(plain.adam_step)
log_normalizer = _operation(plain.log_normalizer)
best_tokens = _operation(plain.best_tokens)
draw = _operation(plain.draw)


@functools.wraps(plain.attend)
def attend(queries, keys, values, bias=None, mask=None):
    arguments = queries, keys, values, bias, mask
    form = form_of(plain.attend, arguments)
    if form is not plain.attend:
        return form(*arguments)
    # Each of the steps has forms of its own.
    weights = softmax(masked(scores(queries, keys), bias, mask), queries.dtype)
    return weighted_sum(weights, values)


__all__ = [
    "Int8Table",
    "PackedWeights",
    "TransposedWeights",
    "adam_rate",
    "adam_step",
    "add_bias",
    "attend",
    "ban",
    "best_tokens",
    "compiled_by_xla",
    "crossentropy",
    "draw",
    "drop",
    "is_plain",
    "linear",
    "log_normalizer",
    "masked",
    "normalize",
    "packed_weights",
    "plain_only",
    "scores",
    "softmax",
    "take_rows",
    "weighted_sum",
    "with_matmuls_in_parts",
    "with_packed_weights",
]
