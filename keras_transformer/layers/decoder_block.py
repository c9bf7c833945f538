"""The layer of the decoder (section 3.1)."""

import keras

from keras_transformer import arguments
from keras_transformer.layers import cache as kv_cache
from keras_transformer.layers.block import BLOCK_ARGS, Block, as_tuple
from keras_transformer.layers.masks import combined_mask
from keras_transformer.layers.shapes import CallCheck, check_shape


@keras.saving.register_keras_serializable(package="keras_transformer")
class DecoderBlock(Block):
    __doc__ = f"""A layer of the decoder: self-, cross-attention, feed-forward network.

    Self-attention is causal. Cross-attention reads the encoder's output; called without
    one, the block has none and is the layer of a language model.
    {BLOCK_ARGS}
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

    def check_call(self, given):
        arguments.flag("use_causal_mask", given.use_causal_mask)
        arguments.flag("return_attention_scores", given.return_attention_scores)
        check = CallCheck(H=self.num_heads, D=self._width, De=self._encoder_width)
        check.floats("decoder_sequence", given.decoder_sequence, "B T D")
        source = given.encoder_sequence
        check.floats("encoder_sequence", source, "B S De", optional=True)
        if given.cache is not None:
            self._check_cache(given)
        elif given.cache_index is not None:
            raise ValueError(
                "cache_index is for a call with a cache; received "
                f"cache_index={given.cache_index}."
            )
        check.mask("decoder_sequence_mask", given.decoder_sequence_mask, "B T")
        check.mask("encoder_sequence_mask", given.encoder_sequence_mask, "B S")
        mask = given.decoder_attention_mask
        if given.cache is None:
            forms = "T T", "B T T", "B H T T"
            check.mask("decoder_attention_mask", mask, *forms, broadcasts=True)
        else:
            CallCheck().mask("decoder_attention_mask", mask, "B N S")
        mask = given.encoder_attention_mask
        forms = "T S", "B T S", "B H T S"
        check.mask("encoder_attention_mask", mask, *forms, broadcasts=True)
        self._check_encoder_is_there(
            source is not None
            or (given.cache is not None and kv_cache.source(given.cache) is not None),
            {
                "encoder_sequence_mask": given.encoder_sequence_mask,
                "encoder_attention_mask": given.encoder_attention_mask,
            },
        )

    @property
    def _encoder_width(self):
        has_encoder = self.built and self.cross_attention is not None
        return self.cross_attention.widths["value"] if has_encoder else None

    def _check_cache(self, given):
        cache, source = given.cache, given.encoder_sequence
        if not kv_cache.is_of_block(cache):
            known = list(cache) if isinstance(cache, dict) else type(cache).__name__
            raise ValueError(
                f"cache must be a dict from empty_cache; received cache={known}."
            )
        if source is not None:
            raise ValueError(
                "encoder_sequence goes to empty_cache, not to a call with a cache; "
                f"received one of shape {tuple(source.shape)}."
            )
        for name in ("decoder_sequence_mask", "encoder_sequence_mask"):
            mask = getattr(given, name)
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
        self._build_feed_forward(shape)

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
        *,
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
            return as_tuple(
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
            return as_tuple(
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
        x = self._feed(x, training)
        if cache is not None:
            extras.append(cache)
        return (x, *extras) if extras else x

    def compute_output_spec(
        self,
        decoder_sequence,
        encoder_sequence=None,
        *,
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
