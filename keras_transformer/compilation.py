"""Functions of ids compiled by Keras's backend, as Keras compiles `predict`."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def compiled(
    function: Callable[[dict[str, Any]], dict[str, Any]],
    model: keras.Model,
    specs: dict[str, keras.KerasTensor],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Compiles a function that reads the model's current weights at each call.

    Args:
        function: From a dict of tensors to a dict of tensors; each row of these is that
            of a row of ids.
        model: The Keras model whose weights it reads.
        specs: The shape and dtype of each input by its name, a `keras.KerasTensor`:
            `"source_ids"` `(None, L)`, others with as many rows or scalar.

    Returns:
        A function of a dict of arrays. On TensorFlow one program serves all shapes. On
        JAX each shape has its own, and ids are padded to few shapes. On PyTorch it runs
        as it is, without gradients.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # TensorFlow warns of functions that it traces often, and tells by their code.
        function = functools.partial(function)
        signature = {k: tf.TensorSpec(x.shape, x.dtype, k) for k, x in specs.items()}
        return tf.function(function, input_signature=[signature], autograph=False)
    if backend == "jax":
        return _compiled_by_jax(function, model, specs)
    if backend == "torch":
        import torch

        return torch.no_grad()(function)
    return function


def check_numbers(values: Any, model: keras.Model) -> None:
    """Raises an error if what a model answers isn't numbers, and says why.

    Args:
        values: Array of scores, or whatever else the model computed. A tensor of a
            graph that is being traced has no values yet and passes.
        model: The model, whose weights are looked at then.

    Raises:
        FloatingPointError: If some of the values are NaN.
    """
    if not _are_known(values) or not np.isnan(keras.ops.convert_to_numpy(values)).any():
        return
    bad = [
        variable.path
        for variable in model.weights
        if not np.isfinite(
            keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
        ).all()
    ]
    reason = f"all weights are finite, but numbers overflow in {model.compute_dtype}"
    if bad:
        reason = f"{len(bad)} of its weights aren't finite, the first is {bad[0]!r}"
    raise FloatingPointError(
        f"The model {model.name!r} gives no numbers (NaN): {reason}. Load weights from "
        "before they were lost, or compute in float32."
    )


def _are_known(values):
    """Whether there are values, and not a graph that is being traced."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return isinstance(values, np.ndarray) or hasattr(values, "numpy")
    if backend == "jax":
        import jax

        return not isinstance(values, jax.core.Tracer)
    return True


def wants_fixed_shapes() -> bool:
    """Whether a search must have the same shapes at each step, to be compiled."""
    return keras.backend.backend() != "tensorflow"


def compiles_when_called() -> bool:
    """Whether callers wait for the compilation of each new program."""
    return keras.backend.backend() == "jax"


def _compiled_by_jax(function, model, specs):
    import jax

    @jax.jit
    def program(values, inputs):
        mapping = list(zip(model.variables, values))
        with keras.StatelessScope(state_mapping=mapping):
            return function(inputs)

    def run(inputs):
        model.jax_state_sync()  # `fit` keeps the weights elsewhere between its steps
        rows = len(inputs["source_ids"])
        inputs = {k: _padded(np.asarray(inputs[k], x.dtype)) for k, x in specs.items()}
        found = program([v.value for v in model.variables], inputs)
        return {name: value[:rows] for name, value in found.items()}

    return run


def _padded(values):
    """Values padded to one of few shapes: `(B,)`, or ids `(B, L)` with zeros.

    More rows are copies of the first, which never take longer than it does.
    """
    if not values.shape:
        return values
    sizes = [1 << (size - 1).bit_length() for size in values.shape]
    sizes[1:] = [max(8, size) for size in sizes[1:]]
    padded = np.zeros(sizes, values.dtype)
    padded[tuple(map(slice, values.shape))] = values
    padded[len(values) :] = padded[:1]
    return padded
