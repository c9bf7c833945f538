"""An encoder alone: from ids to hidden states, or to one vector a sentence."""

import keras
from keras import ops

from keras_transformer import arguments
from keras_transformer.layers.encoder_block import EncoderBlock
from keras_transformer.layers.pooling import POOLINGS, MaskedPooling
from keras_transformer.models.argument_docs import OF_KERAS, OPTIONS, SIZES
from keras_transformer.models.base import TransformerModel
from keras_transformer.models.construction import own_arguments
from keras_transformer.models.layer_factory import LayerFactory
from keras_transformer.models.stack import padding_mask


@keras.saving.register_keras_serializable(package="keras_transformer")
class EncoderModel(TransformerModel):
    __doc__ = f"""The Transformer's encoder, a functional Keras model.

    Integer ids `(B, S)`, in which 0 is padding, become hidden states `(B, S, D)`, or
    with a `pooling` one vector `(B, D)` a sentence. It is one layer of a classifier or
    whatever else reads text.

    Args:
        vocabulary_size: Number of tokens V, padding included.
        num_layers: Number of blocks.
        hidden_dim: Width D of the model.
        {SIZES}
        position_encoding: How the model knows order, see `kt.Transformer`.
        {OPTIONS}
        pooling: `"mean"` or `"max"` over the real tokens, `"first"`, the first token's
            state, or None.
        num_classes: Number of classes; a projection to logits `(B, num_classes)` in
            float32 follows the pooling, which is then `"mean"` unless given. None for
            no classes.
        {OF_KERAS}

    Example:

    >>> model = EncoderModel(1000, num_layers=2, hidden_dim=64, num_heads=4,
    ...                      intermediate_dim=128, pooling="mean")
    >>> tuple(model(np.random.randint(1, 1000, (2, 9))).shape)
    (2, 64)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.1.
    """

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
        pooling=None,
        num_classes=None,
        norm_first=False,
        activation="relu",
        attention_dropout=0.0,
        intermediate_dropout=0.0,
        layer_norm_epsilon=1e-6,
        use_bias=True,
        scale_embedding=True,
        seed=None,
        dtype=None,
        name=None,
        trainable=True,
    ):
        if num_classes is not None:
            arguments.integer("num_classes", num_classes)
            pooling = pooling or "mean"
        config = own_arguments(locals())
        if pooling not in (None, *POOLINGS):
            raise ValueError(
                f"pooling must be one of {POOLINGS} or None; received {pooling!r}."
            )
        arguments.integer("vocabulary_size", vocabulary_size)
        dtype = keras.dtype_policies.get(dtype)
        make = LayerFactory(config, dtype)
        position, _ = make.positions()
        encoder = make.stack(
            "encoder",
            EncoderBlock,
            num_layers,
            embedding=make.embedding(vocabulary_size, "embedding"),
            position=position,
            dropout=make.dropout(),
        )

        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        mask = padding_mask(token_ids)
        x = encoder.states(token_ids, mask=mask)
        if pooling:
            x = MaskedPooling(pooling, dtype=dtype, name="pooling")(x, mask=mask)
        if num_classes:
            # In float32, so that a softmax has all its digits.
            x = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
        super().__init__(inputs=token_ids, outputs=x, name=name, trainable=trainable)
        self.config = config
        self.dtype_policy = dtype
        self.embedding = encoder.embedding
        self.position = encoder.position
        self.embedding_dropout = encoder.dropout
        self.encoder_blocks = encoder.blocks
        self.encoder_norm = encoder.norm
        self._encoder = encoder

    @property
    def source_embedding(self):
        """The embedding of what the model reads: it has one for all."""
        return self.embedding

    @property
    def target_embedding(self):
        """The embedding whose rows give the logits: it has one for all."""
        return self.embedding

    def embed(self, token_ids, pooling=None):
        """One vector a sentence, whatever the model's outputs are.

        Args:
            token_ids: Integer ids `(B, S)`, 0 is padding.
            pooling: See the constructor; by default the model's own, or `"mean"`.

        Returns:
            A float32 tensor `(B, D)`.
        """
        pooling = pooling or self.config["pooling"] or "mean"
        pool = MaskedPooling(pooling, dtype="float32")
        token_ids = ops.convert_to_tensor(token_ids, "int32")
        mask = padding_mask(token_ids)
        states = self._encoder.states(token_ids, mask=mask)
        return pool(ops.cast(states, "float32"), mask=mask)
