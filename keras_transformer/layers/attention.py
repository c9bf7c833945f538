"""Multi-head attention (section 3.2) and its key/value cache."""

import keras
from keras import ops

from keras_transformer import arguments, kernels
from keras_transformer.layers import cache as kv_cache
from keras_transformer.layers.arguments import (
    check_seed,
    clone_initializer,
    fused_initializer,
    get_initializer,
)
from keras_transformer.layers.attention_arguments import (
    check_attention_call,
    check_cache_length,
)
from keras_transformer.layers.checked_layer import CheckedLayer
from keras_transformer.layers.core import Dense, Dropout
from keras_transformer.layers.masks import (
    causal_mask,
    combined_mask,
    full_mask,
    join_masks,
    keys_mask,
)
from keras_transformer.layers.position_argument import (
    LoadsPosition,
    attention_position,
    serialize_position,
)
from keras_transformer.layers.shapes import CallCheck, check_shape, known_sizes


@keras.saving.register_keras_serializable(package="keras_transformer")
class MultiHeadAttention(LoadsPosition, CheckedLayer):
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
        position_encoding: How attention itself knows order: `"rotary"`, `"relative"`,
            `"t5"`, `"alibi"`, a layer of theirs, which several attentions may share,
            or None.
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
        attention_mask: Bool `(T, S)`, `(B, T, S)` or `(B, H, T, S)`; axes of 1
            broadcast.
        use_causal_mask: Whether row t attends to rows 0 to t only.
        return_attention_scores: Whether to return the attention weights too.
        cache: Keys and values of earlier calls, from `empty_cache` or the call before;
            the new rows attend to them and to each other, causally, and are added to
            it.
        cache_index: Scalar integer, the position of the first row of the query, for a
            cache of fixed length. One that grows knows its own length.
        projected_value: From `project_value`, in place of `value` and `key`.
        num_hypotheses: Number N of consecutive query rows, each of length 1, that share
            one row of `cache` or `projected_value`: hypotheses of one sentence. In a
            cache their keys lie side by side, position by position, and
            `attention_mask` `(B, N, S)` tells which of them each descends from.
        training: Whether dropout is on.

    Returns:
        The output `(B, T, D)`. With `return_attention_scores` a tuple
        `(output, scores)`, scores `(B, H, T, S)`; with `cache` the updated cache comes
        last.

    Raises:
        ValueError: If `num_heads` doesn't divide the query's width and no `head_dim` is
            given, a rate or size is out of range, shapes don't fit each other, or a
            mask isn't boolean or of 0 and 1.
        TypeError: For a list where an array is expected.

    Example:

    >>> x = np.random.rand(2, 7, 64).astype("float32")
    >>> attention = MultiHeadAttention(num_heads=4)
    >>> tuple(attention(x, use_causal_mask=True).shape)
    (2, 7, 64)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.2.
    """

    def __init__(
        self,
        num_heads,
        head_dim=None,
        dropout=0.0,
        position_encoding=None,
        *,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = arguments.integer("num_heads", num_heads)
        self.head_dim = None
        if head_dim is not None:
            self.head_dim = arguments.integer("head_dim", head_dim)
        self.dropout = arguments.rate("dropout", dropout)
        self.position_encoding = attention_position(
            position_encoding, dtype=self.dtype_policy
        )
        self.use_bias = arguments.flag("use_bias", use_bias)
        self.kernel_initializer = get_initializer(
            "kernel_initializer", kernel_initializer
        )
        self.bias_initializer = get_initializer("bias_initializer", bias_initializer)
        self.seed = check_seed("seed", seed)
        self.supports_masking = True

    check_call = check_attention_call

    def build(self, query_shape, value_shape=None, key_shape=None):
        if value_shape is None and key_shape is not None:
            value_shape = query_shape
        shapes = {"query": query_shape, "value": value_shape, "key": key_shape}
        for name, shape in shapes.items():
            if shape is not None:
                check_shape(f"{name}_shape", shape, "B T D")
        hidden_dim = query_shape[-1]
        if self.head_dim is None and hidden_dim % self.num_heads:
            raise ValueError(
                "num_heads must divide hidden_dim, or head_dim be given; received "
                f"num_heads={self.num_heads}, hidden_dim={hidden_dim}."
            )
        self._head_dim = self.head_dim or hidden_dim // self.num_heads
        self._scale = self._head_dim**-0.5
        self.widths = {n: shape[-1] for n, shape in shapes.items() if shape is not None}
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
        position = self.position_encoding
        if position is not None and not position.built:
            position.build((None, self.num_heads, None, self._head_dim))
        elif position is not None:
            position.check_heads(self.num_heads, self._head_dim)
        self.output_projection = Dense(
            hidden_dim,
            use_bias=self.use_bias,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            bias_initializer=clone_initializer(self.bias_initializer),
            dtype=self.dtype_policy,
            name="output_projection",
        )
        self.output_projection.build((None, None, self.num_heads * self._head_dim))
        self.attention_dropout = Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy
        )

    def _projection(self, parts, name, input_shape):
        dense = Dense(
            parts * self.num_heads * self._head_dim,
            use_bias=self.use_bias,
            kernel_initializer=fused_initializer(self.kernel_initializer, parts),
            bias_initializer=clone_initializer(self.bias_initializer),
            dtype=self.dtype_policy,
            name=name,
        )
        dense.build(input_shape)
        return dense

    def _project(self, inputs, *roles, num_hypotheses=1):
        """The heads (B, H, length, K) of some roles: "query", "key", "value".

        Hypotheses, consecutive rows of length 1, become one longer row.
        """
        heads = {}
        for projection in self._projections:
            parts = projection.split("_")
            if not set(parts) & set(roles):
                continue
            projected = getattr(self, projection)(inputs)
            # Static where it is known: XLA and attention of one query profit.
            rows, length = known_sizes(projected)[:2]
            if num_hypotheses != 1:
                rows, length = rows // num_hypotheses, num_hypotheses
            elif projected.shape[1] == 1:
                # One position: no order of axes to change.
                shape = (rows, len(parts), self.num_heads, 1, self._head_dim)
                projected = ops.reshape(projected, shape)
                heads.update(zip(parts, ops.unstack(projected, len(parts), axis=1)))
                continue
            shape = (rows, length, len(parts), self.num_heads, self._head_dim)
            projected = ops.reshape(projected, shape)
            projected = ops.transpose(projected, (2, 0, 3, 1, 4))
            heads.update(zip(parts, ops.unstack(projected, len(parts), axis=0)))
        return [heads[role] for role in roles]

    def project_value(self, value, key=None, value_mask=None):
        """Keys and values of a sequence, computed once for many calls.

        Args:
            value: Float tensor `(B, S, Dv)`.
            key: Float tensor `(B, S, Dk)`; the value if left out.
            value_mask: Bool `(B, S)`, marks padding.

        Returns:
            A dict for the call argument `projected_value`: `"key"` and `"value"`, each
            of shape `(B, H, S, K)`, and `"mask"`, `(B, 1, 1, S)`, if there is one.
        """
        check = CallCheck()
        check.floats("value", value, "B S D")
        check.floats("key", key, "B S Dk", optional=True)
        check.mask("value_mask", value_mask, "B S")
        keys, values = self._project_value(value, key)
        if value_mask is None:
            return {"key": keys, "value": values}
        # Where all is padding the weights are even, and a mean of zeros is zero.
        padding = ops.cast(value_mask, values.dtype)[:, None, :, None]
        mask = keys_mask(value_mask)
        return {"key": keys, "value": values * padding, "mask": mask}

    def _project_value(self, value, key):
        if key is None:
            return self._project(value, "key", "value")
        (keys,) = self._project(key, "key")
        (values,) = self._project(value, "value")
        return keys, values

    def empty_cache(self, batch_size, max_length=None):
        """A cache for self-attention step by step, before the first step.

        Args:
            batch_size: Number of sequences B, an integer or a scalar tensor.
            max_length: Number of positions L of a cache of fixed length, as compiled
                loops of fixed shapes need. By default the cache grows with each call.

        Returns:
            A dict for the call argument `cache`: `"key"` and `"value"`, each
            of shape `(B, H, L, K)`, L = 0 if it grows.
        """
        check_cache_length(max_length)
        return kv_cache.empty(
            batch_size, self.num_heads, max_length, self._head_dim, self.compute_dtype
        )

    def call(
        self,
        query,
        value=None,
        key=None,
        *,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        cache=None,
        cache_index=None,
        projected_value=None,
        num_hypotheses=1,
        training=None,
    ):
        rest = (return_attention_scores, training)
        attention_mask = full_mask(attention_mask)
        if cache is not None:
            return self._call_cached(
                query, cache, cache_index, num_hypotheses, attention_mask, *rest
            )
        if projected_value is not None:
            return self._call_projected(
                query, projected_value, num_hypotheses, attention_mask, *rest
            )
        if value is None and key is None:
            roles = "query", "key", "value"
            queries, keys, values = self._project(query, *roles)
            value_mask = combined_mask(query, query_mask)
        else:
            value = query if value is None else value
            value_mask = combined_mask(value, value_mask)
            if key is not None:
                key_mask = combined_mask(key, key_mask)
            (queries,) = self._project(query, "query")
            keys, values = self._project_value(value, key)
        mask = join_masks(keys_mask(value_mask), keys_mask(key_mask), attention_mask)
        # A causal mask alone leaves no row empty: each sees itself.
        nonempty = None if mask is None else ops.any(mask, axis=-1, keepdims=True)
        positions = None
        if use_causal_mask or self.position_encoding is not None:
            positions = [
                ops.arange(ops.shape(heads)[2], dtype="int32")
                for heads in (queries, keys)
            ]
        if use_causal_mask:
            mask = join_masks(mask, causal_mask(*positions))
        if self.position_encoding is not None:
            queries, keys = (
                self.position_encoding.rotate(heads, indices)
                for heads, indices in zip((queries, keys), positions)
            )
        context, scores = self._attend(queries, keys, values, mask, positions, *rest)
        if nonempty is not None:
            nonempty = ops.cast(nonempty, self.compute_dtype)
            # Not in place: PyTorch needs the factors for its gradients.
            context = context * nonempty
            scores = scores if scores is None else scores * nonempty
        output = self._join_heads(context, query)
        return (output, scores) if return_attention_scores else output

    def _call_projected(
        self, query, projected, num_hypotheses, mask, return_scores, training
    ):
        keys, values = projected["key"], projected["value"]
        # A beam's hypotheses stand as further query rows of their one source.
        (queries,) = self._project(query, "query", num_hypotheses=num_hypotheses)
        mask = join_masks(projected.get("mask"), mask)
        context, scores = self._attend(
            queries, keys, values, mask, None, return_scores, training
        )
        output = self._join_heads(context, query)
        return (output, scores) if return_scores else output

    def _call_cached(
        self, query, cache, index, num_hypotheses, mask, return_scores, training
    ):
        queries, keys, values = self._project(
            query, "query", "key", "value", num_hypotheses=num_hypotheses
        )
        grows = index is None
        if grows:
            index = kv_cache.length(cache, num_hypotheses)
        query_positions = index + ops.arange(ops.shape(query)[1], dtype="int32")
        if self.position_encoding is not None:
            queries, keys = (
                self.position_encoding.rotate(heads, query_positions)
                for heads in (queries, keys)
            )
        cache = kv_cache.append(
            cache, keys, values, None if grows else index, num_hypotheses
        )
        positions = query_positions, kv_cache.positions(cache, num_hypotheses)
        if not grows or query.shape[1] != 1:
            mask = join_masks(mask, causal_mask(*positions))
        context, scores = self._attend(
            queries, *kv_cache.heads(cache), mask, positions, return_scores, training
        )
        output = self._join_heads(context, query)
        return (output, scores, cache) if return_scores else (output, cache)

    def _join_heads(self, context, query):
        """Heads (B, H, T, K) -> the output (B, T, D), B and T those of the query."""
        width = self.num_heads * self._head_dim
        if query.shape[1] == 1 and context.shape[2] == 1:
            shape = (known_sizes(query)[0], 1, width)
            return self.output_projection(ops.reshape(context, shape))
        shape = (*ops.shape(query)[:2], width)
        context = ops.transpose(context, (0, 2, 1, 3))
        return self.output_projection(ops.reshape(context, shape))

    def _attend(self, queries, keys, values, mask, positions, return_scores, training):
        """Equation 1, on heads (B, H, length, K); `mask` broadcasts to (B, H, T, S)."""
        position = self.position_encoding
        queries = queries * self._scale
        bias = position and position.score_bias(queries, *positions)
        adds_to_context = position is not None and position.adds_to_context
        drops = training and self.dropout > 0
        if not (return_scores or drops or adds_to_context):
            return kernels.attend(queries, keys, values, bias, mask), None
        scores = kernels.masked(kernels.scores(queries, keys), bias, mask)
        weights = kernels.softmax(scores, queries.dtype)
        dropped = self.attention_dropout(weights, training=training)
        context = kernels.weighted_sum(dropped, values)
        if adds_to_context:
            context = context + position.context_bias(dropped, *positions)
        return context, weights

    def compute_output_spec(
        self,
        query,
        value=None,
        key=None,
        *,
        return_attention_scores=False,
        cache=None,
        projected_value=None,
        **kwargs,
    ):
        if cache is not None:
            # The shapes of a step's results follow from running it.
            return super(keras.layers.Layer, self).compute_output_spec(
                query,
                return_attention_scores=return_attention_scores,
                cache=cache,
                **kwargs,
            )
        outputs = [keras.KerasTensor(query.shape, self.compute_dtype)]
        if projected_value is not None:
            source_length = projected_value["key"].shape[2]
        else:
            source_length = (query if value is None else value).shape[1]
        if return_attention_scores:
            shape = (query.shape[0], self.num_heads, query.shape[1], source_length)
            outputs.append(keras.KerasTensor(shape, self.compute_dtype))
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        return query_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "dropout": self.dropout,
            "position_encoding": serialize_position(self.position_encoding),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }
