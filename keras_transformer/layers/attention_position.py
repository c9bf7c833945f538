"""Position encodings that act inside of attention: rotary, Shaw's, T5's, ALiBi."""

import math
import uuid

import keras
import numpy as np
from keras import ops

from keras_transformer.kernels.dtypes import at_least_float32, matmul
from keras_transformer.layers.arguments import (
    check_flag,
    check_number,
    check_positive,
    clone_initializer,
    get_initializer,
)
from keras_transformer.layers.checked_layer import CheckedLayer
from keras_transformer.layers.position import check_sinusoid, sinusoidal_encoding
from keras_transformer.layers.shapes import CallCheck, check_shape, check_start


class AttentionPosition(CheckedLayer):
    """What `MultiHeadAttention` asks of a position encoding; each kind answers a part.

    It is built with the shape of an attention's heads, `(B, H, T, K)`. Positions are
    int32 vectors, `(T,)` of the queries and `(S,)` of the keys.
    """

    # Whether `context_bias` gives anything: then attention can't be fused.
    adds_to_context = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def rotate(self, heads, positions):
        """Queries or keys `(B, H, T, K)`, changed before they meet."""
        return heads

    def score_bias(self, queries, query_positions, key_positions):
        """What is added to the scores, in a shape broadcastable to `(B, H, T, S)`.

        `queries` are already divided by `sqrt(K)`. None adds nothing.
        """
        return None

    def context_bias(self, weights, query_positions, key_positions):
        """What is added to the weighted sum of the values, `(B, H, T, K)`."""
        raise NotImplementedError

    def check_heads(self, num_heads, head_dim):
        """Raises a ValueError if the layer was built for heads of another size."""

    def compute_output_shape(self, input_shape, *other_shapes):
        return input_shape


def _check_same(name, value, built):
    if built not in (None, value):
        raise ValueError(
            f"Attentions that share a position_encoding must have the same {name}; "
            f"received {name}={value} for a layer built with {name}={built}."
        )


