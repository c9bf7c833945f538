"""Multi-head attention (section 3.2), its masks and its key/value cache."""

import keras
from keras import ops

from keras_transformer.layers.arguments import (
    check_positive,
    check_rate,
    fresh,
    stacked,
)

# Added to the float32 score of a masked pair: its weight becomes exactly zero, and
# unlike -inf it leaves a row with nothing to attend to finite.
MASKED_SCORE = -1e9


def combined_mask(tensor, mask=None):
    """The mask Keras carries on `tensor` and the explicit `mask`, joined by `and`."""
    implicit = getattr(tensor, "_keras_mask", None)
    if mask is None or implicit is None or mask is implicit:
        return implicit if mask is None else mask
    return ops.logical_and(ops.cast(mask, "bool"), implicit)


@keras.saving.register_keras_serializable(package="keras_transformer")
class MultiHeadAttention(keras.layers.Layer):
    """Scaled dot-product attention in several heads.

    ```
    Attention(Q, K, V) = softmax(Q K^T / sqrt(head_dim)) V
    MultiHead(Q, K, V) = Concat(head_1, ..., head_H) W_O
    head_i             = Attention(Q W_Q_i, K W_K_i, V W_V_i)
    ```

    Called with a query alone it is self-attention, and the three projections are
    one matrix product; called with a `value` it is cross-attention.

    A query row that may attend to nothing gives zeros, in values and
    gradients, in every dtype. Masks are True where attention is allowed.
    Keras's implicit masks are used, and joined with explicit ones when both are there.

    Args:
        num_heads: Number of heads H.
        head_dim: Width K of a head's queries, keys and values. By default the
            width of the query divided by `num_heads`.
        dropout: Dropout rate on the attention weights. The paper has none there.
        use_bias: Whether the projections have biases.
        kernel_initializer: Initializer of the projections' kernels.
        bias_initializer: Initializer of the projections' biases.
        seed: Seed of the dropout.

    Call arguments:
        query: Float tensor `(B, T, D)`.
        value: Float tensor `(B, S, Dv)`; the query if left out.
        key: Float tensor `(B, S, Dk)`; the value if left out.
        query_mask: Bool `(B, T)`, marks padding in the query. In self-attention it is
            the mask of keys and values too; in cross-attention padding rows are
            computed like others and only carry their mask on.
        value_mask: Bool `(B, S)`, marks padding in the value.
        key_mask: Bool `(B, S)`, marks padding in the key.
        attention_mask: Bool `(T, S)`, `(B, T, S)` or `(B, H, T, S)`.
        use_causal_mask: Whether row t attends to rows 0 to t only.
        return_attention_scores: Whether to return the attention weights too.
        cache: Keys and values of earlier calls, a dict. From `empty_cache`, with
            `cache_index`: the new rows are written into it at that index, and row t
            attends to cached rows 0 to `cache_index + t`. From
            `project_value`, without `cache_index`: it stands for `value` and
            `key`; its batch may be smaller than the query's by a whole factor, then
            consecutive query rows share one row of it (the hypotheses of a beam).
        cache_index: Scalar integer, the position of the first row of the query.
        training: Whether dropout is on.

    Returns:
        The output `(B, T, D)`. With `return_attention_scores` a tuple
        `(output, scores)`, scores `(B, H, T, S)`; with `cache_index` the updated cache
        comes last.

    Raises:
        ValueError: If `num_heads` doesn't divide the query's width and no `head_dim` is
            given, or a rate or size is out of range.

    Example:

    >>> x = np.random.rand(2, 7, 64).astype("float32")
    >>> attention = MultiHeadAttention(num_heads=4)
    >>> attention(x, use_causal_mask=True).shape
    (2, 7, 64)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.2.
    """

    def __init__(
        self,
        num_heads,
        head_dim=None,
        dropout=0.0,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("num_heads", num_heads)
        if head_dim is not None:
            check_positive("head_dim", head_dim)
        check_rate("dropout", dropout)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.seed = seed
        self.supports_masking = True

    def build(self, query_shape, value_shape=None, key_shape=None):
        hidden_dim = query_shape[-1]
        if self.head_dim is None and hidden_dim % self.num_heads:
            raise ValueError(
                "num_heads must divide hidden_dim, or head_dim be given; received "
                f"num_heads={self.num_heads}, hidden_dim={hidden_dim}."
            )
        self._head_dim = self.head_dim or hidden_dim // self.num_heads
        self._scale = self._head_dim**-0.5
        # Projections that read the same tensor are one matrix product.
        if value_shape is None:
            self._projections = ["query_key_value"]
            self.query_key_value = self._projection(3, "query_key_value", query_shape)
        elif key_shape is None:
            self._projections = ["query", "key_value"]
            self.query = self._projection(1, "query", query_shape)
            self.key_value = self._projection(2, "key_value", value_shape)
        else:
            self._projections = ["query", "key", "value"]
            self.query = self._projection(1, "query", query_shape)
            self.key = self._projection(1, "key", key_shape)
            self.value = self._projection(1, "value", value_shape)
        self.output_projection = keras.layers.Dense(
            hidden_dim,
            use_bias=self.use_bias,
            kernel_initializer=fresh(self.kernel_initializer),
            bias_initializer=fresh(self.bias_initializer),
            dtype=self.dtype_policy,
            name="output_projection",
        )
        self.output_projection.build((None, None, self.num_heads * self._head_dim))
        self.attention_dropout = keras.layers.Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy
        )

    def _projection(self, parts, name, input_shape):
        dense = keras.layers.Dense(
            parts * self.num_heads * self._head_dim,
            use_bias=self.use_bias,
            kernel_initializer=stacked(self.kernel_initializer, parts),
            bias_initializer=fresh(self.bias_initializer),
            dtype=self.dtype_policy,
            name=name,
        )
        dense.build(input_shape)
        return dense

    def _project(self, inputs, name):
        """The heads (B, H, length, K) of one role: "query", "key" or "value"."""
        return self._project_fused(inputs, [name])[0]

    def _project_fused(self, inputs, names):
        """The heads of several roles, all of the same `inputs`."""
        heads = {}
        for projection in self._projections:
            roles = projection.split("_")
            if not set(roles) & set(names):
                continue
            projected = getattr(self, projection)(inputs)
            length = ops.shape(projected)[1]
            shape = (-1, length, len(roles), self.num_heads, self._head_dim)
            parts = ops.transpose(ops.reshape(projected, shape), (2, 0, 3, 1, 4))
            heads.update(zip(roles, ops.unstack(parts, len(roles), axis=0)))
        return [heads[name] for name in names]

    def project_value(self, value, key=None):
        """Keys and values of a sequence, computed once for many calls.

        Args:
            value: Float tensor `(B, S, Dv)`.
            key: Float tensor `(B, S, Dk)`; the value if left out.

        Returns:
            A dict for the call argument `cache`: `"key"` and `"value"`, each
            of shape `(B, H, S, K)`.
        """
        if key is None:
            keys, values = self._project_fused(value, ["key", "value"])
        else:
            keys, values = self._project(key, "key"), self._project(value, "value")
        return {"key": keys, "value": values}

    def empty_cache(self, batch_size, max_length):
        """A cache for `max_length` steps of self-attention, before the first one.

        Args:
            batch_size: Number of sequences B, an integer or a scalar tensor.
            max_length: Number of positions L, an integer or a scalar tensor.

        Returns:
            A dict for the call argument `cache`: `"key"` and `"value"`, each
            of shape `(L, B, H, K)`; time comes first so that a step is written
            in place.
        """
        shape = (max_length, batch_size, self.num_heads, self._head_dim)
        return {name: ops.zeros(shape, self.compute_dtype) for name in ("key", "value")}

    def call(
        self,
        query,
        value=None,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        cache=None,
        cache_index=None,
        training=None,
    ):
        if cache_index is not None:
            return self._call_cached(
                query, cache, cache_index, attention_mask, return_attention_scores
            )
        batch_shape = ops.shape(query)[:2]
        if cache is not None:
            queries, keys, values = (
                self._project(query, "query"),
                cache["key"],
                cache["value"],
            )
            # A beam's hypotheses stand as further query rows of their one source.
            queries = self._group_rows(queries, ops.shape(keys)[0])
        elif value is None and key is None:
            roles = ["query", "key", "value"]
            queries, keys, values = self._project_fused(query, roles)
            value_mask = combined_mask(query, query_mask)
        else:
            value = query if value is None else value
            value_mask = combined_mask(value, value_mask)
            if key is not None:
                key_mask = combined_mask(key, key_mask)
            queries = self._project(query, "query")
            keys, values = self.project_value(value, key).values()
        mask = _join_masks(
            [_keys_mask(value_mask), _keys_mask(key_mask), _full_mask(attention_mask)]
        )
        may_be_empty = mask is not None
        if use_causal_mask:
            rows = ops.arange(ops.shape(queries)[2])[:, None]
            causal = rows >= ops.arange(ops.shape(keys)[2])[None, :]
            mask = _join_masks([mask, causal[None, None]])
        context, scores = self._attend(
            queries, keys, values, mask, may_be_empty, return_attention_scores, training
        )
        context = ops.transpose(context, (0, 2, 1, 3))
        width = self.num_heads * self._head_dim
        output = self.output_projection(ops.reshape(context, (*batch_shape, width)))
        return (output, scores) if return_attention_scores else output

    def _group_rows(self, queries, groups):
        length = ops.shape(queries)[2]
        shape = (groups, -1, self.num_heads, length, self._head_dim)
        queries = ops.transpose(ops.reshape(queries, shape), (0, 2, 1, 3, 4))
        return ops.reshape(queries, (groups, self.num_heads, -1, self._head_dim))

    def _attend(
        self, queries, keys, values, mask, may_be_empty, return_scores, training
    ):
        """Equation 1, on (B, H, length, K) heads; `mask` broadcasts to (B, H, T, S)."""
        nonempty = ops.any(mask, axis=-1, keepdims=True) if may_be_empty else None
        drops = training and self.dropout > 0
        if keras.backend.backend() != "tensorflow" and not (return_scores or drops):
            context = self._fused_attention(queries, keys, values, mask)
            scores = None
        else:
            scores = ops.matmul(
                queries * self._scale, ops.transpose(keys, (0, 1, 3, 2))
            )
            scores = ops.cast(scores, "float32")
            if mask is not None:
                scores = scores + ops.where(mask, 0.0, MASKED_SCORE)
            scores = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
            weights = self.attention_dropout(scores, training=training)
            context = ops.matmul(weights, values)
        if nonempty is not None:
            nonempty = ops.cast(nonempty, self.compute_dtype)
            # Not in place: PyTorch needs the factors for its gradients.
            context = context * nonempty
            if return_scores:
                scores = scores * nonempty
        return context, scores

    def _fused_attention(self, queries, keys, values, mask):
        """Keras's fused path: flash attention where the backend has it."""
        queries, keys, values = (
            ops.transpose(heads, (0, 2, 1, 3)) for heads in (queries, keys, values)
        )
        if mask is not None:
            batch, length = ops.shape(queries)[:2]
            shape = (batch, self.num_heads, length, ops.shape(keys)[1])
            mask = ops.broadcast_to(mask, shape)
        context = ops.dot_product_attention(
            queries, keys, values, mask=mask, scale=self._scale
        )
        return ops.transpose(context, (0, 2, 1, 3))

    def _call_cached(self, query, cache, index, attention_mask, return_scores):
        queries, keys, values = self._project_fused(query, ["query", "key", "value"])
        batch, length = ops.shape(query)[:2]
        steps = ops.reshape(index + ops.arange(length, dtype="int32"), (-1, 1))
        cache = {
            name: ops.scatter_update(
                cache[name], steps, ops.transpose(heads, (2, 0, 1, 3))
            )
            for name, heads in (("key", keys), ("value", values))
        }
        positions = ops.arange(ops.shape(cache["key"])[0], dtype="int32")
        # (L, 1, 1, T): which cached rows each new row sees.
        mask = positions[:, None, None, None] <= ops.reshape(steps, (1, 1, 1, -1))
        if attention_mask is not None:
            mask = _join_masks(
                [mask, ops.transpose(_full_mask(attention_mask), (3, 0, 1, 2))]
            )
        # Products and sums over the time-major cache: no transposed copy of it.
        queries = ops.transpose(queries * self._scale, (0, 1, 3, 2))  # (B, H, K, T)
        scores = ops.sum(
            ops.expand_dims(cache["key"], -1) * ops.expand_dims(queries, 0), axis=3
        )
        scores = ops.cast(scores, "float32") + ops.where(mask, 0.0, MASKED_SCORE)
        weights = ops.cast(ops.softmax(scores, axis=0), self.compute_dtype)
        context = ops.sum(
            ops.expand_dims(cache["value"], -1) * ops.expand_dims(weights, 3), axis=0
        )
        context = ops.transpose(context, (0, 3, 1, 2))  # (B, T, H, K)
        width = self.num_heads * self._head_dim
        output = self.output_projection(ops.reshape(context, (batch, length, width)))
        if return_scores:
            return output, ops.transpose(weights, (1, 2, 3, 0)), cache
        return output, cache

    def compute_output_spec(
        self,
        query,
        value=None,
        key=None,
        return_attention_scores=False,
        cache=None,
        cache_index=None,
        **kwargs,
    ):
        outputs = [keras.KerasTensor(query.shape, self.compute_dtype)]
        if cache_index is not None:
            source_length = cache["key"].shape[0]
        elif cache is not None:
            source_length = cache["key"].shape[2]
        else:
            source_length = (query if value is None else value).shape[1]
        if return_attention_scores:
            shape = (query.shape[0], self.num_heads, query.shape[1], source_length)
            outputs.append(keras.KerasTensor(shape, self.compute_dtype))
        if cache_index is not None:
            outputs.append(
                {k: keras.KerasTensor(v.shape, v.dtype) for k, v in cache.items()}
            )
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        return query_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }


def _keys_mask(mask):
    """(B, S) -> (B, 1, 1, S)."""
    return None if mask is None else ops.cast(mask, "bool")[:, None, None, :]


def _full_mask(mask):
    """(T, S), (B, T, S) or (B, H, T, S) -> four dimensions."""
    if mask is None:
        return None
    if len(mask.shape) not in (2, 3, 4):
        raise ValueError(
            "attention_mask must have the shape (T, S), (B, T, S) or (B, H, T, S); "
            f"received attention_mask of shape {tuple(mask.shape)}."
        )
    mask = ops.cast(mask, "bool")
    if len(mask.shape) == 2:
        return mask[None, None]
    return mask[:, None] if len(mask.shape) == 3 else mask


def _join_masks(masks):
    masks = [mask for mask in masks if mask is not None]
    if not masks:
        return None
    joined = masks[0]
    for mask in masks[1:]:
        joined = ops.logical_and(joined, mask)
    return joined
