"""Token embeddings, tied with the output projection (section 3.4)."""

import dataclasses
import typing

import keras
from keras import ops

from keras_transformer.layers.arguments import check_positive
from keras_transformer.layers.products import held_kernel, plus, product

# The output projection's columns are filled up to a multiple of this, so that rows
# begin at multiples of 64 bytes, with columns whose logits are of no account.
_COLUMNS = 64
_NO_LOGIT = -2e9


@dataclasses.dataclass(frozen=True)
class OutputProjection:
    """The output projection of a `TokenEmbedding`, to be used many times.

    Attributes:
        kernel: Tensor `(D, V')` or a `HeldKernel`.
        bias: Tensor `(V',)` or None.
    """

    kernel: typing.Any
    bias: typing.Any

    @property
    def num_columns(self):
        return self.kernel.shape[1]

    def logits(self, rows):
        """Rows `(R, D)` -> float32 `(R, V')`."""
        return ops.cast(product(rows, self.kernel, self.bias), "float32")


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenEmbedding(keras.layers.Layer):
    """Turns token ids into vectors, and vectors back into logits.

    One matrix does both: `ids -> vectors` looks rows up and multiplies them by
    `sqrt(hidden_dim)`; `reverse=True` multiplies by the transposed matrix, which is
    the paper's output projection with shared weights.

    Args:
        vocabulary_size: Number V of tokens, id 0 (padding) included.
        hidden_dim: Width D of the vectors.
        scale: Whether looked-up vectors are multiplied by `sqrt(hidden_dim)`.
        mask_zero: Whether id 0 is padding, masked for the layers that follow.
        use_bias: Whether logits have a bias for each token.
        embeddings_initializer: Initializer of the matrix. By default a normal
            distribution of standard deviation `hidden_dim ** -0.5`, so that scaled
            vectors have unit variance beside the sinusoids.

    Call arguments:
        inputs: Integer ids of shape `(B, T)`, or with `reverse=True` float
            vectors of shape `(B, T, D)`.
        reverse: Whether to project vectors to logits.
        projection: With `reverse=True`: what `output_projection` gave, where it is at
            hand; logits have as many columns then.

    Returns:
        Vectors of shape `(B, T, D)` in the compute dtype, or with `reverse=True`
        logits of shape `(B, T, V)` in float32.

    Raises:
        ValueError: If `vocabulary_size` or `hidden_dim` isn't positive.

    Example:

    >>> embedding = TokenEmbedding(vocabulary_size=100, hidden_dim=16)
    >>> vectors = embedding(np.array([[5, 7, 0]]))
    >>> embedding(vectors, reverse=True).shape
    (1, 3, 100)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.4.
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        scale=True,
        mask_zero=True,
        use_bias=False,
        embeddings_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("vocabulary_size", vocabulary_size)
        check_positive("hidden_dim", hidden_dim)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.scale = scale
        self.mask_zero = mask_zero
        self.use_bias = use_bias
        self.embeddings_initializer = keras.initializers.get(
            keras.initializers.RandomNormal(stddev=hidden_dim**-0.5)
            if embeddings_initializer is None
            else embeddings_initializer
        )
        self.supports_masking = True
        # Ids stay integers: Keras would cast inputs to the compute dtype.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    def build(self, input_shape=None):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocabulary_size, self.hidden_dim),
            initializer=self.embeddings_initializer,
            # Rows are looked up before they are cast, and their gradients summed after.
            autocast=False,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.vocabulary_size,), initializer="zeros"
            )

    def output_projection(self):
        """The output projection, to be used many times.

        Returns:
            An `OutputProjection`. Its kernel is the one that a scope of `kernels_held`
            holds, if there is one. V' is V or a little more, a number of columns that
            products are faster with; the logits past V are far below all others.
        """
        kernel, dtype = held_kernel(self.embeddings), "float32"
        if kernel is None:
            kernel, dtype = ops.transpose(self._matrix()), self.compute_dtype
            room = self.filled_vocabulary_size - self.vocabulary_size
            kernel = ops.pad(kernel, ((0, 0), (0, room))) if room else kernel
        bias = ops.convert_to_tensor(self.bias, dtype) if self.use_bias else None
        if room := kernel.shape[1] - self.vocabulary_size:
            if bias is None:
                bias = ops.zeros((self.vocabulary_size,), dtype)
            bias = ops.pad(bias, ((0, room),), constant_values=_NO_LOGIT)
        return OutputProjection(kernel, bias)

    @property
    def filled_vocabulary_size(self):
        """V', see `output_projection`."""
        return -(-self.vocabulary_size // _COLUMNS) * _COLUMNS

    def _matrix(self):
        return ops.convert_to_tensor(self.embeddings, self.compute_dtype)

    def call(self, inputs, reverse=False, projection=None):
        if reverse:
            rows = ops.cast(inputs, self.compute_dtype)
            rows = ops.reshape(rows, (-1, self.hidden_dim))
            logits = self._logits(rows, projection)
            length = inputs.shape[1] or ops.shape(inputs)[1]
            return ops.reshape(logits, (-1, length, logits.shape[-1]))
        ids = ops.cast(inputs, "int32")
        if table := held_kernel(self.embeddings):
            vectors = table.columns(ids)
        else:
            vectors = ops.take(self.embeddings, ids, axis=0)
        vectors = ops.cast(vectors, self.compute_dtype)
        return vectors * self.hidden_dim**0.5 if self.scale else vectors

    def _logits(self, rows, projection):
        """Rows `(R, D)` -> float32 `(R, V)`."""
        if held_kernel(self.embeddings):
            rows = ops.cast(rows, "float32")
            logits = (projection or self.output_projection()).logits(rows)
            return logits if projection else logits[:, : self.vocabulary_size]
        if projection:
            return projection.logits(rows)
        bias = ops.cast(self.bias, "float32") if self.use_bias else None
        logits = product(rows, ops.transpose(self._matrix()))
        return plus(ops.cast(logits, "float32"), bias)

    def compute_mask(self, inputs, mask=None):
        # Of vectors (`reverse=True`) the mask passes through; of ids it is made.
        if not keras.backend.is_int_dtype(inputs.dtype):
            return mask
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_spec(self, inputs, reverse=False, projection=None):
        if reverse:
            columns = projection.num_columns if projection else self.vocabulary_size
            shape = tuple(inputs.shape[:-1]) + (columns,)
            return keras.KerasTensor(shape, "float32")
        shape = tuple(inputs.shape) + (self.hidden_dim,)
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "scale": self.scale,
            "mask_zero": self.mask_zero,
            "use_bias": self.use_bias,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
        }
