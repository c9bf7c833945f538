"""The layers of the encoder and of the decoder (section 3.1)."""

import keras

from keras_transformer.layers import cache as kv_cache
from keras_transformer.layers.arguments import (
    check_flag,
    check_number,
    check_positive,
    check_rate,
    check_seed,
    get_activation,
    get_initializer,
)
from keras_transformer.layers.attention import MultiHeadAttention
from keras_transformer.layers.attention_position import (
    attention_position,
    deserialize_position,
    serialize_position,
)
from keras_transformer.layers.checked_layer import CheckedLayer
from keras_transformer.layers.core import Dropout, LayerNormalization, part_seed
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.masks import combined_mask
from keras_transformer.layers.shapes import CallCheck, check_shape


class _Block(CheckedLayer):
    """What the encoder's and the decoder's block share: arguments and residuals."""

    _is_causal = False

    def __init__(
        self,
        num_heads,
        intermediate_dim,
        dropout=0.1,
        activation="relu",
        norm_first=False,
        position_encoding=None,
        attention_dropout=0.0,
        intermediate_dropout=0.0,
        layer_norm_epsilon=1e-6,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = check_positive("num_heads", num_heads)
        self.intermediate_dim = check_positive("intermediate_dim", intermediate_dim)
        self.dropout = check_rate("dropout", dropout)
        self.activation = get_activation(activation, self.intermediate_dim)
        self.norm_first = check_flag("norm_first", norm_first)
        self.position_encoding = attention_position(
            position_encoding, causal=self._is_causal, dtype=self.dtype_policy
        )
        self.attention_dropout = check_rate("attention_dropout", attention_dropout)
        self.intermediate_dropout = check_rate(
            "intermediate_dropout", intermediate_dropout
        )
        self.layer_norm_epsilon = check_number(
            "layer_norm_epsilon", layer_norm_epsilon, lambda e: e >= 0, "0 or more"
        )
        self.use_bias = check_flag("use_bias", use_bias)
        self.kernel_initializer = get_initializer(
            "kernel_initializer", kernel_initializer
        )
        self.bias_initializer = get_initializer("bias_initializer", bias_initializer)
        self.seed = check_seed("seed", seed)
        self.supports_masking = True

    @property
    def _width(self):
        return self.feed_forward_norm.gamma.shape[0] if self.built else None

    def _attention(self, name, position_encoding=None):
        return MultiHeadAttention(
            self.num_heads,
            dropout=self.attention_dropout,
            position_encoding=position_encoding,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            seed=part_seed(self.seed, name),
            dtype=self.dtype_policy,
            name=name,
        )

    def _feed_forward(self, name):
        return FeedForward(
            self.intermediate_dim,
            activation=self.activation,
            dropout=self.intermediate_dropout,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            seed=part_seed(self.seed, name),
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name, shape):
        norm = LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build(shape)
        return norm

    def _build_residual(self):
        self.residual_dropout = Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy
        )

    def _residual(self, inputs, sublayer, norm, training):
        """`LayerNorm(x + Dropout(sublayer(x)))`, or with the norm before.

        `sublayer` returns its output and anything else, which is passed on.
        """
        outputs, *others = sublayer(norm(inputs) if self.norm_first else inputs)
        outputs = inputs + self.residual_dropout(outputs, training=training)
        return (outputs if self.norm_first else norm(outputs)), *others

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "norm_first": self.norm_first,
            "position_encoding": serialize_position(self.position_encoding),
            "attention_dropout": self.attention_dropout,
            "intermediate_dropout": self.intermediate_dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        position = deserialize_position(config["position_encoding"])
        return cls(**{**config, "position_encoding": position})


