"""A model's weights as an export stores them, and the model that computes with them."""

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.kernels import TransposedWeights, with_packed_weights
from keras_transformer.layers.lora import without_lora
from keras_transformer.serving.onednn import Int8Kernel, PackedKernel, check_products
from keras_transformer.serving.weights import check_weights

# Products with a kernel of fewer weights are faster in bfloat16: quantizing the rows
# takes as long as is gained.
_INT8_WEIGHTS = 2**19


class ExportedWeights:
    """The weights of a model in one of `weights.FORMATS`.

    Args:
        model: A model of `kt.models`, of floats. Updates of LoRA are merged.
        weights: Name of the format.

    Attributes:
        model: The model, or a copy of it, that computes in the format's dtype.
    """

    def __init__(self, model: keras.Model, weights: str = "float32") -> None:
        self._format = check_weights(weights)
        self._original = without_lora(model)
        self.model = _in_dtype(self._original, self._format.dtype)
        if self._format.dtype == "float32":
            self.model = _widened(self.model)
        self._stored = {
            id(variable): self._as_stored(variable) for variable in self.model.variables
        }
        self._transposed: list[tuple] = []
        self._held_kernels: list[tuple] = []
        if self._format.operation:
            check_products(weights)
            self._held_kernels = list(self._kernels_of_onednn())

    def track(self, module: tf.Module) -> None:
        """Makes a `tf.Module` keep track of all that must be written to the export."""
        stored, scales = zip(*self._stored.values())
        module.weights = list(stored)
        module.scales = [scale for scale in scales if scale is not None]
        module.transposed = [matrix for _, matrix, _ in self._transposed]

    @contextlib.contextmanager
    def in_use(self) -> Iterator[Any]:
        """A scope in which `model`, its value, computes with the stored weights."""
        values = [
            (variable, self._value(variable, self.model.compute_dtype))
            for variable in self.model.variables
            if self._stored[id(variable)][0] is not variable.value
        ]
        scope = keras.StatelessScope(values) if values else contextlib.nullcontext()
        kernels = [(variable, kernel.read()) for variable, kernel in self._held_kernels]
        with scope, with_packed_weights(kernels):
            yield self.model

    @contextlib.contextmanager
    def in_use_by_xla(self) -> Iterator[Any]:
        """The same for graphs that XLA compiles; the model computes in float32.

        XLA would convert the operands of each operation to float32 and the results
        back. Its matmuls are fast with transposed kernels: see `hold_transposed`.
        """
        model = self._float32_model
        twins = dict(zip(map(id, self.model.variables), model.variables))
        values = [
            (twins[id(variable)], self._value(variable, "float32"))
            for variable in self.model.variables
        ]
        tables = ((table, *self._stored[id(table)]) for table in self._tables)
        held = [*self._transposed, *tables]
        kernels = [
            (twins[id(variable)], TransposedWeights(matrix, scale))
            for variable, matrix, scale in held
        ]
        transposed = with_packed_weights(kernels, compiled_by_xla=True)
        with keras.StatelessScope(state_mapping=values), transposed:
            yield model

    def hold_transposed(self) -> None:
        """Stores the kernels of decoding a second time, transposed, for XLA."""
        if self._transposed:
            return
        for block in self.model.decoder_blocks:
            for kernel in block.step_kernels:
                stored, scale = self._stored[id(kernel)]
                matrix = tf.Variable(tf.transpose(stored), trainable=False)
                self._transposed.append((kernel, matrix, scale))

    def _kernels_of_onednn(self):
        """Pairs of a variable that is multiplied with and its `OneDnnKernel`."""
        tables = [id(table) for table in self._tables]
        for variable in self.model.variables:
            is_table = id(variable) in tables
            if is_table or variable.name == "kernel":
                stored, scale = self._stored[id(variable)]
                kind = PackedKernel if scale is None else Int8Kernel
                yield variable, kind(stored, scale, transposed=is_table)

    @property
    def _embeddings(self):
        return self.model.source_embedding, self.model.target_embedding

    @property
    def _tables(self):
        """The embeddings' tables, which are output projections' kernels, transposed."""
        return [embedding.embeddings for embedding in self._embeddings]

    @functools.cached_property
    def _float32_model(self):
        if self.model.dtype_policy.name == "float32":
            return self.model
        return _in_dtype(self._original, "float32")

    def _as_stored(self, variable):
        """What is written in a variable's place, and its scale, which may be None."""
        value = variable.value
        for embedding in self._embeddings:
            if embedding.embeddings is variable and self._format.operation:
                value = _with_rows(value, embedding.filled_vocabulary_size)
        if not self._is_in_int8(variable):
            return value, None
        return _quantize(value, axis=1 if variable.name == "embeddings" else 0)

    def _is_in_int8(self, variable):
        if len(variable.shape) != 2 or not self._format.in_int8:
            return False
        is_large = math.prod(variable.shape) >= _INT8_WEIGHTS
        # Small kernels are packed in bfloat16 where oneDNN multiplies.
        return not self._format.operation or variable.name == "embeddings" or is_large

    def _value(self, variable, dtype):
        """A variable's value, of what is stored in its place."""
        stored, scale = self._stored[id(variable)]
        value = tf.cast(stored, dtype)
        value = value if scale is None else value * tf.cast(scale, dtype)
        return value[: variable.shape[0]] if value.shape != variable.shape else value


def _in_dtype(model, dtype):
    """The model, or a copy of it that computes in another dtype."""
    return model if model.dtype_policy.name == dtype else _copy(model, dtype=dtype)


def _widened(model):
    """The model, or a copy of it with more units in its feed-forward networks.

    Of these all weights are zeros. On processors without AVX-512, oneDNN multiplies up
    to some hundred rows of float32 half as fast with a kernel whose own rows take a
    multiple of 2,048 bytes.
    """
    width = model.get_config()["intermediate_dim"]
    return model if width % 512 else _copy(model, intermediate_dim=width + 32)


def _copy(model, **changes):
    """A copy of a model with other arguments, and zeros where its weights have room."""
    copy = type(model).from_config({**model.get_config(), **changes})
    weights = []
    for value, weight in zip(model.get_weights(), copy.weights):
        weights.append(np.zeros(weight.shape, value.dtype))
        weights[-1][tuple(map(slice, value.shape))] = value
    copy.set_weights(weights)
    return copy


def _with_rows(table, count):
    """A variable with rows of zeros after its own, as many as are missing."""
    if missing := count - table.shape[0]:
        filled = tf.pad(table, [[0, missing], [0, 0]])
        return tf.Variable(filled, trainable=False)
    return table


def _quantize(variable, axis):
    """A matrix as int8, and bfloat16 scales, one for what lies along an axis."""
    values = keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
    scale = abs(values).max(axis=axis, keepdims=True) / 127.0
    scale = tf.cast(tf.maximum(scale, 1e-12), tf.bfloat16)
    whole = tf.round(values / tf.cast(scale, tf.float32))
    whole = tf.cast(tf.clip_by_value(whole, -127, 127), tf.int8)
    return tf.Variable(whole, trainable=False), tf.Variable(scale, trainable=False)
