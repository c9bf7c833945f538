"""A decoder alone: a language model."""

import keras
from keras import ops

from keras_transformer import arguments
from keras_transformer.layers.decoder_block import DecoderBlock
from keras_transformer.models.argument_docs import OF_KERAS, OPTIONS, SIZES
from keras_transformer.models.base import TransformerModel
from keras_transformer.models.construction import own_arguments
from keras_transformer.models.layer_factory import LayerFactory
from keras_transformer.models.stack import padding_mask


@keras.saving.register_keras_serializable(package="keras_transformer")
class LanguageModel(TransformerModel):
    __doc__ = f"""The decoder without an encoder, a functional Keras model.

    Integer ids `(B, T)`, in which 0 is padding, become logits `(B, T, V)` in float32:
    row t scores the token after token t, from tokens 0 to t alone.

    Args:
        vocabulary_size: Number of tokens V, padding included.
        num_layers: Number of blocks.
        hidden_dim: Width D of the model.
        {SIZES}
        position_encoding: How the model knows order, see `kt.Transformer`.
        {OPTIONS}
        logits_bias: Whether logits have a bias for each token.
        {OF_KERAS}

    Example:

    >>> model = LanguageModel(1000, num_layers=2, hidden_dim=64, num_heads=4,
    ...                       intermediate_dim=128)
    >>> tuple(model(np.random.randint(1, 1000, (2, 9))).shape)
    (2, 9, 1000)

    Reference: [Generating Wikipedia](https://arxiv.org/abs/1801.10198), section 4.2.3,
    the first Transformer with a decoder alone.
    """

    decoder_only = True
    search_defaults = {"beam_size": 1}

    def __init__(
        self,
        vocabulary_size,
        num_layers=6,
        hidden_dim=512,
        num_heads=8,
        intermediate_dim=2048,
        dropout=0.1,
        position_encoding="sinusoidal",
        *,
        norm_first=False,
        activation="relu",
        attention_dropout=0.0,
        intermediate_dropout=0.0,
        layer_norm_epsilon=1e-6,
        use_bias=True,
        scale_embedding=True,
        logits_bias=False,
        seed=None,
        dtype=None,
        name=None,
        trainable=True,
    ):
        config = own_arguments(locals())
        arguments.integer("vocabulary_size", vocabulary_size)
        dtype = keras.dtype_policies.get(dtype)
        make = LayerFactory(config, dtype)
        _, position = make.positions()
        decoder = make.stack(
            "decoder",
            DecoderBlock,
            num_layers,
            embedding=make.embedding(
                vocabulary_size, "embedding", use_bias=logits_bias
            ),
            position=position,
            dropout=make.dropout(),
        )

        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        mask = padding_mask(token_ids)
        states = decoder.states(token_ids, decoder_sequence_mask=mask)
        super().__init__(
            inputs=token_ids,
            outputs=decoder.embedding(states, reverse=True),
            name=name,
            trainable=trainable,
        )
        self.config = config
        self.dtype_policy = dtype
        self.embedding = decoder.embedding
        self.position = decoder.position
        self.decoder_blocks = decoder.blocks
        self.decoder_norm = decoder.norm
        self._decoder = decoder

    def generate(self, prompt_ids, options=None, **changes):
        """Continues prompts, token by token, by the search of all models.

        Compiled by Keras's backend at the first call with these options.

        Args:
            prompt_ids: Integer ids `(B, P)`, 0 is padding at the end of a row, without
                the start token; P may be 0. Or lists of ids, of any lengths.
            options: A `kt.decoding.SearchOptions`. By default it is greedy search:
                `beam_size=1`. Lengths count the prompt.
            **changes: Options by name, over those of `options`.

        Returns:
            A dict: `"ids"` int32 `(B, num_hypotheses, L)`, the prompt first, and
            `"scores"` float32 `(B, num_hypotheses)` of what follows it.

        Raises:
            ValueError: For an option out of range; it is named.
            TypeError: For an unknown option.
            FloatingPointError: If the model's logits aren't numbers (NaN).

        Example:

        >>> model.generate([[17, 5]], sample=True, top_p=0.9, max_length=40)["ids"]
        """
        return self._generate(prompt_ids, options, changes)

    @property
    def source_embedding(self):
        """The embedding of what the model reads: it has one for all."""
        return self.embedding

    @property
    def target_embedding(self):
        """The embedding whose rows give the logits: it has one for all."""
        return self.embedding

    def start_decoding(self, prompt_ids, max_length=None):
        """The caches for `decode_step`; see `kt.Transformer.start_decoding`."""
        batch_size = ops.shape(prompt_ids)[0]
        return [
            block.empty_cache(batch_size, max_length) for block in self.decoder_blocks
        ]
