"""Scores that fall or rise by distance: T5's learned bias, ALiBi's linear one."""

import math

import keras
import numpy as np
from keras import ops

from keras_transformer import arguments
from keras_transformer.kernels.dtypes import at_least_float32
from keras_transformer.layers.arguments import get_initializer
from keras_transformer.layers.attention_position import AttentionPosition, check_same
from keras_transformer.layers.shapes import CallCheck, check_start


class _DistanceBias(AttentionPosition):
    """A bias for each head and distance, the same whatever the words are."""

    def distance_bias(self, distances):
        """The bias `(H, T, S)` of distances `(T, S)`, key minus query."""
        raise NotImplementedError

    def check_call(self, given):
        check = CallCheck(H=self._built_num_heads)
        check.floats("scores", given.scores, "B H T S", has_width=False)
        check_start("start_index", given.start_index)

    def check_heads(self, num_heads, head_dim):
        check_same("num_heads", num_heads, self._built_num_heads)

    @property
    def _built_num_heads(self):
        return self.get_build_config()["input_shape"][1] if self.built else None

    def call(self, scores, start_index=0):
        queries, keys = (
            ops.arange(ops.shape(scores)[axis], dtype="int32") for axis in (-2, -1)
        )
        queries += ops.cast(start_index, "int32")
        return scores + ops.cast(self.score_bias(None, queries, keys), scores.dtype)

    def score_bias(self, queries, query_positions, key_positions):
        distances = key_positions[None, :] - query_positions[:, None]
        return self.distance_bias(distances)[None]


@keras.saving.register_keras_serializable(package="keras_transformer")
class T5PositionBias(_DistanceBias):
    """Adds a trained bias for each head and bucket of distances to attention scores.

    Short distances have a bucket each; longer ones share buckets whose bounds grow
    geometrically up to `max_distance`, beyond which all distances are alike. In T5
    all layers of a stack share one such layer: give the same instance to each block.

    Args:
        num_buckets: Number of buckets.
        max_distance: Distances from here on fall into the last bucket.
        bidirectional: Whether keys after the query have buckets of their own, half of
            all, as in an encoder; if not, all of them share the bucket of distance 0,
            as in a causal decoder, which never looks there.
        embeddings_initializer: Initializer of the table `(num_buckets, H)`.

    Call arguments:
        scores: Float tensor `(B, H, T, S)`, before the softmax.
        start_index: Position of the first query, an integer or a scalar tensor; keys
            count from 0.

    Returns:
        `scores + bias`, of the shape and dtype of `scores`.

    Raises:
        ValueError: If `num_buckets` is less than 4 or `max_distance` leaves no room for
            buckets of more than one distance.

    Example:

    >>> scores = np.zeros((2, 4, 10, 10), "float32")
    >>> tuple(T5PositionBias()(scores).shape)
    (2, 4, 10, 10)

    Reference: [T5](https://arxiv.org/abs/1910.10683), section 2.1.
    """

    def __init__(
        self,
        num_buckets=32,
        max_distance=128,
        *,
        bidirectional=True,
        embeddings_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        num_buckets = arguments.integer("num_buckets", num_buckets)
        max_distance = arguments.integer("max_distance", max_distance)
        if num_buckets < 4 or max_distance <= num_buckets // 2:
            raise ValueError(
                "num_buckets must be at least 4 and max_distance more than half of it; "
                f"received num_buckets={num_buckets}, max_distance={max_distance}."
            )
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = arguments.flag("bidirectional", bidirectional)
        self.embeddings_initializer = get_initializer(
            "embeddings_initializer", embeddings_initializer
        )

    def build(self, scores_shape):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_buckets, scores_shape[1]),
            initializer=self.embeddings_initializer,
        )

    def distance_bias(self, distances):
        limit = self.max_distance
        buckets = self.buckets(np.arange(-limit, limit + 1))
        rows = ops.take(
            ops.convert_to_tensor(buckets, "int32"),
            ops.clip(distances, -limit, limit) + limit,
            axis=0,
        )
        dtype = at_least_float32(self.compute_dtype)
        table = ops.convert_to_tensor(self.embeddings, dtype)
        return ops.transpose(ops.take(table, rows, axis=0), (2, 0, 1))

    def buckets(self, distances):
        """The bucket of each distance, key minus query: an integer NumPy array."""
        count, first = self.num_buckets, 0
        if self.bidirectional:
            count //= 2
            first = np.where(distances > 0, count, 0)
            lengths = np.abs(distances)
        else:
            lengths = np.maximum(-distances, 0)
        exact = count // 2
        growth = np.log(np.maximum(lengths, 1) / exact) / math.log(
            self.max_distance / exact
        )
        # A hair up: the bound of a bucket must not fall below it by rounding.
        shared = exact + np.floor(growth * (count - exact) + 1e-9).astype("int32")
        return first + np.where(lengths < exact, lengths, np.minimum(shared, count - 1))

    def get_config(self):
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
        }