@keras.saving.register_keras_serializable(package="keras_transformer")
class RotaryEmbedding(AttentionPosition):
    """Turns queries and keys by angles that grow with their position (RoPE).

    Pair i of a query or key at position m turns by the angle
    `m * max_wavelength^(-2i / K)`, so that the dot product of a query and a key
    depends on the distance between them only. It has no weights and no longest
    length; angles are computed in float32 whatever the dtype policy.

    Give it to `MultiHeadAttention(position_encoding=...)` or a block, or call it on
    heads of your own.

    Args:
        max_wavelength: The longest wavelength is `max_wavelength * 2 * pi` at most.
        layout: Which dimensions are a pair: `"interleaved"`, neighbours, as in the
            paper; `"concatenated"`, one in each half, as in Llama.

    Call arguments:
        inputs: Float tensor `(..., T, K)`, K even.
        start_index: Position of the first row, an integer or a scalar tensor.

    Returns:
        A tensor of the shape and dtype of `inputs`.

    Raises:
        ValueError: For an odd K, an unknown `layout`, or a `max_wavelength` that isn't
            positive.

    Example:

    >>> queries = np.random.rand(2, 4, 10, 16).astype("float32")
    >>> tuple(RotaryEmbedding()(queries).shape)
    (2, 4, 10, 16)

    Reference: [RoFormer](https://arxiv.org/abs/2104.09864), equation 34.
    """

    def __init__(self, max_wavelength=10_000.0, layout="interleaved", **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = check_sinusoid(max_wavelength, layout)
        self.layout = layout

    def check_call(self, inputs, start_index=0):
        CallCheck().floats("inputs", inputs, "... T K")
        check_start("start_index", start_index)

    def build(self, input_shape):
        if input_shape[-1] is None or input_shape[-1] % 2:
            raise ValueError(
                "RotaryEmbedding turns pairs of dimensions and needs an even head_dim; "
                f"received head_dim={input_shape[-1]}."
            )

    def check_heads(self, num_heads, head_dim):
        self.build((None, num_heads, None, head_dim))

    def call(self, inputs, start_index=0):
        positions = ops.arange(ops.shape(inputs)[-2], dtype="int32")
        return self.rotate(inputs, ops.cast(start_index, "int32") + positions)

    def rotate(self, heads, positions):
        width = heads.shape[-1]
        angles = sinusoidal_encoding(
            positions,
            width,
            self.max_wavelength,
            layout="concatenated",
            dtype=at_least_float32(heads.dtype),
        )
        sines, cosines = ops.split(ops.cast(angles, heads.dtype), 2, axis=-1)
        if self.layout == "concatenated":
            first, second = ops.split(heads, 2, axis=-1)
        else:
            pairs = ops.reshape(heads, (*ops.shape(heads)[:-1], width // 2, 2))
            first, second = pairs[..., 0], pairs[..., 1]
        turned = first * cosines - second * sines, first * sines + second * cosines
        if self.layout == "concatenated":
            return ops.concatenate(turned, axis=-1)
        return ops.reshape(ops.stack(turned, axis=-1), ops.shape(heads))

    def get_config(self):
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "layout": self.layout,
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class RelativePositionEmbedding(AttentionPosition):
    """Trained vectors for the distance of a query and a key (Shaw et al. 2018).

    ```
    score(i, j) = q_i (k_j + a_K[clip(j - i)]) / sqrt(K)
    context(i)  = sum_j weight(i, j) (v_j + a_V[clip(j - i)])
    ```

    Distances are clipped to `max_distance`: farther ones are all alike, which lets the
    model go on to lengths it never saw. All heads share the vectors.

    Give it to `MultiHeadAttention(position_encoding=...)` or a block, or call it on
    heads of your own for the scores, before the softmax.

    Args:
        max_distance: Distances beyond it are clipped to it (k in the paper).
        embeddings_initializer: Initializer of both tables `(2 max_distance + 1, K)`.

    Call arguments:
        queries: Float tensor `(B, H, T, K)`.
        keys: Float tensor `(B, H, S, K)`.
        start_index: Position of the first query, an integer or a scalar tensor; keys
            count from 0.

    Returns:
        The scores `(B, H, T, S)`, divided by `sqrt(K)`, in float32 or, from float64,
        in float64.

    Raises:
        ValueError: If `max_distance` isn't positive.

    Example:

    >>> heads = np.random.rand(2, 4, 10, 16).astype("float32")
    >>> tuple(RelativePositionEmbedding(max_distance=8)(heads, heads).shape)
    (2, 4, 10, 10)

    Reference: [Self-Attention with Relative Position Representations](https://arxiv.org/abs/1803.02155),
    equations 3 and 4.
    """

    adds_to_context = True

    def __init__(
        self, max_distance=16, embeddings_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.max_distance = check_positive("max_distance", max_distance)
        self.embeddings_initializer = get_initializer(
            "embeddings_initializer", embeddings_initializer
        )

    def check_call(self, queries, keys, start_index=0):
        width = self.key_embeddings.shape[1] if self.built else None
        check = CallCheck(K=width)
        check.floats("queries", queries, "B H T K")
        check.floats("keys", keys, "B H S K")
        check_start("start_index", start_index)

    def check_heads(self, num_heads, head_dim):
        _check_same("head_dim", head_dim, self.key_embeddings.shape[1])

    def build(self, queries_shape, keys_shape=None):
        check_shape("queries_shape", queries_shape, "B H T K")
        shape = (2 * self.max_distance + 1, queries_shape[-1])
        self.key_embeddings = self.add_weight(
            name="key_embeddings", shape=shape, initializer=self.embeddings_initializer
        )
        self.value_embeddings = self.add_weight(
            name="value_embeddings",
            shape=shape,
            initializer=clone_initializer(self.embeddings_initializer),
        )

    def call(self, queries, keys, start_index=0):
        queries = queries * queries.shape[-1] ** -0.5
        query_positions = ops.arange(ops.shape(queries)[-2], dtype="int32")
        query_positions += ops.cast(start_index, "int32")
        key_positions = ops.arange(ops.shape(keys)[-2], dtype="int32")
        scores = matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        bias = self.score_bias(queries, query_positions, key_positions)
        return ops.cast(scores, bias.dtype) + bias

    def score_bias(self, queries, query_positions, key_positions):
        vectors = self._vectors(self.key_embeddings, query_positions, key_positions)
        # (T, B H, K) (T, K, S): the vectors of a query's distances serve all heads.
        bias = matmul(_rows_first(queries), ops.transpose(vectors, (0, 2, 1)))
        return ops.cast(_heads_first(bias, queries), at_least_float32(bias.dtype))

    def context_bias(self, weights, query_positions, key_positions):
        vectors = self._vectors(self.value_embeddings, query_positions, key_positions)
        return _heads_first(matmul(_rows_first(weights), vectors), weights)

    def _vectors(self, embeddings, query_positions, key_positions):
        """The vector of each query's distance to each key, `(T, S, K)`."""
        distances = key_positions[None, :] - query_positions[:, None]
        limit = self.max_distance
        rows = ops.clip(distances, -limit, limit) + limit
        return ops.take(
            ops.convert_to_tensor(embeddings, self.compute_dtype), rows, axis=0
        )

    def compute_output_spec(self, queries, keys, start_index=0):
        shape = (*queries.shape[:-1], keys.shape[-2])
        return keras.KerasTensor(shape, at_least_float32(self.compute_dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "max_distance": self.max_distance,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
        }


def _rows_first(heads):
    """(B, H, T, X) -> (T, B H, X)."""
    batch, number, length, width = ops.shape(heads)
    rows = ops.transpose(heads, (2, 0, 1, 3))
    return ops.reshape(rows, (length, batch * number, width))


def _heads_first(rows, like):
    """(T, B H, X) -> (B, H, T, X), with B, H and T of `like`."""
    batch, heads, length = ops.shape(like)[:3]
    rows = ops.reshape(rows, (length, batch, heads, ops.shape(rows)[-1]))
    return ops.transpose(rows, (1, 2, 0, 3))


class _DistanceBias(AttentionPosition):
    """A bias for each head and distance, the same whatever the words are."""

    def distance_bias(self, distances):
        """The bias `(H, T, S)` of distances `(T, S)`, key minus query."""
        raise NotImplementedError

    def check_call(self, scores, start_index=0):
        check = CallCheck(H=self._built_num_heads)
        check.floats("scores", scores, "B H T S", has_width=False)
        check_start("start_index", start_index)

    def check_heads(self, num_heads, head_dim):
        _check_same("num_heads", num_heads, self._built_num_heads)

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
        bidirectional=True,
        embeddings_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        num_buckets = check_positive("num_buckets", num_buckets)
        max_distance = check_positive("max_distance", max_distance)
        if num_buckets < 4 or max_distance <= num_buckets // 2:
            raise ValueError(
                "num_buckets must be at least 4 and max_distance more than half of it; "
                f"received num_buckets={num_buckets}, max_distance={max_distance}."
            )
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = check_flag("bidirectional", bidirectional)
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

    def __init__(self, max_bias=8.0, symmetric=False, **kwargs):
        super().__init__(**kwargs)
        self.max_bias = check_number(
            "max_bias", max_bias, lambda bias: bias > 0, "a positive number"
        )
        self.symmetric = check_flag("symmetric", symmetric)

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


BY_NAME = {
    "rotary": RotaryEmbedding,
    "relative": RelativePositionEmbedding,
    "t5": T5PositionBias,
    "alibi": AlibiBias,
    # The same in files of models, whose "alibi" is version 0.1.0's symmetric form.
    "alibi_asymmetric": AlibiBias,
}


def attention_position(position_encoding, causal=False, dtype=None):
    """The layer that a `position_encoding` argument of attention names, or is.

    Args:
        position_encoding: A name, an `AttentionPosition` or None.
        causal: Whether queries see earlier keys only, where the kind makes a
            difference.
        dtype: Dtype policy of a new layer.

    Raises:
        ValueError: For anything else.
    """
    if position_encoding is None or isinstance(position_encoding, AttentionPosition):
        return position_encoding
    if position_encoding == "t5":
        return T5PositionBias(bidirectional=not causal, dtype=dtype)
    if isinstance(position_encoding, str) and position_encoding in BY_NAME:
        return BY_NAME[position_encoding](dtype=dtype)
    raise ValueError(
        f"position_encoding of attention must be one of {sorted(BY_NAME)}, a layer of "
        f"theirs, or None; received position_encoding={position_encoding!r}. "
        "Sinusoidal and learned encodings are added to embeddings, before the blocks."
    )


def serialize_position(layer):
    """The config of an attention's position layer, or None.

    Keras 3.15 finds an object that several others hold again by `shared_object_id`, but
    loses it where it copies the configs of nested layers. It is set here.
    """
    config = keras.saving.serialize_keras_object(layer)
    if layer is not None:
        if not hasattr(layer, "shared_object_id"):
            layer.shared_object_id = uuid.uuid4().int
        config["shared_object_id"] = layer.shared_object_id
    return config


def deserialize_position(config):
    """What `serialize_position` wrote: the same layer for all that shared it."""
    if not isinstance(config, dict):
        return config
    layer = keras.saving.deserialize_keras_object(config)
    layer.shared_object_id = config["shared_object_id"]
    return layer
