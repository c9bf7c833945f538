"""The argument `position_encoding` of attention: names, layers, and how it is saved."""

import uuid

import keras

from keras_transformer.layers.attention_position import AttentionPosition
from keras_transformer.layers.distance_bias import AlibiBias, T5PositionBias
from keras_transformer.layers.relative_position import RelativePositionEmbedding
from keras_transformer.layers.rotary_embedding import RotaryEmbedding

BY_NAME = {
    "rotary": RotaryEmbedding,
    "relative": RelativePositionEmbedding,
    "t5": T5PositionBias,
    "alibi": AlibiBias,
    # The same in files of models, whose "alibi" is version 0.1.0's symmetric form.
    "alibi_asymmetric": AlibiBias,
}


def attention_position(position_encoding, *, causal=False, dtype=None):
    """The layer that a `position_encoding` argument of attention names, or is.

    Args:
        position_encoding: A name, an `AttentionPosition` or None.
        causal: Whether queries see earlier keys only, where the kind makes a
            difference.
        dtype: Dtype policy of a new layer.

    Raises:
        ValueError: For anything else.
    """
    if position_encoding is None or isinstance(position_encoding, AttentionPosition):
        return position_encoding
    if position_encoding == "t5":
        return T5PositionBias(bidirectional=not causal, dtype=dtype)
    if isinstance(position_encoding, str) and position_encoding in BY_NAME:
        return BY_NAME[position_encoding](dtype=dtype)
    raise ValueError(
        f"position_encoding of attention must be one of {sorted(BY_NAME)}, a layer of "
        f"theirs, or None; received position_encoding={position_encoding!r}. "
        "Sinusoidal and learned encodings are added to embeddings, before the blocks."
    )


def serialize_position(layer):
    """The config of an attention's position layer, or None.

    Keras 3.15 finds an object that several others hold again by `shared_object_id`, but
    loses it where it copies the configs of nested layers. It is set here.
    """
    config = keras.saving.serialize_keras_object(layer)
    if layer is not None:
        if not hasattr(layer, "shared_object_id"):
            layer.shared_object_id = uuid.uuid4().int
        config["shared_object_id"] = layer.shared_object_id
    return config


class LoadsPosition:
    """A layer whose configuration has a `position_encoding`."""

    @classmethod
    def from_config(cls, config):
        """The layer of a `get_config`; positions that layers shared, they share."""
        position = config["position_encoding"]
        if isinstance(position, dict):
            layer = keras.saving.deserialize_keras_object(position)
            # The same layer for all that shared it.
            layer.shared_object_id = position["shared_object_id"]
            position = layer
        return cls(**{**config, "position_encoding": position})
