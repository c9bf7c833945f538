"""The search as models offer it: compiled, for arrays and lists of ids."""

import functools

import keras
import numpy as np
from keras import ops

from keras_transformer.compilation import check_numbers, compiled
from keras_transformer.decoding.generate import generate


class CompiledSearch:
    """`generate` of one model, compiled by Keras's backend once for the same options.

    Options that are arrays, tensors or lists, and the seed, may change without another
    program.

    Args:
        model: A `kt.Transformer` or a `kt.LanguageModel`.
    """

    def __init__(self, model):
        self._model = model
        self._program = functools.lru_cache(maxsize=32)(self._compile)

    def __call__(self, source_ids, options):
        """The answers to `source_ids`, as `generate` gives them.

        Args:
            source_ids: Integer ids `(B, S)`, an array or a list of lists.
            options: A `SearchOptions`.

        Raises:
            FloatingPointError: If the model's logits aren't numbers.
        """
        inputs, constants = {"source_ids": source_ids}, {}
        for name, value in options.items():
            is_input = hasattr(value, "shape") or isinstance(value, list)
            kind = inputs if is_input or name == "seed" else constants
            kind[name] = value
        inputs = {name: _as_array(value) for name, value in inputs.items()}
        if "max_length" in inputs and constants["longest"] is None:
            constants["longest"] = int(ops.max(inputs["max_length"], initial=1))
        kinds = ((k, len(x.shape), str(x.dtype)) for k, x in sorted(inputs.items()))
        program = self._program(tuple(kinds), tuple(constants.items()))
        found = program(inputs)
        check_numbers(found["scores"], self._model)
        return found

    def _compile(self, kinds, constants):
        def search(inputs):
            return generate(self._model, **inputs, **dict(constants))

        specs = {
            name: keras.KerasTensor((None,) * rank, dtype)
            for name, rank, dtype in kinds
        }
        return compiled(search, self._model, specs)


def _as_array(values):
    """Numbers, a tensor or lists of ids, as a tensor or array in float32 or int32."""
    if isinstance(values, list) and values and not np.isscalar(values[0]):
        values = keras.utils.pad_sequences(values, padding="post")
    values = values if ops.is_tensor(values) else np.asarray(values)
    is_float = "float" in keras.backend.standardize_dtype(values.dtype)
    dtype = "float32" if is_float else "int32"
    return ops.cast(values, dtype) if ops.is_tensor(values) else values.astype(dtype)
