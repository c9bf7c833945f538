"""Every operation in its plain form: the formula, in `keras.ops`.

The fast forms are tested against these.
"""

import keras
import numpy as np
from keras import ops

from keras_transformer.kernels.dtypes import at_least_float32, matmul, mean
from keras_transformer.kernels.impossible import IMPOSSIBLE, MASKED_SCORE


def linear(rows, kernel, bias=None):
    """`rows @ kernel + bias`: `(R, K)`, `(K, N)` and `(N,)` -> `(R, N)`."""
    return add_bias(matmul(rows, kernel), bias)


def add_bias(rows, bias):
    """Rows `(R, N)` plus a bias of N numbers, which may be None."""
    return rows if bias is None else rows + ops.cast(bias, rows.dtype)


def scores(queries, keys):
    """Dot products of heads `(B, H, T, K)` and `(B, H, S, K)`: `(B, H, T, S)`.

    In float32, or float64 where that is the dtype of the heads.
    """
    products = matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
    return ops.cast(products, at_least_float32(products.dtype))


def masked(scores, bias=None, mask=None):
    """Scores `(B, H, T, S)` plus a bias, and `MASKED_SCORE` where the mask is False.

    The score of a masked pair is no sum with a bias of -1e9: in loops TensorFlow 2.21
    on CPU fuses matmul and sum to an operation that gives nothing.
    """
    if bias is not None:
        scores = scores + ops.cast(bias, scores.dtype)
    return scores if mask is None else ops.where(mask, scores, MASKED_SCORE)


def softmax(scores, dtype):
    """Attention weights `(B, H, T, S)` of a dtype, from scores in float32 or more."""
    # Keras warns of a softmax over one score, which is exp(x - x).
    is_one = scores.shape[-1] == 1
    weights = ops.exp(scores - scores) if is_one else ops.softmax(scores, axis=-1)
    return ops.cast(weights, dtype)


def weighted_sum(weights, values):
    """`(B, H, T, S)` and `(B, H, S, K)` -> `(B, H, T, K)`."""
    return matmul(weights, values)


def attend(queries, keys, values, bias=None, mask=None):
    """Equation 1 on heads `(B, H, length, K)`, whose queries are scaled already."""
    weights = softmax(masked(scores(queries, keys), bias, mask), queries.dtype)
    return weighted_sum(weights, values)


def normalize(x, gamma, beta, epsilon):
    """`gamma (x - mean(x)) / sqrt(variance(x) + epsilon) + beta`, over the last axis.

    In float32, or float64 where that is the dtype of gamma.
    """
    x, gamma, beta = in_float32(x, gamma, beta)
    return standardized(x, epsilon)[0] * gamma + beta


def in_float32(x, gamma, beta):
    """The inputs of a normalization, in at least float32."""
    dtype = at_least_float32(gamma.dtype)
    return tuple(ops.cast(each, dtype) for each in (x, gamma, beta))


def standardized(x, epsilon):
    """`(x - mean) / deviation` and `1 / deviation`, over the last axis."""
    centred = x - mean(x)
    variance = mean(ops.square(centred))
    scale = ops.rsqrt(variance + epsilon)
    return centred * scale, scale


def drop(values, rate, seed_generator, noise_shape=None):
    """Dropout (section 5.4): values that are kept grow by `1 / (1 - rate)`."""
    return keras.random.dropout(values, rate, noise_shape, seed_generator)


def crossentropy(logits, labels, smoothing):
    """Losses `(N,)` of logits `(N, V)` and labels `(N,)`, see `smoothed_crossentropy`.

    `logsumexp(z) - (1 - smoothing) z[label] - smoothing mean(z)`
    """
    at_label = ops.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
    return (
        ops.logsumexp(logits, axis=-1)
        - (1.0 - smoothing) * at_label
        # Keras 3.15's mean has float32's digits on JAX, whatever is given.
        - smoothing / logits.shape[-1] * ops.sum(logits, axis=-1)
    )


def adam_rate(optimizer, learning_rate):
    """What all variables' `adam_step` share: the learning rate."""
    return learning_rate


def adam_step(optimizer, gradient, variable, rate):
    """One variable's step of Adam (section 5.3), as Keras takes it."""
    # Keras 3.15 squares the gradients of a row looked up twice before it sums them.
    gradient = ops.add(gradient, 0.0)
    keras.optimizers.Adam.update_step(optimizer, gradient, variable, rate)


def log_normalizer(logits):
    """What to subtract from logits to have log-probabilities: `(B, N, V)` ->
    `(B, N, 1)`."""
    return ops.logsumexp(logits, axis=-1, keepdims=True)


def best_tokens(logits, k, scores=0.0, banned_ids=()):
    """The k best continuations of each sentence, of any of its hypotheses.

    Args:
        logits: Float tensor `(B, N, V)`, above `FILLING`.
        k: Number of continuations, at most `N V`.
        scores: What to add to a hypothesis's logits, `(B, N, 1)`.
        banned_ids: Tokens whose logits are lowered by `IMPOSSIBLE`.

    Returns:
        A tuple of their values, float `(B, k)`, largest first, their hypotheses and
        their tokens, both int32 `(B, k)`. Of equal values the first comes first.
    """
    _, width, size = logits.shape
    values = ban(logits + scores, banned_ids)
    values, indices = ops.top_k(ops.reshape(values, (-1, width * size)), k)
    indices = ops.cast(indices, "int32")
    return values, indices // size, indices % size


def ban(logits, banned_ids):
    """Logits `(..., V)` with those of some tokens lowered by `IMPOSSIBLE`."""
    if not len(banned_ids):
        return logits
    return logits + ops.convert_to_tensor(banned(logits.shape[-1], banned_ids))


def banned(size, banned_ids):
    """What to add to the logits of `size` tokens: `IMPOSSIBLE` to those banned."""
    lowered = np.zeros(size, "float32")
    lowered[list(banned_ids)] = IMPOSSIBLE
    return lowered


def draw(probabilities, top_p, numbers):
    """Draws a token of each row, from the nucleus.

    The nucleus are the fewest tokens whose probabilities sum up to `top_p` or more,
    and those as probable as the last of them.

    Args:
        probabilities: Float tensor `(R, V)`, whose rows sum up to 1.
        top_p: Float or scalar tensor, above 0.
        numbers: Function `(R, attempt) -> (R, 1)` of random numbers in [0, 1).

    Returns:
        Tokens, int32 `(R, 1)`.
    """
    ranked = -ops.sort(-probabilities, axis=-1)
    is_in = ops.cumsum(ranked, axis=-1) - ranked < top_p
    least = ops.min(ops.where(is_in, ranked, 1.0), axis=-1, keepdims=True)
    sums = ops.cumsum(ops.where(probabilities >= least, probabilities, 0.0), axis=-1)
    target = numbers(ops.shape(probabilities)[0], 0) * sums[:, -1:] * (1 - 2**-22)
    return ops.sum(ops.cast(sums <= target, "int32"), axis=-1, keepdims=True)


def take_rows(values, indices):
    """Rows `indices` (B, n) of `values` (B, count, L)."""
    batch, count, length = ops.shape(values)
    firsts = ops.arange(batch, dtype="int32")[:, None] * count
    rows = firsts + ops.cast(indices, "int32")
    return ops.take(ops.reshape(values, (-1, length)), rows, axis=0)
