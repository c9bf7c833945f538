"""Makes the layers of a model from its configuration."""

import keras

from keras_transformer import arguments
from keras_transformer.layers.attention_position import AttentionPosition
from keras_transformer.layers.core import Dropout, LayerNormalization, part_seed
from keras_transformer.layers.embedding import TokenEmbedding
from keras_transformer.layers.position import (
    LearnedPositionalEncoding,
    PositionalEncoding,
)
from keras_transformer.layers.position_argument import BY_NAME, attention_position
from keras_transformer.models.stack import Stack


class LayerFactory:
    """Makes the layers of a model from its configuration.

    Args:
        config: Dict of the arguments that all models have.
        dtype: Dtype policy of all layers.

    Raises:
        ValueError: For a size that isn't a positive integer, a rate out of range, or
            `num_heads` that doesn't divide `hidden_dim`.
    """

    def __init__(self, config, dtype):
        self.config, self.dtype = config, dtype
        for name in ("num_layers", "num_heads", "hidden_dim"):
            arguments.integer(name, config[name])
        for name in ("dropout", "attention_dropout", "intermediate_dropout"):
            arguments.rate(name, config[name])
        if config["hidden_dim"] % config["num_heads"]:
            raise ValueError(
                "num_heads must divide hidden_dim; received "
                f"num_heads={config['num_heads']}, hidden_dim={config['hidden_dim']}."
            )

    def embedding(self, size, name, *, use_bias=False):
        """A `TokenEmbedding` of `size` tokens (section 3.4)."""
        return TokenEmbedding(
            size,
            self.config["hidden_dim"],
            scale=self.config["scale_embedding"],
            use_bias=use_bias,
            dtype=self.dtype,
            name=name,
        )

    def dropout(self):
        """The dropout on the sum of embedding and position (section 5.4)."""
        return Dropout(
            self.config["dropout"],
            seed=self.config["seed"],
            dtype=self.dtype,
            name="embedding_dropout",
        )

    def norm(self, name):
        """A layer normalization of the model's width."""
        return LayerNormalization(
            epsilon=self.config["layer_norm_epsilon"], dtype=self.dtype, name=name
        )

    def stack(self, side, block_class, count, *, embedding, position, dropout):
        """One side of a model, `"encoder"` or `"decoder"`.

        Args:
            side: What names of layers begin with.
            block_class: `EncoderBlock` or `DecoderBlock`.
            count: Number of blocks.
            embedding: The embedding, which both sides may share.
            position: A pair from `positions`: the layer that both sides share, and what
                each of this side's blocks is given.
            dropout: The dropout of embeddings, which both sides share.
        """
        added, inside = position
        norm_embedding = self.config.get("norm_embedding", False)
        return Stack(
            embedding,
            added,
            self.norm(f"{side}_embedding_norm") if norm_embedding else None,
            dropout,
            [self._block(block_class, f"{side}_{i}", inside) for i in range(count)],
            self.norm(f"{side}_norm") if self.config["norm_first"] else None,
        )

    def _block(self, block_class, name, position):
        known = arguments.names_of(block_class.__init__) & self.config.keys()
        given = {argument: self.config[argument] for argument in known}
        given["position_encoding"] = position
        given["seed"] = part_seed(self.config["seed"], name)
        return block_class(**given, dtype=self.dtype, name=name)

    def positions(self):
        """How encoder and decoder know order.

        Returns:
            Two pairs, of the encoder and of the decoder: the layer that is added to
            embeddings, and the `position_encoding` of blocks; None for none.
        """
        added, *inside = _positions(self.config["position_encoding"], self.dtype)
        return [(added, each) for each in inside]


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
            attention_position("t5", causal=causal, dtype=dtype)
            for causal in (False, True)
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
