"""The training loss, as fast as each backend allows.

Every form can be differentiated as often as Keras's own losses.
"""

import functools

from keras_transformer.kernels import plain


def on_jax(logits, labels, smoothing):
    """The formula, whose derivative is written out for both directions."""
    return _jax_form()(logits, labels, smoothing)


@functools.cache
def _jax_form():
    """The formula with its derivative written out as a rule for both directions.

    The derivative of looking up `z[label]` would be built as another (N, V) tensor.
    JAX transposes a forward rule for the backward pass, and differentiates it again.
    """
    import jax
    from jax import numpy as jnp

    @functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
    def losses_of(logits, labels, smoothing):
        return plain.crossentropy(logits, labels, smoothing)

    @losses_of.defjvp
    def tangent(smoothing, primals, tangents):
        logits, labels = primals
        logsumexp = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
        is_label = jnp.arange(logits.shape[-1]) == labels[:, None]
        targets = jnp.where(is_label, 1.0 - smoothing, 0.0).astype(logits.dtype)
        errors = jnp.exp(logits - logsumexp) - targets - smoothing / logits.shape[-1]
        return losses_of(*primals, smoothing), jnp.sum(errors * tangents[0], axis=-1)

    return losses_of


def on_tensorflow(logits, labels, smoothing):
    """Few passes over the logits, forward and backward.

    The gradient is written out, `softmax(z) - smoothing / V - (1 - smoothing) onehot`:
    the derivative of looking up `z[label]` would be built as another (N, V) tensor.
    The softmax is kept for it: a pass of many operations would be one more to write.

    TensorFlow writes a result into its input's memory if no other operation of a graph
    has yet to read that; a pass over logits is up to ten times as fast then. So those
    that read the logits come first, by control dependencies.
    """
    import tensorflow as tf

    uniform = smoothing / logits.shape[-1]
    confidence = 1.0 - smoothing

    def at_labels(values):
        return tf.gather(values, labels, axis=-1, batch_dims=1)

    @tf.custom_gradient
    def losses_of(logits):
        at_label, mean = at_labels(logits), tf.reduce_mean(logits, axis=-1)
        largest = tf.reduce_max(logits, axis=-1)
        with tf.control_dependencies([at_label, largest, mean]):
            softmax = tf.nn.softmax(logits)
        probability = at_labels(softmax)
        # log(sum(exp(z))) from one probability: the label's, or where one is too
        # small for float32 the largest, which is never tiny.
        logsumexp = tf.cond(
            tf.reduce_all(probability > 1e-30),
            lambda: at_label - tf.math.log(probability),
            lambda: largest - tf.math.log(tf.reduce_max(softmax, axis=-1)),
        )
        losses = logsumexp - confidence * at_label - smoothing * mean

        def gradient(upstream):
            is_label = tf.range(logits.shape[-1]) == labels[:, None]
            with tf.control_dependencies([losses]):
                at_label = (probability - confidence)[:, None]
                errors = tf.where(is_label, at_label, softmax)
                return (errors - uniform) * upstream[:, None]

        return losses, gradient

    return losses_of(logits)
