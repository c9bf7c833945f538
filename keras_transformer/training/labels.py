"""Labels and weights of tokens, as the loss and the metrics read them."""

import keras
from keras import ops

from keras_transformer import arguments


def check_padding_id(padding_id):
    """An id as an `int`, or None; raises a TypeError for anything else."""
    if padding_id is None:
        return None
    return arguments.integer("padding_id", padding_id, minimum=None)


def read_labels(y_true, y_pred, padding_id):
    """Labels that can be looked up, and which of them count.

    A label that counts must be one of the V classes. Where values are known, eagerly
    and in TensorFlow's graphs, another one is an error; where they aren't, under
    `jax.jit` and XLA, it is reported by the third result.

    Args:
        y_true: Labels `(B, T)` or `(B, T, 1)`; floats if they are whole, as Keras's
            losses take them.
        y_pred: Logits or probabilities `(B, T, V)`; its Keras mask, if it has one, says
            which tokens count.
        padding_id: Label that doesn't count, or None.

    Returns:
        A tuple of labels `(B, T)`, int32 and from 0 to V - 1, of booleans `(B, T)` that
        say which count, and of booleans `(B, T)` that say which of those are no class.

    Raises:
        ValueError: If shapes don't fit, or a label is no class.
    """
    labels, counts = labels_that_count(y_true, y_pred, padding_id)
    y_pred = ops.convert_to_tensor(y_pred)
    dtype = keras.backend.standardize_dtype(labels.dtype)
    known = ops.logical_and(labels >= 0, labels < y_pred.shape[-1])
    if "float" in dtype:
        known = ops.logical_and(known, ops.equal(labels, ops.floor(labels)))
    unknown = ops.logical_and(counts, ops.logical_not(known))
    labels = _checked(labels, unknown, y_pred, padding_id)
    return ops.cast(ops.where(known, labels, 0), "int32"), counts, unknown


def labels_that_count(y_true, y_pred, padding_id):
    """Labels `(B, T)` as they are, and booleans `(B, T)` that say which count.

    Args and errors are those of `read_labels`, but no label's value is looked at.
    """
    mask = getattr(y_pred, "_keras_mask", None)
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    labels = _without_last_axis_of_1(y_true, y_pred)
    dtype = keras.backend.standardize_dtype(labels.dtype)
    # Where a cast could turn a label into another one, it is checked first.
    if "64" not in dtype and "float" not in dtype:
        labels = ops.cast(labels, "int32")
    if padding_id is None:
        counts = ops.ones_like(labels, dtype="bool")
    else:
        counts = ops.not_equal(labels, padding_id)
    if mask is not None:
        mask = align("The Keras mask of y_pred", mask, y_pred.shape[:-1])
        counts = ops.logical_and(counts, ops.cast(mask, "bool"))
    return labels, counts


def read_weights(sample_weight, counts, dtype):
    """Weights of tokens `(B, T)`: 0 for those that don't count.

    Args:
        sample_weight: None, or weights of the shape `()`, `(B,)`, `(B, 1)` or `(B, T)`.
            `(B,)` weighs rows, as everywhere in Keras.
        counts: Booleans `(B, T)`.
        dtype: Dtype of the weights.

    Raises:
        ValueError: If `sample_weight` has another shape.
    """
    weights = ops.cast(counts, dtype)
    if sample_weight is None:
        return weights
    sample_weight = ops.cast(ops.convert_to_tensor(sample_weight), dtype)
    return weights * align("sample_weight", sample_weight, counts.shape)


def mean(total, count):
    """`total / count`, 0 where nothing counts; `ops.divide_no_nan` in any dtype.

    That of Keras 3.15 has float32's digits on PyTorch, whatever is given.
    """
    total, count = ops.convert_to_tensor(total), ops.convert_to_tensor(count)
    nothing = ops.equal(count, 0)
    quotient = total / ops.where(nothing, ops.ones_like(count), count)
    return ops.where(nothing, ops.zeros_like(quotient), quotient)


def align(name, values, shape):
    """`values` with axes of 1 at the end, so that they broadcast to `shape`."""
    values = ops.convert_to_tensor(values)
    found = tuple(values.shape)
    if len(found) == len(shape) + 1 and found[-1] == 1:
        values = ops.squeeze(values, axis=-1)
    while 0 < len(values.shape) < len(shape):
        values = ops.expand_dims(values, axis=-1)
    fits = len(values.shape) <= len(shape) and all(
        size in (1, None) or wanted is None or size == wanted
        for size, wanted in zip(values.shape, shape)
    )
    if not fits:
        shape = tuple(shape)
        wanted = [shape[:1], (*shape[:1], 1), shape] if len(shape) > 1 else [shape]
        raise ValueError(
            f"{name} must have the shape {' or '.join(map(str, wanted))}; received the "
            f"shape {found}."
        )
    return values


def _without_last_axis_of_1(y_true, y_pred):
    """Labels in the shape of the predictions without their last axis."""
    found, wanted = tuple(y_true.shape), tuple(y_pred.shape[:-1])
    if len(found) == len(wanted) + 1 and found[-1] == 1:
        y_true = ops.squeeze(y_true, axis=-1)
    fits = len(y_true.shape) == len(wanted) and all(
        size is None or size == other or other is None
        for size, other in zip(y_true.shape, wanted)
    )
    if not fits:
        one_hot = found == tuple(y_pred.shape)
        way_out = " Of one-hot labels take keras.ops.argmax(y_true, axis=-1)."
        raise ValueError(
            "y_true must hold integer labels in the shape of y_pred without its last "
            f"axis, {wanted} or {(*wanted, 1)}; received y_true of the shape {found}, "
            f"y_pred of the shape {tuple(y_pred.shape)}.{way_out if one_hot else ''}"
        )
    if None in (*y_true.shape, *wanted):
        # A graph of TensorFlow's, which learns the shapes when it runs.
        import tensorflow as tf

        words = "y_true must have the shape of y_pred without its last axis."
        check = tf.debugging.assert_equal(
            tf.shape(y_true), tf.shape(y_pred)[:-1], words
        )
        with tf.control_dependencies([check]):
            return tf.identity(y_true)
    return y_true


def _checked(labels, unknown, y_pred, padding_id):
    """The labels; an error where one is unknown and the values can be looked at."""
    wanted = (
        f"y_true must hold whole labels from 0 to {y_pred.shape[-1] - 1}, or "
        f"padding_id={padding_id}; the least and the largest that were received are"
    )
    way_out = (
        "Give the model all of the tokenizer's vocabulary, and padding_id the label "
        "that stands for padding."
    )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            # XLA compiles no assertions: there the losses are NaN.
            check = tf.debugging.Assert(
                tf.logical_not(tf.reduce_any(unknown)),
                [wanted, tf.reduce_min(labels), tf.reduce_max(labels), way_out],
            )
            with tf.control_dependencies([check]):
                return tf.identity(labels)
    if _holds(unknown):
        labels = ops.convert_to_numpy(labels)
        raise ValueError(f"{wanted} {labels.min()} and {labels.max()}. {way_out}")
    return labels


def _holds(values):
    """Whether any of some booleans is true; False where Python can't look at them."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        if isinstance(values, jax.core.Tracer):
            return False
    if backend == "torch":
        import torch

        if values.device.type == "meta" or torch.compiler.is_compiling():
            return False
        try:
            return bool(values.any())
        except RuntimeError:
            # Under torch.vmap.
            return False
    return bool(ops.any(values))
