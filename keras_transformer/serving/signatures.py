"""What all exports share: the weights as exported, in a graph."""

import contextlib
import functools
import math

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.kernels import TransposedWeights, with_packed_weights
from keras_transformer.kernels.impossible import IMPOSSIBLE
from keras_transformer.layers.quantization import check_not_quantized
from keras_transformer.serving.onednn import (
    NEEDS,
    Int8Kernel,
    PackedKernel,
    check_products,
)

WEIGHTS = ("float32", "bfloat16", "bfloat16_packed", "int8", "int8_products")
# Products with a kernel of fewer weights are faster in bfloat16: quantizing the rows
# takes as long as is gained.
_INT8_WEIGHTS = 2**19

# Nothing here needs Python's ifs and loops translated, which takes long.
graph = functools.partial(tf.function, autograph=False)
TEXT = tf.TensorSpec([None], tf.string, name="text")
# The score of what isn't an answer: of columns past a row's own, and of rows that
# can't be answered.
NO_SCORE = IMPOSSIBLE


class Signatures:
    """Functions of a graph around a text model, and the weights they need.

    Args:
        text_model: A `kt.Translator`, `kt.TextGenerator` or `kt.TextEncoder`.
        weights: `"float32"` or `"bfloat16"`, what the graph computes in, whatever the
            model was trained in; or `"int8"`, with a scale for each row or column,
            multiplied out once a request to compute in bfloat16. The others need oneDNN
            and a processor for it: `"bfloat16_packed"` keeps kernels as they are
            multiplied fastest (`PackedKernel`), and so does `"int8_products"`, which
            multiplies the large ones by rows quantized to int8 (`Int8Kernel`). What XLA
            compiles computes in float32.
    """

    names = ()

    def __init__(self, text_model, weights="float32"):
        check_not_quantized(text_model.model, "An export, which has weights='int8',")
        self._text_model = text_model
        dtype = "float32" if weights == "float32" else "bfloat16"
        self._model = _in_dtype(text_model.model, dtype)
        if dtype == "float32":
            self._model = _widened(self._model)
        self._exported = {
            id(variable): self._as_exported(variable, weights)
            for variable in self._model.variables
        }
        self._transposed, self._held_kernels = [], []
        if weights in NEEDS:
            check_products(weights)
            self._held_kernels = list(self._kernels_of_onednn())

    def functions(self):
        """The signatures by name."""
        return {name: getattr(self, name) for name in self.names}

    def requests(self, texts):
        """Requests about texts for the warm-up, so that no user's request is a first.

        Args:
            texts: List of B strings.

        Returns:
            List of pairs: a signature's name, and a dict of its inputs, all of them
            and each with B rows, as a server that joins requests wants.
        """
        return [(name, {"text": texts}) for name in self.names]

    def answers(self, texts):
        """What `serving_default` answers to texts, to compare an export with."""
        return self.serving_default(tf.constant(texts))

    def resources(self):
        """What must be written beside the graph: a module that keeps track of it."""
        module = tf.Module()
        stored, scales = zip(*self._exported.values())
        module.weights = list(stored)
        module.scales = [scale for scale in scales if scale is not None]
        module.transposed = [matrix for _, matrix, _ in self._transposed]
        tokenizers = {
            self._text_model.source_tokenizer,
            self._text_model.target_tokenizer,
        }
        module.tables = [r for t in tokenizers for r in getattr(t, "resources", ())]
        return module

    def _source(self, text):
        """Texts `(B,)` -> ids `(B, S)`, and whether each text was cut off."""
        source_ids, truncated = self._text_model.encode(text)
        return source_ids.to_tensor(), truncated

    @contextlib.contextmanager
    def _model_in_use(self):
        """A scope in which the model computes with the weights as exported."""
        values = [
            (variable, self._value(variable, self._model.compute_dtype))
            for variable in self._model.variables
            if self._exported[id(variable)][0] is not variable.value
        ]
        scope = keras.StatelessScope(values) if values else contextlib.nullcontext()
        kernels = [(variable, kernel.read()) for variable, kernel in self._held_kernels]
        with scope, with_packed_weights(kernels):
            yield self._model

    def _kernels_of_onednn(self):
        """Pairs of a variable that is multiplied with and its `OneDnnKernel`."""
        tables = [id(table) for table in self._tables]
        for variable in self._model.variables:
            is_table = id(variable) in tables
            if is_table or variable.name == "kernel":
                stored, scale = self._exported[id(variable)]
                kind = PackedKernel if scale is None else Int8Kernel
                yield variable, kind(stored, scale, transposed=is_table)

    @property
    def _embeddings(self):
        return self._model.source_embedding, self._model.target_embedding

    @property
    def _tables(self):
        """The embeddings' tables, which are output projections' kernels, transposed."""
        return [embedding.embeddings for embedding in self._embeddings]

    def _hold_transposed(self):
        """Keeps the kernels of decoding a second time, transposed."""
        if self._transposed:
            return
        for block in self._model.decoder_blocks:
            for kernel in block.step_kernels:
                stored, scale = self._exported[id(kernel)]
                matrix = tf.Variable(tf.transpose(stored), trainable=False)
                self._transposed.append((kernel, matrix, scale))

    @functools.cached_property
    def _float32_model(self):
        if self._model.dtype_policy.name == "float32":
            return self._model
        return _in_dtype(self._text_model.model, "float32")

    @contextlib.contextmanager
    def _model_by_xla(self):
        """A scope in which the model computes with the weights as exported, by XLA.

        That is in float32, as XLA would convert the operands of each operation to it
        and the results back, and with products in the way that XLA is fast at.
        """
        model = self._float32_model
        twins = dict(zip(map(id, self._model.variables), model.variables))
        values = [
            (twins[id(variable)], self._value(variable, "float32"))
            for variable in self._model.variables
        ]
        tables = ((table, *self._exported[id(table)]) for table in self._tables)
        held = [*self._transposed, *tables]
        kernels = [
            (twins[id(variable)], TransposedWeights(matrix, scale))
            for variable, matrix, scale in held
        ]
        transposed = with_packed_weights(kernels, compiled_by_xla=True)
        with keras.StatelessScope(state_mapping=values), transposed:
            yield model

    def _as_exported(self, variable, weights):
        """What is written in a variable's place, and its scale, which may be None."""
        value = variable.value
        for embedding in self._embeddings:
            if embedding.embeddings is variable and weights in NEEDS:
                value = _with_rows(value, embedding.filled_vocabulary_size)
        if not _in_int8(variable, weights):
            return value, None
        return _quantize(value, axis=1 if variable.name == "embeddings" else 0)

    def _value(self, variable, dtype):
        """A variable's value, of what is exported in its place."""
        stored, scale = self._exported[id(variable)]
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


def _in_int8(variable, weights):
    """Whether an export with these weights has a variable in int8."""
    if len(variable.shape) != 2 or not weights.startswith("int8"):
        return False
    is_large = math.prod(variable.shape) >= _INT8_WEIGHTS
    return weights == "int8" or variable.name == "embeddings" or is_large


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
