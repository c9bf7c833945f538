"""Shaw's relative positions: vectors for distances, learned."""

import keras
from keras import ops

from keras_transformer import arguments
from keras_transformer.kernels.dtypes import at_least_float32, matmul
from keras_transformer.layers.arguments import clone_initializer, get_initializer
from keras_transformer.layers.attention_position import AttentionPosition, check_same
from keras_transformer.layers.shapes import CallCheck, check_shape, check_start


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
        self.max_distance = arguments.integer("max_distance", max_distance)
        self.embeddings_initializer = get_initializer(
            "embeddings_initializer", embeddings_initializer
        )

    def check_call(self, given):
        width = self.key_embeddings.shape[1] if self.built else None
        check = CallCheck(K=width)
        check.floats("queries", given.queries, "B H T K")
        check.floats("keys", given.keys, "B H S K")
        check_start("start_index", given.start_index)

    def check_heads(self, num_heads, head_dim):
        check_same("head_dim", head_dim, self.key_embeddings.shape[1])

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
