"""The Transformer: an encoder and a decoder of blocks (figure 1)."""

import keras
from keras import ops

from keras_transformer.layers.arguments import check_positive, check_rate
from keras_transformer.layers.attention_position import (
    BY_NAME,
    AttentionPosition,
    attention_position,
)
from keras_transformer.layers.blocks import DecoderBlock, EncoderBlock
from keras_transformer.layers.embedding import TokenEmbedding
from keras_transformer.layers.position import (
    LearnedPositionalEncoding,
    PositionalEncoding,
)
from keras_transformer.models.presets import PRESETS


@keras.saving.register_keras_serializable(package="keras_transformer")
class Transformer(keras.Model):
    """The encoder-decoder of "Attention Is All You Need", a functional Keras model.

    The defaults are the paper's base model. Inputs are a dict of integer ids,
    in which id 0 is padding: `"source_ids"` of shape `(B, S)` and `"target_ids"` of
    shape `(B, T)`, the target shifted right, that is, with the start token first.
    The output are logits `(B, T, V)` in float32: row t scores the token after target
    token t. Padding and the other sentences of a batch never change a sentence's
    logits.

    Args:
        source_vocabulary_size: Number of source tokens, padding included.
        target_vocabulary_size: Number of target tokens V. If left out, source and
            target share one vocabulary and one embedding matrix, as in the paper.
        num_layers: Number N of encoder blocks, and of decoder blocks.
        num_decoder_layers: Number of decoder blocks, if it is another one.
        hidden_dim: Width D of the model (d_model).
        num_heads: Number of attention heads H; it must divide `hidden_dim`.
        intermediate_dim: Inner width of the feed-forward networks (d_ff).
        dropout: Dropout rate on the sum of embedding and position, and on the output of
            each sub-layer (section 5.4).
        position_encoding: How the model knows order, a name, a layer or None.
            `"sinusoidal"` (the paper's) and `"learned"` (512 positions), or any Keras
            layer that takes and returns `(B, T, D)` and has the call argument
            `start_index`, are added to the embeddings, source and target. `"rotary"`,
            `"relative"`, `"t5"` and `"alibi"`, or a layer of theirs, act inside of
            self-attention. By name, `"relative"` has tables of its own in each block
            and `"t5"` one for the encoder and one for the decoder; a layer is shared by
            all blocks.
        norm_first: Whether layer normalization comes before each sub-layer
            (pre-norm); one more then ends each stack. The paper's is post-norm.
        activation: Activation of the feed-forward networks.
        attention_dropout: Dropout rate on attention weights; none in the paper.
        intermediate_dropout: Dropout rate inside the feed-forward networks; none in
            the paper.
        layer_norm_epsilon: Epsilon of the layer normalizations.
        use_bias: Whether the attention's projections have biases.
        scale_embedding: Whether embeddings are multiplied by `sqrt(hidden_dim)`.
        norm_embedding: Whether layer normalization follows the sum of embedding and
            position; none in the paper.
        logits_bias: Whether logits have a bias for each token; none in the paper.
        seed: Seed of all dropouts.
        dtype: Dtype or dtype policy of all layers, such as `"mixed_bfloat16"`.

    Raises:
        ValueError: If a size isn't a positive integer, `num_heads` doesn't divide
            `hidden_dim`, or a rate or name is unknown.

    Example:

    >>> model = Transformer(1000, num_layers=2, hidden_dim=64, num_heads=4,
    ...                     intermediate_dim=128)
    >>> source_ids = np.random.randint(1, 1000, (2, 9))
    >>> target_ids = np.random.randint(1, 1000, (2, 7))
    >>> model({"source_ids": source_ids, "target_ids": target_ids}).shape
    (2, 7, 1000)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762).
    """

    def __init__(
        self,
        source_vocabulary_size,
        target_vocabulary_size=None,
        num_layers=6,
        hidden_dim=512,
        num_heads=8,
        intermediate_dim=2048,
        dropout=0.1,
        position_encoding="sinusoidal",
        norm_first=False,
        activation="relu",
        attention_dropout=0.0,
        intermediate_dropout=0.0,
        layer_norm_epsilon=1e-6,
        use_bias=True,
        num_decoder_layers=None,
        scale_embedding=True,
        norm_embedding=False,
        logits_bias=False,
        seed=None,
        dtype=None,
        **kwargs,
    ):
        check_positive("source_vocabulary_size", source_vocabulary_size)
        if target_vocabulary_size is not None:
            check_positive("target_vocabulary_size", target_vocabulary_size)
        check_positive("num_layers", num_layers)
        if num_decoder_layers is not None:
            check_positive("num_decoder_layers", num_decoder_layers)
        check_positive("num_heads", num_heads)
        check_positive("hidden_dim", hidden_dim)
        for name, rate in (
            ("dropout", dropout),
            ("attention_dropout", attention_dropout),
            ("intermediate_dropout", intermediate_dropout),
        ):
            check_rate(name, rate)
        if hidden_dim % num_heads:
            raise ValueError(
                "num_heads must divide hidden_dim; received "
                f"num_heads={num_heads}, hidden_dim={hidden_dim}."
            )
        dtype = keras.dtype_policies.get(dtype)
        config = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "num_layers": num_layers,
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "dropout": dropout,
            "position_encoding": position_encoding,
            "norm_first": norm_first,
            "activation": activation,
            "attention_dropout": attention_dropout,
            "intermediate_dropout": intermediate_dropout,
            "layer_norm_epsilon": layer_norm_epsilon,
            "use_bias": use_bias,
            "num_decoder_layers": num_decoder_layers,
            "scale_embedding": scale_embedding,
            "norm_embedding": norm_embedding,
            "logits_bias": logits_bias,
            "seed": seed,
        }
        embedding_position, encoder_position, decoder_position = _positions(
            position_encoding, dtype
        )
        block_arguments = {
            name: config[name]
            for name in (
                "num_heads",
                "intermediate_dim",
                "dropout",
                "activation",
                "norm_first",
                "attention_dropout",
                "intermediate_dropout",
                "layer_norm_epsilon",
                "use_bias",
                "seed",
            )
        }

        def norm(name):
            return keras.layers.LayerNormalization(
                epsilon=layer_norm_epsilon, dtype=dtype, name=name
            )

        def embedding(size, name, use_bias):
            return TokenEmbedding(
                size,
                hidden_dim,
                scale=scale_embedding,
                use_bias=use_bias,
                dtype=dtype,
                name=name,
            )

        if target_vocabulary_size is None:
            source_embedding = embedding(
                source_vocabulary_size, "embedding", logits_bias
            )
            target_embedding = source_embedding
        else:
            source_embedding = embedding(
                source_vocabulary_size, "source_embedding", False
            )
            target_embedding = embedding(
                target_vocabulary_size, "target_embedding", logits_bias
            )
        position = embedding_position
        embedding_dropout = keras.layers.Dropout(
            dropout, seed=seed, dtype=dtype, name="embedding_dropout"
        )
        encoder_blocks = [
            EncoderBlock(
                **block_arguments,
                position_encoding=encoder_position,
                dtype=dtype,
                name=f"encoder_{i}",
            )
            for i in range(num_layers)
        ]
        decoder_blocks = [
            DecoderBlock(
                **block_arguments,
                position_encoding=decoder_position,
                dtype=dtype,
                name=f"decoder_{i}",
            )
            for i in range(num_decoder_layers or num_layers)
        ]
        encoder_norm = norm("encoder_norm") if norm_first else None
        decoder_norm = norm("decoder_norm") if norm_first else None
        encoder_embedding_norm = decoder_embedding_norm = None
        if norm_embedding:
            encoder_embedding_norm = norm("encoder_embedding_norm")
            decoder_embedding_norm = norm("decoder_embedding_norm")

        source_ids = keras.Input((None,), dtype="int32", name="source_ids")
        target_ids = keras.Input((None,), dtype="int32", name="target_ids")
        memory = source_embedding(source_ids)
        memory = position(memory) if position else memory
        memory = encoder_embedding_norm(memory) if norm_embedding else memory
        memory = embedding_dropout(memory)
        for block in encoder_blocks:
            memory = block(memory)
        memory = encoder_norm(memory) if encoder_norm else memory
        x = target_embedding(target_ids)
        x = position(x) if position else x
        x = decoder_embedding_norm(x) if norm_embedding else x
        x = embedding_dropout(x)
        for block in decoder_blocks:
            x = block(x, memory)
        x = decoder_norm(x) if decoder_norm else x
        logits = target_embedding(x, reverse=True)

        super().__init__(
            inputs={"source_ids": source_ids, "target_ids": target_ids},
            outputs=logits,
            **kwargs,
        )
        self.config = config
        self.dtype_policy = dtype
        self.source_embedding = source_embedding
        self.target_embedding = target_embedding
        self.position = position
        self.embedding_dropout = embedding_dropout
        self.encoder_blocks = encoder_blocks
        self.decoder_blocks = decoder_blocks
        self.encoder_norm = encoder_norm
        self.decoder_norm = decoder_norm
        self.encoder_embedding_norm = encoder_embedding_norm
        self.decoder_embedding_norm = decoder_embedding_norm

    @classmethod
    def from_preset(cls, preset, source_vocabulary_size, **kwargs):
        """A new model, with random weights, of a known size.

        Args:
            preset: `"base"` or `"big"` (the paper's), `"small"`, `"tiny"` or `"mini"`.
            source_vocabulary_size: Number of source tokens, padding included.
            **kwargs: Any other argument of `Transformer`; it overrides the preset's.

        Raises:
            ValueError: For an unknown preset.

        Example:

        >>> model = Transformer.from_preset("mini", source_vocabulary_size=500)
        """
        if preset not in PRESETS:
            raise ValueError(
                f"preset must be one of {sorted(PRESETS)}; received preset={preset!r}."
            )
        return cls(source_vocabulary_size, **{**PRESETS[preset], **kwargs})

    def encode(self, source_ids, return_attention_scores=False):
        """The encoder alone.

        Args:
            source_ids: Integer ids `(B, S)`, 0 is padding.
            return_attention_scores: Whether to return the attention weights too.

        Returns:
            Hidden states `(B, S, D)`; or a tuple of them and a list with the weights
            `(B, H, S, S)` of each block.
        """
        mask = ops.not_equal(source_ids, 0)
        x = self._embed_source(source_ids)
        scores = []
        for block in self.encoder_blocks:
            x = block(x, mask=mask, return_attention_scores=return_attention_scores)
            if return_attention_scores:
                x, block_scores = x
                scores.append(block_scores)
        x = self.encoder_norm(x) if self.encoder_norm else x
        return (x, scores) if return_attention_scores else x

    @property
    def max_length(self):
        """Most positions of a sequence, or None if there is no such bound."""
        return getattr(self.position, "max_length", None)

    def with_max_length(self, max_length):
        """A copy of a model with learned positions, for longer or shorter sequences.

        Args:
            max_length: Number of positions of the copy, whose table is interpolated
                from this model's; all other weights are the same.

        Returns:
            A new `Transformer`, not compiled.

        Raises:
            ValueError: If the model's positions aren't learned.

        Example:

        >>> model = Transformer(100, position_encoding="learned")
        >>> model.with_max_length(1024).max_length
        1024
        """
        if not isinstance(self.position, LearnedPositionalEncoding):
            raise ValueError(
                "Only learned positions have a max_length; this model has "
                f"position_encoding={self.config['position_encoding']!r}."
            )
        position = LearnedPositionalEncoding.from_config(
            {**self.position.get_config(), "max_length": max_length}
        )
        position = keras.saving.serialize_keras_object(position)
        copy = type(self).from_config(
            {**self.get_config(), "position_encoding": position}
        )
        for old, new in zip(self.weights, copy.weights):
            if old is not self.position.embeddings:
                new.assign(old)
        copy.position.interpolate_from(self.position)
        return copy

    def start_decoding(self, source_ids, max_length=None):
        """Encodes the source and prepares decoding it step by step.

        Args:
            source_ids: Integer ids `(B, S)`, 0 is padding.
            max_length: Number of positions of caches of fixed length, hypotheses
                counted singly; by default they grow.

        Returns:
            The caches for `decode_step`, a list with one for each block.
        """
        memory = self.encode(source_ids)
        mask = ops.not_equal(source_ids, 0)
        batch_size = ops.shape(source_ids)[0]
        return [
            block.empty_cache(batch_size, max_length, memory, mask)
            for block in self.decoder_blocks
        ]

    def decode_step(
        self,
        target_ids,
        index,
        caches,
        mask=None,
        fixed_shapes=False,
        output_kernel=None,
    ):
        """One step of decoding.

        Args:
            target_ids: Integer ids `(B N, T)`, the newest tokens of N hypotheses of
                each sentence; usually T is 1.
            index: Scalar integer, the position of the first of them.
            caches: From `start_decoding` or the step before.
            mask: Bool `(B, N, L)`, which cached positions each hypothesis descends
                from, if N is more than 1; see `kt.layers.MultiHeadAttention`.
            fixed_shapes: Whether the caches have a fixed length.
            output_kernel: `target_embedding.output_kernel()`, computed once for all
                steps.

        Returns:
            A tuple of the logits `(B N, T, V)` and the next caches.
        """
        x = self._embed_target(target_ids, index)
        next_caches = []
        for block, cache in zip(self.decoder_blocks, caches):
            x, cache = block(
                x,
                decoder_attention_mask=mask,
                cache=cache,
                cache_index=index if fixed_shapes else None,
            )
            next_caches.append(cache)
        x = self.decoder_norm(x) if self.decoder_norm else x
        logits = self.target_embedding(x, reverse=True, kernel=output_kernel)
        return logits, next_caches

    def attention_scores(self, source_ids, target_ids):
        """The attention weights of every block, for pictures and alignments.

        Args:
            source_ids: Integer ids `(B, S)`, 0 is padding.
            target_ids: Integer ids `(B, T)`, the target shifted right.

        Returns:
            A dict of lists with one tensor a block: `"encoder"` `(B, H, S, S)`,
            `"decoder"` `(B, H, T, T)` and `"cross"` `(B, H, T, S)`.
        """
        memory, encoder_scores = self.encode(source_ids, return_attention_scores=True)
        x = self._embed_target(target_ids)
        decoder_scores, cross_scores = [], []
        for block in self.decoder_blocks:
            x, block_scores, block_cross_scores = block(
                x,
                memory,
                decoder_sequence_mask=ops.not_equal(target_ids, 0),
                encoder_sequence_mask=ops.not_equal(source_ids, 0),
                return_attention_scores=True,
            )
            decoder_scores.append(block_scores)
            cross_scores.append(block_cross_scores)
        return {
            "encoder": encoder_scores,
            "decoder": decoder_scores,
            "cross": cross_scores,
        }

    def _embed_source(self, ids):
        x = self.source_embedding(ids)
        x = self.position(x) if self.position else x
        return self.encoder_embedding_norm(x) if self.encoder_embedding_norm else x

    def _embed_target(self, ids, start_index=0):
        x = self.target_embedding(ids)
        x = self.position(x, start_index=start_index) if self.position else x
        return self.decoder_embedding_norm(x) if self.decoder_embedding_norm else x

    def save_own_variables(self, store):
        # Keras leaves dropout's random states out of its files; with them, training
        # goes on from a file as if it had never stopped.
        super().save_own_variables(store)
        for number, state in enumerate(self._random_states()):
            store[f"random_state_{number}"] = state

    def load_own_variables(self, store):
        for number, state in enumerate(self._random_states()):
            if f"random_state_{number}" in store:
                state.assign(store[f"random_state_{number}"])

    def _random_states(self):
        return [
            layer.seed_generator.state
            for layer in self._flatten_layers()
            if getattr(layer, "seed_generator", None) is not None
        ]

    def get_config(self):
        return {
            **self.config,
            "position_encoding": keras.saving.serialize_keras_object(
                self.config["position_encoding"]
            ),
            "activation": keras.activations.serialize(
                keras.activations.get(self.config["activation"])
            ),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = {
            **config,
            "position_encoding": keras.saving.deserialize_keras_object(
                config["position_encoding"], custom_objects=custom_objects
            ),
        }
        return cls(**config)


def _positions(position_encoding, dtype):
    """What is added to embeddings, and what encoder and decoder blocks are given."""
    if position_encoding is None:
        return None, None, None
    if position_encoding == "sinusoidal":
        return PositionalEncoding(dtype=dtype, name="position"), None, None
    if position_encoding == "learned":
        return LearnedPositionalEncoding(dtype=dtype, name="position"), None, None
    if position_encoding == "t5":
        # T5 shares one table among the blocks of a stack.
        return None, *(
            attention_position("t5", causal, dtype) for causal in (False, True)
        )
    if isinstance(position_encoding, AttentionPosition):
        return None, position_encoding, position_encoding
    if isinstance(position_encoding, keras.Layer):
        return position_encoding, None, None
    if position_encoding in BY_NAME:
        return None, position_encoding, position_encoding
    raise ValueError(
        "position_encoding must be one of "
        f"{sorted(['sinusoidal', 'learned', *BY_NAME])}, a Keras layer or None; "
        f"received position_encoding={position_encoding!r}."
    )
