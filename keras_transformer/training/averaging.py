"""Checkpoint averaging (section 6.1)."""

import keras
import numpy as np


def average_checkpoints(model, paths):
    """Sets a model's weights to the mean of those in several saved models.

    Averaging the last checkpoints of one run smooths out the noise of the last
    updates; the paper averages 5 of them.

    Args:
        model: A built `keras.Model`; its weights are overwritten.
        paths: Paths of `.keras` or `.weights.h5` files of the same model.

    Raises:
        ValueError: If `paths` is empty, or a file holds another model's weights.

    Example:

    >>> kt.training.average_checkpoints(model, sorted(glob("run/checkpoints/*"))[-5:])
    """
    paths = list(paths)
    if not paths:
        raise ValueError("paths must name at least one checkpoint; received none.")
    names = [weight.path for weight in model.weights]
    means = [np.zeros(weight.shape, "float64") for weight in model.weights]
    for path in paths:
        for mean, weight in zip(means, _weights_in(path, model, names)):
            mean += weight / len(paths)
    model.set_weights(
        [
            mean.astype(keras.backend.standardize_dtype(weight.dtype))
            for mean, weight in zip(means, model.weights)
        ]
    )


def _weights_in(path, model, names):
    # Loading by Keras checks that the file fits the model.
    model.load_weights(path)
    assert names == [weight.path for weight in model.weights]
    return [np.asarray(weight, "float64") for weight in model.get_weights()]
