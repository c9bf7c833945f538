"""Training on TensorFlow: gradients that are written out, and one operation of Adam.

TensorFlow computes operation by operation where JAX compiles many into one.
"""

import functools

import keras
from keras import ops

from keras_transformer.kernels import plain
from keras_transformer.kernels.plain import in_float32, standardized


def linear(rows, kernel, bias=None):
    """`rows @ kernel + bias`, whose gradient transposes a float32 kernel beforehand.

    A matmul with the transposed kernel is up to 1.4 times as fast as one that reads
    the kernel's columns as rows; of bfloat16, which is copied anyway, it isn't.
    """

    @ops.custom_gradient
    def multiply(rows, kernel, *bias):
        def gradient(upstream):
            is_float32 = keras.backend.standardize_dtype(kernel.dtype) == "float32"
            transpose = _transposed_beforehand if is_float32 else ops.transpose
            d_kernel = ops.matmul(ops.transpose(rows), upstream)
            d_bias = [_column_sums(upstream) for _ in bias]
            return ops.matmul(upstream, transpose(kernel)), d_kernel, *d_bias

        return functools.reduce(ops.add, bias, ops.matmul(rows, kernel)), gradient

    weights = [kernel] if bias is None else [kernel, bias]
    # The dtype of a layer's variables is the layer's compute dtype here.
    return multiply(rows, *(ops.cast(weight, weight.dtype) for weight in weights))


def _transposed_beforehand(matrix):
    """`ops.transpose(matrix)`, which TensorFlow doesn't make a part of a matmul."""
    size, width = matrix.shape
    transposed = ops.transpose(ops.reshape(matrix, (size, width, 1)), (1, 0, 2))
    return ops.reshape(transposed, (width, size))


def normalize(x, gamma, beta, epsilon):
    """Layer normalization with half of the passes over the data in its gradient.

    With `n = (x - mean) / deviation` and `h = gamma * dy` it is
    `dx = (h - mean(h) - n mean(h n)) / deviation`.
    """

    @ops.custom_gradient
    def with_gradient(x, gamma, beta):
        normal, scale = standardized(x, epsilon)

        def gradient(dy):
            along_normal = dy * normal
            d_gamma, d_beta = _column_sums(along_normal), _column_sums(dy)
            mean, along = _means(dy, gamma), _means(along_normal, gamma)
            return (dy * gamma - (mean + normal * along)) * scale, d_gamma, d_beta

        return normal * gamma + beta, gradient

    return with_gradient(*in_float32(x, gamma, beta))


def _column_sums(values):
    """Sums over all axes but the last, by a matmul."""
    rows = ops.reshape(values, (-1, values.shape[-1]))
    return ops.matmul(ops.ones((1, ops.shape(rows)[0]), rows.dtype), rows)[0]


def _means(values, weights):
    """Means over the last axis of `values * weights`, by a matmul."""
    return ops.matmul(values, ops.reshape(weights / weights.shape[0], (-1, 1)))


def adam_rate(optimizer, learning_rate):
    """The learning rate and the powers of both betas, once for all variables."""
    step = ops.cast(optimizer.iterations + 1, "float32")
    powers = ops.power(optimizer.beta_1, step), ops.power(optimizer.beta_2, step)
    return (ops.cast(learning_rate, "float32"), *powers)


def adam_step(optimizer, gradient, variable, rate):
    """One variable's step by one operation instead of twenty, to the same value.

    Steps are faster, and the first, which traces them, more so.
    """
    learning_rate, *powers = rate
    if optimizer.amsgrad or variable.dtype != "float32":
        plain.adam_step(optimizer, gradient, variable, learning_rate)
        return
    import tensorflow as tf

    index = optimizer._get_variable_index(variable)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].value.handle,
        v=optimizer._velocities[index].value.handle,
        beta1_power=powers[0],
        beta2_power=powers[1],
        lr=learning_rate,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=ops.convert_to_tensor(gradient, "float32"),
    )