# How many times as steep a head is on the right as on the left, or the other way round.
_STEEPER = 4.0


@keras.saving.register_keras_serializable(package="keras_transformer")
class AlibiBias(_DistanceBias):
    """Lowers attention scores in proportion to the distance (ALiBi).

    `score(i, j) - slope_h |i - j|`. For keys before the query the slopes of the heads
    are the paper's: a geometric progression, `2^(-max_bias h / H)` for h = 1 to H,
    where H is a power of two. Other numbers of heads take further slopes from the
    progression of twice as many. It has no weights and no longest length.

    The paper's decoder looks to the left only. An encoder sees both sides. With equal
    slopes it knows how far a key is, but not on which side, and a reversed source has
    the reversed states. Cross-attention sees a set and can't tell the two apart. So
    keys after the query have other slopes here: four times as steep in the first,
    third, ... head, a quarter as steep in the others.

    Args:
        max_bias: Minus the base-2 logarithm of the last head's slope.
        symmetric: Whether keys after the query have the slopes of those before it. An
            encoder loses the direction of its source then, see above. Files of version
            0.1.0 have this form and keep it.

    Call arguments:
        scores: Float tensor `(B, H, T, S)`, before the softmax.
        start_index: Position of the first query, an integer or a scalar tensor; keys
            count from 0.

    Returns:
        `scores + bias`, of the shape and dtype of `scores`.

    Raises:
        ValueError: If `max_bias` isn't a positive number.

    Example:

    >>> scores = np.zeros((1, 8, 3, 3), "float32")
    >>> bias = ops.convert_to_numpy(AlibiBias()(scores))
    >>> bias[0, 0, 1].tolist()
    [-0.5, 0.0, -2.0]

    Reference: [Train Short, Test Long](https://arxiv.org/abs/2108.12409), section 3;
    for both sides [the authors on encoders](https://github.com/ofirpress/attention_with_linear_biases/issues/5).
    """

    def __init__(self, max_bias=8.0, *, symmetric=False, **kwargs):
        super().__init__(**kwargs)
        self.max_bias = arguments.number("max_bias", max_bias, above=0)
        self.symmetric = arguments.flag("symmetric", symmetric)

    def build(self, scores_shape):
        self._left = alibi_slopes(scores_shape[1], self.max_bias)
        self._right = self._left
        if not self.symmetric:
            is_odd = np.arange(len(self._left)) % 2
            self._right = self._left * np.where(is_odd, 1 / _STEEPER, _STEEPER)

    def distance_bias(self, distances):
        lengths = ops.cast(ops.abs(distances), "float32")
        left, right = (
            ops.convert_to_tensor(slopes[:, None, None], "float32")
            for slopes in (self._left, self._right)
        )
        return -ops.where(distances > 0, right, left) * lengths

    def get_config(self):
        return {
            **super().get_config(),
            "max_bias": self.max_bias,
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_config(cls, config):
        # Files of version 0.1.0 don't say: theirs is the symmetric form.
        return cls(**{"symmetric": True, **config})


def alibi_slopes(num_heads, max_bias=8.0):
    """The slope of each head, a float32 NumPy array `(H,)`; see `AlibiBias`."""
    power = 2 ** math.floor(math.log2(num_heads))
    slopes = 2.0 ** (-max_bias * np.arange(1, power + 1) / power)
    between = 2.0 ** (-max_bias * np.arange(1, 2 * power, 2) / (2 * power))
    return np.concatenate([slopes, between[: num_heads - power]]).astype("float32")
