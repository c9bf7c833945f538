"""Weights in int8, as Keras quantizes them: with scales that values are divided by."""

import keras
from keras import ops


def check_mode(mode, config=None):
    """Raises a ValueError for what layers can't be quantized by."""
    if mode != "int8":
        raise ValueError(
            'mode of quantize must be "int8", the one that these layers support; '
            f"received mode={mode!r}."
        )
    default = keras.quantizers.Int8QuantizationConfig()
    if config is not None and config.get_config() != default.get_config():
        raise ValueError(
            "config of quantize must be keras.quantizers.Int8QuantizationConfig() "
            "without quantizers of its own, which no file of weights would tell; "
            f"received config={config.get_config()}."
        )


def check_not_quantized(model, purpose):
    """Raises a ValueError for a quantized model where floats are copied."""
    if any(layer.quantization_mode is not None for layer in model._flatten_layers()):
        raise ValueError(
            f"{purpose} takes a model of floats, not one after quantize(); received "
            f"{model.name!r} with weights of int8. Quantize a copy, or afterwards."
        )


def quantized(values, axis):
    """int8 values, and the scales by which they are divided to give the floats."""
    quantizer = keras.quantizers.AbsMaxQuantizer(axis=axis)
    values, scale = quantizer(values, to_numpy=True)
    return values, ops.squeeze(scale, axis=axis)


def dequantized(values, scale, dtype):
    """The floats that int8 values and scales stand for."""
    return ops.divide(ops.cast(values, dtype), ops.cast(scale, dtype))


class LoadsInt8:
    """A layer that quantizes itself where the file it is loaded from is of int8.

    Blocks make their layers anew by their own configuration, which has one dtype policy
    for all of them: whether a layer was quantized is seen by its weights.
    """

    def load_own_variables(self, store):
        """Loads weights; where they are int8, the layer is quantized first."""
        is_int8 = any(str(store[key].dtype) == "int8" for key in store.keys())
        if is_int8 and self.built and self.quantization_mode is None:
            self.quantize("int8")
        super().load_own_variables(store)
