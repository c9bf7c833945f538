"""Token embeddings, tied with the output projection (section 3.4)."""

import contextvars
import dataclasses
import typing

import keras
from keras import ops

from keras_transformer import arguments, kernels
from keras_transformer.kernels.dtypes import at_least_float32
from keras_transformer.kernels.impossible import NO_LOGIT
from keras_transformer.layers.arguments import get_initializer
from keras_transformer.layers.checked_layer import CheckedLayer
from keras_transformer.layers.lora import HasLora
from keras_transformer.layers.quantization import (
    LoadsInt8,
    check_mode,
    dequantized,
    quantized,
)
from keras_transformer.layers.shapes import CallCheck, check_ids, known_sizes

# The output projection's columns are filled up to a multiple of this, so that rows
# begin at multiples of 64 bytes, with columns whose logits are of no account.
_COLUMNS = 64
# Whether the call that is going on projects to logits.
_reverses = contextvars.ContextVar("reverses", default=False)


@dataclasses.dataclass(frozen=True)
class OutputProjection:
    """The output projection of a `TokenEmbedding`, to be used many times.

    Attributes:
        kernel: Tensor `(D, V')` or `kernels.PackedWeights`.
        bias: Tensor `(V',)` or None.
    """

    kernel: typing.Any
    bias: typing.Any

    @property
    def num_columns(self):
        """Number of logits of a row, V'."""
        return self.kernel.shape[1]

    def logits(self, rows):
        """Rows `(R, D)` -> `(R, V')`, in float32 or, from float64, in float64."""
        if isinstance(self.kernel, kernels.PackedWeights):
            logits = self.kernel.linear(rows, self.bias)
        else:
            logits = kernels.linear(rows, self.kernel, self.bias)
        return ops.cast(logits, at_least_float32(logits.dtype))


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenEmbedding(LoadsInt8, HasLora, CheckedLayer):
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
        inputs: Integer ids of any shape, usually `(B, T)`, or with `reverse=True`
            float vectors `(..., D)`. Ids may be floats that stand for integers, as
            models without an integer `keras.Input` pass them on.
        reverse: Whether to project vectors to logits.
        projection: With `reverse=True`: what `output_projection` gave, where it is at
            hand; logits have as many columns then.

    Returns:
        Vectors of shape `(B, T, D)` in the compute dtype, or with `reverse=True`
        logits of shape `(B, T, V)` in float32, or float64 where that is the compute
        dtype. Vectors carry the mask of their ids, logits that of their vectors.

    Raises:
        ValueError: If `vocabulary_size` or `hidden_dim` isn't positive, or ids aren't
            integers below `vocabulary_size`, where that can be seen.

    Example:

    >>> embedding = TokenEmbedding(vocabulary_size=100, hidden_dim=16)
    >>> vectors = embedding(np.array([[5, 7, 0]]))
    >>> tuple(embedding(vectors, reverse=True).shape)
    (1, 3, 100)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.4.
    """

    lora_names = ("embeddings", "lora_embeddings_a", "lora_embeddings_b")

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        *,
        scale=True,
        mask_zero=True,
        use_bias=False,
        embeddings_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = arguments.integer("vocabulary_size", vocabulary_size)
        self.hidden_dim = arguments.integer("hidden_dim", hidden_dim)
        self.scale = arguments.flag("scale", scale)
        self.mask_zero = arguments.flag("mask_zero", mask_zero)
        self.use_bias = arguments.flag("use_bias", use_bias)
        self.embeddings_initializer = get_initializer(
            "embeddings_initializer",
            keras.initializers.RandomNormal(stddev=self.hidden_dim**-0.5)
            if embeddings_initializer is None
            else embeddings_initializer,
        )
        self.lora_enabled = False
        self.lora_rank = self.lora_alpha = None
        self.supports_masking = True
        # Ids stay integers: Keras would cast inputs to the compute dtype.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    def __call__(self, inputs, *args, reverse=False, **kwargs):
        # Keras asks for the mask without saying what the call was.
        token = _reverses.set(reverse)
        try:
            return super().__call__(inputs, *args, reverse=reverse, **kwargs)
        finally:
            _reverses.reset(token)

    def check_call(self, given):
        arguments.flag("reverse", given.reverse)
        if given.reverse:
            CallCheck(D=self.hidden_dim).floats("inputs", given.inputs, "... D")
        else:
            check_ids("inputs", given.inputs, self.vocabulary_size)

    def build(self, input_shape=None):
        if self.quantization_mode is not None:
            self.quantized_build(input_shape, self.quantization_mode)
        else:
            self.embeddings = self.add_weight(
                name="embeddings",
                shape=(self.vocabulary_size, self.hidden_dim),
                initializer=self.embeddings_initializer,
                # Looked up before they are cast, and their gradients summed after.
                autocast=False,
            )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.vocabulary_size,), initializer="zeros"
            )

    def quantized_build(self, input_shape, mode):
        check_mode(mode)
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocabulary_size, self.hidden_dim),
            initializer="zeros",
            dtype="int8",
            trainable=False,
        )
        self.embeddings_scale = self.add_weight(
            name="embeddings_scale",
            shape=(self.vocabulary_size,),
            initializer="ones",
            trainable=False,
        )
        self._is_quantized = True

    def quantize(self, mode=None, type_check=True, config=None):
        """Turns the table, LoRA merged, into int8, with a scale for each token.

        Args:
            mode: `"int8"`.
            type_check: Of no account; Keras passes it.
            config: None or `keras.quantizers.Int8QuantizationConfig()`.

        Raises:
            ValueError: For another mode or quantizers of its own.
        """
        check_mode(mode, config)
        self.merge_lora()
        values, scale = quantized(self.embeddings, axis=-1)
        del self.embeddings
        self.quantized_build(None, mode)
        self.embeddings.assign(values)
        self.embeddings_scale.assign(scale)
        self.dtype_policy = keras.dtype_policies.get(
            f"{mode}_from_{self.dtype_policy.name}"
        )

    def enable_lora(
        self, rank, lora_alpha=None, a_initializer="he_uniform", b_initializer="zeros"
    ):
        """Freezes the table and gives it a low-rank update, as Keras's `Embedding`.

        Vectors and logits, which share the table, share the update.

        Args:
            rank: Rank of the update.
            lora_alpha: The update's factor times `rank`; `rank` if left out.
            a_initializer: Initializer of A `(V, rank)`.
            b_initializer: Initializer of B `(rank, D)`.

        Raises:
            ValueError: If the layer isn't built, is in int8 or has LoRA already.

        Reference: [LoRA](https://arxiv.org/abs/2106.09685).
        """
        rank = arguments.integer("rank", rank)
        if not self.built or self.lora_enabled or self.quantization_mode is not None:
            raise ValueError(
                "enable_lora takes a layer that is built, of floats and without LoRA; "
                f"received {self.name!r} with built={self.built}, quantization_mode="
                f"{self.quantization_mode!r}, lora_enabled={self.lora_enabled}."
            )
        self._tracker.unlock()
        self.lora_embeddings_a = self.add_weight(
            name="lora_embeddings_a",
            shape=(self.vocabulary_size, rank),
            initializer=a_initializer,
            dtype="float32",
            autocast=False,
        )
        self.lora_embeddings_b = self.add_weight(
            name="lora_embeddings_b",
            shape=(rank, self.hidden_dim),
            initializer=b_initializer,
            dtype="float32",
        )
        self.embeddings.trainable = False
        self._tracker.lock()
        self.lora_enabled = True
        self.lora_rank = rank
        self.lora_alpha = rank if lora_alpha is None else lora_alpha

    def output_projection(self):
        """The output projection, to be used many times.

        Returns:
            An `OutputProjection`. Its kernel are packed weights, where a scope has
            them. V' is V or a little more, a number of columns that matmuls are faster
            with; the logits past V are far below all others.
        """
        kernel, dtype = self._packed(), "float32"
        if kernel is None and self.quantization_mode is not None:
            kernel = kernels.Int8Table(self.embeddings, self.embeddings_scale)
            dtype = self.compute_dtype
        elif kernel is None:
            kernel, dtype = ops.transpose(self._whole_matrix()), self.compute_dtype
            extra = self.filled_vocabulary_size - self.vocabulary_size
            kernel = ops.pad(kernel, ((0, 0), (0, extra))) if extra else kernel
        bias = ops.convert_to_tensor(self.bias, dtype) if self.use_bias else None
        if extra := kernel.shape[1] - self.vocabulary_size:
            if bias is None:
                bias = ops.zeros((self.vocabulary_size,), dtype)
            bias = ops.pad(bias, ((0, extra),), constant_values=NO_LOGIT)
        return OutputProjection(kernel, bias)

    @property
    def filled_vocabulary_size(self):
        """V', see `output_projection`."""
        return -(-self.vocabulary_size // _COLUMNS) * _COLUMNS

    def _matrix(self):
        return ops.convert_to_tensor(self.embeddings, self.compute_dtype)

    def _whole_matrix(self):
        if not self.lora_enabled:
            return self._matrix()
        return ops.cast(self.lora_merged(), self.compute_dtype)

    def _packed(self):
        # What is packed lacks an update.
        return None if self.lora_enabled else kernels.packed_weights(self.embeddings)

    def call(self, inputs, *, reverse=False, projection=None):
        if not reverse:
            ids = ops.cast(inputs, "int32")
            vectors = ops.cast(self._look_up(ids), self.compute_dtype)
            if self.lora_enabled:
                vectors = vectors + self._look_up_update(ids)
            return vectors * self.hidden_dim**0.5 if self.scale else vectors
        rows = ops.cast(inputs, self.compute_dtype)
        rows = ops.reshape(rows, (-1, self.hidden_dim))
        logits = self._logits(rows, projection)
        return ops.reshape(logits, (*known_sizes(inputs)[:-1], logits.shape[-1]))

    def _look_up(self, ids):
        if table := self._packed():
            return table.columns(ids)
        vectors = ops.take(self.embeddings, ids, axis=0)
        if self.quantization_mode is None:
            return vectors
        scale = ops.take(self.embeddings_scale, ids, axis=0)[..., None]
        return dequantized(vectors, scale, self.compute_dtype)

    def _look_up_update(self, ids):
        _, a, b = self.lora_weights
        rows = ops.cast(ops.take(a, ids, axis=0), self.compute_dtype)
        return self.lora_scale * ops.matmul(rows, ops.cast(b, self.compute_dtype))

    def quantized_call(self, *args, **kwargs):
        return self.call(*args, **kwargs)

    def _logits(self, rows, projection):
        """Rows `(R, D)` -> `(R, V)`, in float32 or, from float64, in float64."""
        is_int8 = self.quantization_mode is not None
        if is_int8 or self._packed():
            if not is_int8:
                rows = ops.cast(rows, "float32")
            logits = (projection or self.output_projection()).logits(rows)
            return logits if projection else logits[:, : self.vocabulary_size]
        if projection:
            return projection.logits(rows)
        logits = kernels.linear(rows, ops.transpose(self._matrix()))
        if self.lora_enabled:
            _, a, b = (ops.cast(w, self.compute_dtype) for w in self.lora_weights)
            inner = kernels.linear(rows, ops.transpose(b))
            update = kernels.linear(inner, ops.transpose(a))
            logits = logits + self.lora_scale * update
        logits = ops.cast(logits, at_least_float32(logits.dtype))
        return kernels.add_bias(logits, self.bias if self.use_bias else None)

    def compute_mask(self, inputs, mask=None):
        # Of vectors (`reverse=True`) the mask passes through; of ids it is made.
        if _reverses.get():
            return mask
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_spec(self, inputs, *, reverse=False, projection=None):
        if reverse:
            columns = projection.num_columns if projection else self.vocabulary_size
            shape = tuple(inputs.shape[:-1]) + (columns,)
            return keras.KerasTensor(shape, at_least_float32(self.compute_dtype))
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
