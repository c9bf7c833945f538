"""Keras's own layers, computed by `kernels`.

Weights, arguments, files and results are Keras's.
"""

import zlib

import keras
from keras import ops

from keras_transformer import kernels
from keras_transformer.layers.checked_layer import StaysFloat
from keras_transformer.layers.lora import HasLora
from keras_transformer.layers.quantization import LoadsInt8, check_mode
from keras_transformer.layers.shapes import known_sizes


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dense(LoadsInt8, HasLora, keras.layers.Dense):
    """A Dense layer that multiplies a matrix of rows.

    Matmul, bias and activation of two dimensions are one operation in TensorFlow; of
    three they are a dozen, most of them about shapes.
    """

    def call(self, inputs, training=None):
        rows = ops.reshape(inputs, (-1, inputs.shape[-1]))
        kernel = self.lora_base if self.lora_enabled else self.kernel
        outputs = kernels.linear(rows, kernel, self.bias, training=training)
        if self.lora_enabled:
            outputs = outputs + self.lora_linear(rows, training=training)
        if self.activation is not None:
            outputs = self.activation(outputs)
        return ops.reshape(outputs, (*known_sizes(inputs)[:-1], self.units))

    def quantize(self, mode=None, type_check=True, config=None):
        """Turns the kernel, LoRA merged, into int8, as Keras's `Dense.quantize` does.

        Raises:
            ValueError: For another mode than `"int8"` or quantizers of its own.
        """
        check_mode(mode, config)
        self.merge_lora()
        super().quantize(mode, type_check=False, config=config)


def part_seed(seed, name):
    """A seed of its own for a part: equal seeds drop the same values in all of them.

    It has 31 bits, as PyTorch's seeds are of int32.
    """
    return None if seed is None else zlib.crc32(f"{seed} {name}".encode()) >> 1


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dropout(StaysFloat, keras.layers.Dropout):
    """Keras's Dropout, whose mask is cheap."""

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        return kernels.drop(
            inputs, self.rate, self.seed_generator, self.noise_shape, training=True
        )


@keras.saving.register_keras_serializable(package="keras_transformer")
class LayerNormalization(StaysFloat, keras.layers.LayerNormalization):
    """Keras's LayerNormalization, computed in at least float32."""

    def call(self, inputs, training=None):
        is_last_axis = self.axis in ([-1], [len(inputs.shape) - 1])
        if not (self.center and self.scale and is_last_axis):
            return super().call(inputs)
        outputs = kernels.normalize(
            inputs, self.gamma, self.beta, self.epsilon, training=training
        )
        return ops.cast(outputs, self.compute_dtype)
