"""Checkpoint averaging (section 6.1)."""

import os

import keras
import numpy as np


def average_checkpoints(model, paths):
    """Sets a model's weights to the mean of those in several saved models.

    Averaging the last checkpoints of one run smooths out the noise of the last
    updates; the paper averages 5 of them.

    Args:
        model: A built `keras.Model`; its weights are overwritten.
        paths: List of paths of `.keras` or `.weights.h5` files of the same model.

    Raises:
        TypeError: If `model` is no model, or `paths` no list of paths.
        FileNotFoundError: If a file isn't there.
        ValueError: If `paths` is empty, the model isn't built, or a file isn't whole or
            holds another model's weights; the file is named. The model is left as it
            was.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> for step, value in enumerate((1.0, 3.0)):
    ...     model.set_weights([np.full((2, 1), value), np.zeros(1)])
    ...     model.save(f"step-{step}.keras")
    >>> average_checkpoints(model, ["step-0.keras", "step-1.keras"])
    >>> model.get_weights()[0].tolist()
    [[2.0], [2.0]]
    """
    paths = _checked(paths)
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model; received model={model!r}.")
    if not model.built:
        raise ValueError(
            "model must be built before checkpoints are averaged; call it once, or "
            f"load it from {paths[-1]}."
        )
    before = model.get_weights()
    means = [np.zeros(weight.shape, "float64") for weight in model.weights]
    try:
        for path in paths:
            _load(model, path)
            for mean, weight in zip(means, model.get_weights()):
                mean += np.asarray(weight, "float64") / len(paths)
    except BaseException:
        model.set_weights(before)
        raise
    model.set_weights(
        [
            mean.astype(keras.backend.standardize_dtype(weight.dtype))
            for mean, weight in zip(means, model.weights)
        ]
    )


def _checked(paths):
    if isinstance(paths, (str, bytes, os.PathLike)) or not hasattr(paths, "__iter__"):
        raise TypeError(
            "paths must be a list of paths of checkpoints, such as "
            f'sorted(pathlib.Path("run/checkpoints").glob("*")); received '
            f"paths={paths!r}."
        )
    paths = list(paths)
    if not paths:
        raise ValueError("paths must name at least one checkpoint; received none.")
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"paths must hold paths; received {path!r} among them.")
        # All of them, before the first is read.
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"paths must be those of files; {path} isn't there."
            )
    return paths


def _load(model, path):
    # Loading by Keras checks that the file fits the model.
    try:
        model.load_weights(path)
    except Exception as error:
        raise ValueError(
            f"{path} can't be averaged: it isn't a whole .keras or .weights.h5 file of "
            f"this model. {error}"
        ) from error