_BLOCK_ARGS = """
    Args:
        num_heads: Number of attention heads H; it must divide the input's width.
        intermediate_dim: Inner width of the feed-forward network (d_ff).
        dropout: Dropout rate on the output of each sub-layer (section 5.4).
        activation: Activation of the feed-forward network.
        norm_first: Whether layer normalization comes before each sub-layer (pre-norm)
            and not after the residual sum (post-norm, as in the paper). A stack of
            pre-norm blocks needs one more normalization at its end.
        position_encoding: How self-attention itself knows order: `"rotary"`,
            `"relative"`, `"t5"`, `"alibi"`, a layer of theirs, which several blocks may
            share, or None, the paper's, whose positions are added before the blocks.
        attention_dropout: Dropout rate on the attention weights; none in the paper.
        intermediate_dropout: Dropout rate inside the feed-forward network; none in
            the paper.
        layer_norm_epsilon: Epsilon of the layer normalizations.
        use_bias: Whether the attention's projections have biases.
        kernel_initializer: Initializer of all kernels.
        bias_initializer: Initializer of all biases.
        seed: Seed of all dropouts.
"""


@keras.saving.register_keras_serializable(package="keras_transformer")
class EncoderBlock(_Block):
    __doc__ = f"""One layer of the encoder: self-attention, then a feed-forward network.

    Each of the two sub-layers has a residual connection around it and a layer
    normalization: `LayerNorm(x + Sublayer(x))`.
    {_BLOCK_ARGS}
    Call arguments:
        inputs: Float tensor `(B, S, D)`.
        mask: Bool `(B, S)`, marks padding; joined with the mask that Keras carries.
        attention_mask: Bool `(S, S)`, `(B, S, S)` or `(B, H, S, S)`; axes of 1
            broadcast.
        use_causal_mask: Whether each row attends only to itself and those before it.
        return_attention_scores: Whether to return the attention weights too.
        training: Whether dropout is on.

    Returns:
        A tensor of the shape of `inputs`, or a tuple of it and the attention weights
        `(B, H, S, S)`.

    Raises:
        ValueError: If `num_heads` doesn't divide the width, a rate or size is out of
            range, shapes don't fit each other, or a mask isn't boolean or of 0 and 1.
        TypeError: For a list where an array is expected.

    Example:

    >>> x = np.random.rand(2, 7, 64).astype("float32")
    >>> tuple(EncoderBlock(num_heads=4, intermediate_dim=128)(x).shape)
    (2, 7, 64)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.1.
    """

    def check_call(
        self,
        inputs,
        mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        check = CallCheck(H=self.num_heads, D=self._width)
        check.floats("inputs", inputs, "B S D")
        check.mask("mask", mask, "B S")
        forms = "S S", "B S S", "B H S S"
        check.mask("attention_mask", attention_mask, *forms, broadcasts=True)
        check_flag("use_causal_mask", use_causal_mask)
        check_flag("return_attention_scores", return_attention_scores)

    def build(self, input_shape):
        check_shape("input_shape", input_shape, "B S D")
        self.self_attention = self._attention("self_attention", self.position_encoding)
        self.self_attention.build(input_shape)
        self.self_attention_norm = self._norm("self_attention_norm", input_shape)
        self.feed_forward = self._feed_forward("feed_forward")
        self.feed_forward.build(input_shape)
        self.feed_forward_norm = self._norm("feed_forward_norm", input_shape)
        self._build_residual()

    def call(
        self,
        inputs,
        mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        mask = combined_mask(inputs, mask)

        def attend(x):
            return _as_tuple(
                self.self_attention(
                    x,
                    query_mask=mask,
                    attention_mask=attention_mask,
                    use_causal_mask=use_causal_mask,
                    return_attention_scores=return_attention_scores,
                    training=training,
                )
            )

        x, *scores = self._residual(inputs, attend, self.self_attention_norm, training)
        (x,) = self._residual(
            x,
            lambda x: (self.feed_forward(x, training=training),),
            self.feed_forward_norm,
            training,
        )
        return (x, *scores) if return_attention_scores else x

    def compute_output_spec(self, inputs, return_attention_scores=False, **kwargs):
        output = keras.KerasTensor(inputs.shape, self.compute_dtype)
        if not return_attention_scores:
            return output
        batch, length = inputs.shape[:2]
        scores = (batch, self.num_heads, length, length)
        return output, keras.KerasTensor(scores, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="keras_transformer")
class DecoderBlock(_Block):
    __doc__ = f"""A layer of the decoder: self-, cross-attention, feed-forward network.

    Self-attention is causal. Cross-attention reads the encoder's output; called without
    one, the block has none and is the layer of a language model.
    {_BLOCK_ARGS}
    Call arguments:
        decoder_sequence: Float tensor `(B, T, D)`.
        encoder_sequence: Float tensor `(B, S, De)`, the encoder's output, or None.
        decoder_sequence_mask: Bool `(B, T)`, marks padding.
        encoder_sequence_mask: Bool `(B, S)`, marks padding; with a `cache`, which has
            it already, left out.
        decoder_attention_mask: Bool `(T, T)`, `(B, T, T)` or `(B, H, T, T)`. With a
            `cache`, `(B, N, S)` for N hypotheses that share a row of it.
        encoder_attention_mask: Bool `(T, S)`, `(B, T, S)` or `(B, H, T, S)`.
        use_causal_mask: Whether row t attends to rows 0 to t only.
        return_attention_scores: Whether to return the attention weights too.
        cache: A dict from `empty_cache`, for decoding step by step; see
            `MultiHeadAttention`.
        cache_index: Scalar integer, the position of the first row of
            `decoder_sequence`, for a cache of fixed length.
        training: Whether dropout is on.

    Returns:
        A tensor of the shape of `decoder_sequence`. With `return_attention_scores` a
        tuple with the weights of self-attention `(B, H, T, T)` and of
        cross-attention `(B, H, T, S)`, if there is one; with `cache` the updated cache
        comes last.

    Raises:
        ValueError: If `num_heads` doesn't divide the width, a rate or size is
            out of range, shapes don't fit each other, a mask isn't boolean or of 0 and
            1, or an encoder's output is there but wasn't when the layer was built, or
            the other way round.
        TypeError: For a list where an array is expected.

    Example:

    >>> source = np.random.rand(2, 9, 64).astype("float32")
    >>> target = np.random.rand(2, 7, 64).astype("float32")
    >>> tuple(DecoderBlock(num_heads=4, intermediate_dim=128)(target, source).shape)
    (2, 7, 64)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.1.
    """

    _is_causal = True

    def check_call(
        self,
        decoder_sequence,
        encoder_sequence=None,
        decoder_sequence_mask=None,
        encoder_sequence_mask=None,
        decoder_attention_mask=None,
        encoder_attention_mask=None,
        use_causal_mask=True,
        return_attention_scores=False,
        cache=None,
        cache_index=None,
        training=None,
    ):
        check_flag("use_causal_mask", use_causal_mask)
        check_flag("return_attention_scores", return_attention_scores)
        check = CallCheck(H=self.num_heads, D=self._width, De=self._encoder_width)
        check.floats("decoder_sequence", decoder_sequence, "B T D")
        check.floats("encoder_sequence", encoder_sequence, "B S De", optional=True)
        masks = {
            "decoder_sequence_mask": decoder_sequence_mask,
            "encoder_sequence_mask": encoder_sequence_mask,
        }
        if cache is not None:
            self._check_cache(cache, encoder_sequence, masks)
        elif cache_index is not None:
            raise ValueError(
                "cache_index is for a call with a cache; received "
                f"cache_index={cache_index}."
            )
        check.mask("decoder_sequence_mask", decoder_sequence_mask, "B T")
        check.mask("encoder_sequence_mask", encoder_sequence_mask, "B S")
        if cache is None:
            check.mask(
                "decoder_attention_mask",
                decoder_attention_mask,
                *("T T", "B T T", "B H T T"),
                broadcasts=True,
            )
        else:
            CallCheck().mask("decoder_attention_mask", decoder_attention_mask, "B N S")
        forms = "T S", "B T S", "B H T S"
        check.mask(
            "encoder_attention_mask", encoder_attention_mask, *forms, broadcasts=True
        )
        self._check_encoder_is_there(
            encoder_sequence is not None
            or (cache is not None and kv_cache.source(cache) is not None),
            {
                "encoder_sequence_mask": encoder_sequence_mask,
                "encoder_attention_mask": encoder_attention_mask,
            },
        )

    @property
    def _encoder_width(self):
        has_encoder = self.built and self.cross_attention is not None
        return self.cross_attention.widths["value"] if has_encoder else None

    def _check_cache(self, cache, encoder_sequence, masks):
        if not kv_cache.is_of_block(cache):
            known = list(cache) if isinstance(cache, dict) else type(cache).__name__
            raise ValueError(
                f"cache must be a dict from empty_cache; received cache={known}."
            )
        if encoder_sequence is not None:
            raise ValueError(
                "encoder_sequence goes to empty_cache, not to a call with a cache; "
                f"received one of shape {tuple(encoder_sequence.shape)}."
            )
        for name, mask in masks.items():
            if mask is not None:
                raise ValueError(
                    f"{name} can't be given with a cache: encoder_sequence_mask goes "
                    "to empty_cache, beside encoder_sequence, and "
                    "decoder_attention_mask says what the decoder sees; received "
                    f"{name} of shape {tuple(mask.shape)}."
                )

    def _check_encoder_is_there(self, is_there, masks):
        if self.built and is_there != (self.cross_attention is not None):
            raise ValueError(
                "A DecoderBlock has cross-attention if its first call had an "
                "encoder_sequence, and keeps to that; received encoder_sequence="
                f"{'a tensor' if is_there else None} in {self.name!r}, built "
                f"{'with' if self.cross_attention else 'without'} cross-attention."
            )
        for name, mask in masks.items():
            if mask is not None and not is_there:
                raise ValueError(
                    f"{name} is for a call with an encoder_sequence; received {name} "
                    f"of shape {tuple(mask.shape)} without one."
                )

    def build(self, decoder_sequence_shape, encoder_sequence_shape=None):
        shape = decoder_sequence_shape
        check_shape("decoder_sequence_shape", shape, "B T D")
        if encoder_sequence_shape is not None:
            check_shape("encoder_sequence_shape", encoder_sequence_shape, "B S De")
        self.self_attention = self._attention("self_attention", self.position_encoding)
        self.self_attention.build(shape)
        self.self_attention_norm = self._norm("self_attention_norm", shape)
        self.cross_attention = None
        if encoder_sequence_shape is not None:
            self.cross_attention = self._attention("cross_attention")
            self.cross_attention.build(shape, encoder_sequence_shape)
            self.cross_attention_norm = self._norm("cross_attention_norm", shape)
        self.feed_forward = self._feed_forward("feed_forward")
        self.feed_forward.build(shape)
        self.feed_forward_norm = self._norm("feed_forward_norm", shape)
        self._build_residual()

    def empty_cache(
        self,
        batch_size,
        max_length=None,
        encoder_sequence=None,
        encoder_sequence_mask=None,
    ):
        """What decoding step by step keeps of this block, before the first step.

        Args:
            batch_size: Number of sequences B, an integer or a scalar tensor.
            max_length: Number of positions of a cache of fixed length; by default it
                grows.
            encoder_sequence: Float tensor `(B, S, De)`, the encoder's output, whose
                keys and values are computed here, once.
            encoder_sequence_mask: Bool `(B, S)`, marks padding.

        Returns:
            A dict for the call argument `cache`: `"self"` and, with cross-attention,
            `"cross"`, each a dict of keys and values.
        """
        if not self.built:
            raise ValueError(
                f"{self.name!r} must be built before it has a cache: call it once, or "
                "build it with the shapes of its inputs."
            )
        self._check_encoder_is_there(
            encoder_sequence is not None,
            {"encoder_sequence_mask": encoder_sequence_mask},
        )
        check = CallCheck(De=self._encoder_width)
        check.floats("encoder_sequence", encoder_sequence, "B S De", optional=True)
        check.mask("encoder_sequence_mask", encoder_sequence_mask, "B S")
        source = None
        if self.cross_attention is not None:
            source = self.cross_attention.project_value(
                encoder_sequence, value_mask=encoder_sequence_mask
            )
        own = self.self_attention.empty_cache(batch_size, max_length)
        return kv_cache.of_block(own, source)

    @property
    def step_kernels(self):
        """The kernels of each step of decoding, so not that of the source's keys."""
        kernels = [v for v in self.trainable_variables if v.name == "kernel"]
        if self.cross_attention is None:
            return kernels
        of_source = self.cross_attention.key_value.kernel
        return [kernel for kernel in kernels if kernel is not of_source]

    def call(
        self,
        decoder_sequence,
        encoder_sequence=None,
        decoder_sequence_mask=None,
        encoder_sequence_mask=None,
        decoder_attention_mask=None,
        encoder_attention_mask=None,
        use_causal_mask=True,
        return_attention_scores=False,
        cache=None,
        cache_index=None,
        training=None,
    ):
        mask = combined_mask(decoder_sequence, decoder_sequence_mask)
        num_hypotheses = 1
        if cache is not None:
            num_hypotheses = kv_cache.num_hypotheses(decoder_attention_mask)
        common = {
            "return_attention_scores": return_attention_scores,
            "training": training,
        }

        def attend_to_self(x):
            if cache is None:
                step = {"query_mask": mask, "use_causal_mask": use_causal_mask}
            else:
                step = {
                    "cache": kv_cache.own(cache),
                    "cache_index": cache_index,
                    "num_hypotheses": num_hypotheses,
                }
            return _as_tuple(
                self.self_attention(
                    x, attention_mask=decoder_attention_mask, **step, **common
                )
            )

        def attend_to_encoder(x):
            if cache is None:
                source_mask = combined_mask(encoder_sequence, encoder_sequence_mask)
                source = {"value": encoder_sequence, "value_mask": source_mask}
            else:
                source = {
                    "projected_value": kv_cache.source(cache),
                    "num_hypotheses": num_hypotheses,
                }
            return _as_tuple(
                self.cross_attention(
                    x,
                    attention_mask=encoder_attention_mask,
                    **source,
                    **common,
                )
            )

        x, *extras = self._residual(
            decoder_sequence, attend_to_self, self.self_attention_norm, training
        )
        if cache is not None:
            cache = kv_cache.of_block(extras.pop(), kv_cache.source(cache))
        if self.cross_attention is not None:
            x, *cross_scores = self._residual(
                x, attend_to_encoder, self.cross_attention_norm, training
            )
            extras += cross_scores
        (x,) = self._residual(
            x,
            lambda x: (self.feed_forward(x, training=training),),
            self.feed_forward_norm,
            training,
        )
        if cache is not None:
            extras.append(cache)
        return (x, *extras) if extras else x

    def compute_output_spec(
        self,
        decoder_sequence,
        encoder_sequence=None,
        return_attention_scores=False,
        cache=None,
        **kwargs,
    ):
        output = keras.KerasTensor(decoder_sequence.shape, self.compute_dtype)
        if cache is not None:
            # The shapes of a step's results follow from running it.
            return super(keras.layers.Layer, self).compute_output_spec(
                decoder_sequence,
                encoder_sequence,
                return_attention_scores=return_attention_scores,
                cache=cache,
                **kwargs,
            )
        if not return_attention_scores:
            return output
        batch, length = decoder_sequence.shape[:2]
        lengths = [length]
        if encoder_sequence is not None:
            lengths.append(encoder_sequence.shape[1])
        return output, *(
            keras.KerasTensor(
                (batch, self.num_heads, length, source_length), self.compute_dtype
            )
            for source_length in lengths
        )

    def compute_output_shape(self, decoder_sequence_shape, encoder_sequence_shape=None):
        return decoder_sequence_shape


def _as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)
