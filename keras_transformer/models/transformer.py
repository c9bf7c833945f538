"""The Transformer: an encoder and a decoder of blocks (figure 1)."""

import keras
from keras import ops

from keras_transformer import arguments
from keras_transformer.layers.decoder_block import DecoderBlock
from keras_transformer.layers.encoder_block import EncoderBlock
from keras_transformer.models.argument_docs import OF_KERAS, OPTIONS, SIZES
from keras_transformer.models.base import TransformerModel
from keras_transformer.models.construction import own_arguments
from keras_transformer.models.layer_factory import LayerFactory
from keras_transformer.models.stack import padding_mask


@keras.saving.register_keras_serializable(package="keras_transformer")
class Transformer(TransformerModel):
    __doc__ = f"""The encoder-decoder of the paper, a functional Keras model.

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
        {SIZES}
        position_encoding: How the model knows order, a name, a layer or None.
            `"sinusoidal"` (the paper's) and `"learned"` (512 positions), or any Keras
            layer that takes and returns `(B, T, D)` and has the call argument
            `start_index`, are added to the embeddings, source and target. `"rotary"`,
            `"relative"`, `"t5"` and `"alibi"`, or a layer of theirs, act inside of
            self-attention. By name, `"relative"` has tables of its own in each block
            and `"t5"` one for the encoder and one for the decoder; a layer is shared by
            all blocks.
        {OPTIONS}
        norm_embedding: Whether layer normalization follows the sum of embedding and
            position; none in the paper.
        logits_bias: Whether logits have a bias for each token; none in the paper.
        {OF_KERAS}

    Example:

    >>> model = Transformer(1000, num_layers=2, hidden_dim=64, num_heads=4,
    ...                     intermediate_dim=128)
    >>> source_ids = np.random.randint(1, 1000, (2, 9))
    >>> target_ids = np.random.randint(1, 1000, (2, 7))
    >>> tuple(model({{"source_ids": source_ids, "target_ids": target_ids}}).shape)
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
        *,
        norm_first=False,
        num_decoder_layers=None,
        activation="relu",
        attention_dropout=0.0,
        intermediate_dropout=0.0,
        layer_norm_epsilon=1e-6,
        use_bias=True,
        scale_embedding=True,
        norm_embedding=False,
        logits_bias=False,
        seed=None,
        dtype=None,
        name=None,
        trainable=True,
    ):
        config = own_arguments(locals())
        _check_own(config)
        dtype = keras.dtype_policies.get(dtype)
        make = LayerFactory(config, dtype)
        encoder_position, decoder_position = make.positions()
        source_embedding, target_embedding = _embeddings(make, config)
        dropout = make.dropout()
        encoder = make.stack(
            "encoder",
            EncoderBlock,
            num_layers,
            embedding=source_embedding,
            position=encoder_position,
            dropout=dropout,
        )
        decoder = make.stack(
            "decoder",
            DecoderBlock,
            num_decoder_layers or num_layers,
            embedding=target_embedding,
            position=decoder_position,
            dropout=dropout,
        )

        source_ids = keras.Input((None,), dtype="int32", name="source_ids")
        target_ids = keras.Input((None,), dtype="int32", name="target_ids")
        source_mask = padding_mask(source_ids)
        memory = encoder.states(source_ids, mask=source_mask)
        states = decoder.states(
            target_ids,
            memory,
            decoder_sequence_mask=padding_mask(target_ids),
            encoder_sequence_mask=source_mask,
        )
        super().__init__(
            inputs={"source_ids": source_ids, "target_ids": target_ids},
            outputs=target_embedding(states, reverse=True),
            name=name,
            trainable=trainable,
        )
        self.config = config
        self.dtype_policy = dtype
        self.source_embedding = source_embedding
        self.target_embedding = target_embedding
        self.position = encoder.position
        self.embedding_dropout = dropout
        self.encoder_blocks, self.decoder_blocks = encoder.blocks, decoder.blocks
        self.encoder_norm, self.decoder_norm = encoder.norm, decoder.norm
        self.encoder_embedding_norm = encoder.embedding_norm
        self.decoder_embedding_norm = decoder.embedding_norm
        self._encoder, self._decoder = encoder, decoder

    def encode(self, source_ids, *, return_attention_scores=False):
        """The encoder alone.

        Args:
            source_ids: Integer ids `(B, S)`, 0 is padding.
            return_attention_scores: Whether to return the attention weights too.

        Returns:
            Hidden states `(B, S, D)`; or a tuple of them and a list with the weights
            `(B, H, S, S)` of each block.
        """
        memory, others = self._encoder.run(
            source_ids,
            mask=padding_mask(source_ids),
            return_attention_scores=return_attention_scores,
        )
        if not return_attention_scores:
            return memory
        return memory, [scores for (scores,) in others]

    def generate(self, source_ids, options=None, **changes):
        """Translates ids to ids.

        Compiled by Keras's backend at the first call with these options.

        Args:
            source_ids: Integer ids `(B, S)`, 0 is padding at the end of a row. Or lists
                of ids, of any lengths.
            options: A `kt.decoding.SearchOptions`. By default it is a beam search with
                `beam_size=4`.
            **changes: Options by name, over those of `options`: `beam_size`,
                `max_length`, `sample` ...

        Returns:
            A dict: `"ids"` int32 `(B, num_hypotheses, L)` with the end token and then
            zeros, best first; `"scores"` float32 `(B, num_hypotheses)`.

        Raises:
            ValueError: For an option out of range; it is named.
            TypeError: For an unknown option.
            FloatingPointError: If the model's logits aren't numbers (NaN).

        Example:

        >>> model = Transformer(100, num_layers=1, hidden_dim=16, num_heads=2,
        ...                     intermediate_dim=32)
        >>> tuple(model.generate([[17, 5, 3], [8, 3]], max_length=10)["ids"].shape)
        (2, 1, 10)

        Reference: section 6.1 of the paper.
        """
        return self._generate(source_ids, options, changes)

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
        mask = padding_mask(source_ids)
        batch_size = ops.shape(source_ids)[0]
        return [
            block.empty_cache(batch_size, max_length, memory, mask)
            for block in self.decoder_blocks
        ]

    def attention_scores(self, source_ids, target_ids):
        """The attention weights of every block, for pictures and alignments.

        Args:
            source_ids: Integer ids `(B, S)`, 0 is padding.
            target_ids: Integer ids `(B, T)`, the target shifted right.

        Returns:
            A dict of lists with one tensor a block: `"encoder"` `(B, H, S, S)`,
            `"decoder"` `(B, H, T, T)` and `"cross"` `(B, H, T, S)`; and the model's
            output, `"logits"` `(B, T, V)`.
        """
        memory, encoder_scores = self.encode(source_ids, return_attention_scores=True)
        states, others = self._decoder.run(
            target_ids,
            memory,
            decoder_sequence_mask=padding_mask(target_ids),
            encoder_sequence_mask=padding_mask(source_ids),
            return_attention_scores=True,
        )
        return {
            "encoder": encoder_scores,
            "decoder": [scores for scores, _ in others],
            "cross": [scores for _, scores in others],
            "logits": self.target_embedding(states, reverse=True),
        }


def _check_own(config):
    """Checks the sizes that only an encoder-decoder has."""
    arguments.integer("source_vocabulary_size", config["source_vocabulary_size"])
    for name in ("target_vocabulary_size", "num_decoder_layers"):
        if config[name] is not None:
            arguments.integer(name, config[name])


def _embeddings(make, config):
    """The source's and the target's, which are one with one vocabulary (3.4)."""
    source_size = config["source_vocabulary_size"]
    target_size, use_bias = config["target_vocabulary_size"], config["logits_bias"]
    if target_size is None:
        shared = make.embedding(source_size, "embedding", use_bias=use_bias)
        return shared, shared
    return (
        make.embedding(source_size, "source_embedding"),
        make.embedding(target_size, "target_embedding", use_bias=use_bias),
    )
