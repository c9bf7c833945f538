"""Position encodings: how a Transformer knows order."""

import math

import keras
import numpy as np
from keras import ops

from keras_transformer import arguments
from keras_transformer.kernels.dtypes import at_least_float32
from keras_transformer.layers.arguments import get_initializer
from keras_transformer.layers.checked_layer import CheckedLayer
from keras_transformer.layers.shapes import (
    CallCheck,
    check_shape,
    check_start,
    shape_of,
    values_of,
)

LAYOUTS = ("interleaved", "concatenated")


def sinusoidal_encoding(
    positions,
    hidden_dim,
    max_wavelength=10_000.0,
    layout="interleaved",
    dtype="float32",
):
    """The sinusoids of section 3.5, for any positions.

    ```
    PE(pos, 2i)     = sin(pos / max_wavelength^(2i / hidden_dim))
    PE(pos, 2i + 1) = cos(pos / max_wavelength^(2i / hidden_dim))
    ```

    Far positions keep their precision: the angle is reduced to one turn before
    it is ever rounded. Each frequency, in turns, is split into three parts of
    at most 10 significant bits, so that the products with the first two parts are
    exact in float32 for positions below 16,384, and only their fractions are added.

    Args:
        positions: Tensor of any shape, integer or float; the positions to encode.
        hidden_dim: Width D of the encoding. An odd width has one sine more than
            cosines.
        max_wavelength: The longest wavelength is `max_wavelength * 2 * pi`.
        layout: `"interleaved"` as in the paper (sine, cosine, sine, ...) or
            `"concatenated"` as in Marian (all sines, then all cosines).
        dtype: `"float32"` or `"float64"`.

    Returns:
        A tensor of that dtype, of shape `positions.shape + (hidden_dim,)`.

    Raises:
        ValueError: For an unknown `layout`, a size or wavelength that isn't positive.

    Example:

    >>> tuple(sinusoidal_encoding(np.arange(50), hidden_dim=128).shape)
    (50, 128)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.5.
    """
    hidden_dim = arguments.integer("hidden_dim", hidden_dim)
    check_sinusoid(max_wavelength, layout)
    num_sines = (hidden_dim + 1) // 2
    exponents = 2.0 * np.arange(num_sines) / hidden_dim
    turns = float(max_wavelength) ** -exponents / (2.0 * math.pi)
    positions = ops.expand_dims(ops.cast(positions, dtype), -1)
    fraction = 0.0
    parts = _split_significand(turns, bits=10, parts=3)
    for part in [turns] if dtype == "float64" else parts:
        product = positions * ops.convert_to_tensor(part, dtype)
        fraction += product - ops.floor(product)
    angles = fraction * (2.0 * math.pi)
    sines, cosines = ops.sin(angles), ops.cos(angles)
    if layout == "concatenated":
        return ops.concatenate([sines, cosines[..., : hidden_dim // 2]], axis=-1)
    pairs = ops.stack([sines, cosines], axis=-1)
    shape = ops.shape(positions)[:-1] + (2 * num_sines,)
    return ops.reshape(pairs, shape)[..., :hidden_dim]


def position_shift_matrix(
    offset, hidden_dim, max_wavelength=10_000.0, layout="interleaved"
):
    """The linear map that moves every sinusoidal encoding `offset` positions on.

    ```
    PE(pos + offset) = M PE(pos)        for every pos
    ```

    The paper chose sinusoids because such a map exists (section 3.5): "for any fixed
    offset k, PE(pos + k) can be represented as a linear function of PE(pos)". Each
    pair of sine and cosine turns by the angle `offset * frequency`, so M is a
    block-diagonal rotation:

    ```
    sin(a + b) =  cos(b) sin(a) + sin(b) cos(a)
    cos(a + b) = -sin(b) sin(a) + cos(b) cos(a)
    ```

    Args:
        offset: Number of positions k, any integer.
        hidden_dim: Width D of the encoding, an even number.
        max_wavelength: As in `sinusoidal_encoding`.
        layout: As in `sinusoidal_encoding`.

    Returns:
        The map M, a float32 NumPy array of shape `(D, D)`. It is orthogonal, hence dot
        products of encodings depend on the distance of their positions only.

    Raises:
        ValueError: For an odd `hidden_dim`, whose last sine has no cosine, an unknown
            `layout`, or a size or wavelength that isn't positive.

    Example:

    >>> encoding = ops.convert_to_numpy(sinusoidal_encoding(np.arange(50), 64))
    >>> moved = encoding[:40] @ position_shift_matrix(10, 64).T
    >>> bool(np.allclose(moved, encoding[10:], atol=1e-5))
    True

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.5.
    """
    hidden_dim = arguments.integer("hidden_dim", hidden_dim)
    check_sinusoid(max_wavelength, layout)
    if hidden_dim % 2:
        raise ValueError(
            "hidden_dim must be even, so that every sine has its cosine; "
            f"received hidden_dim={hidden_dim}."
        )
    pairs = hidden_dim // 2
    angles = offset * float(max_wavelength) ** (-2.0 * np.arange(pairs) / hidden_dim)
    sines, cosines = _sine_and_cosine_places(hidden_dim, layout)
    matrix = np.zeros((hidden_dim, hidden_dim))
    matrix[sines, sines] = matrix[cosines, cosines] = np.cos(angles)
    matrix[sines, cosines] = np.sin(angles)
    matrix[cosines, sines] = -np.sin(angles)
    return matrix.astype("float32")


def _sine_and_cosine_places(hidden_dim, layout):
    """The dimensions that hold the sines, and those that hold the cosines."""
    places = np.arange(hidden_dim)
    if layout == "concatenated":
        return np.split(places, 2)
    return places[0::2], places[1::2]


def check_sinusoid(max_wavelength, layout):
    """`max_wavelength` as a Python number; a ValueError for what no sinusoid has."""
    if layout not in LAYOUTS:
        raise ValueError(
            f"layout must be one of {LAYOUTS}; received layout={layout!r}."
        )
    return arguments.number("max_wavelength", max_wavelength, above=0)


def _split_significand(values, bits, parts):
    """Splits float64 values into float32 parts; all but the last have few bits."""
    result = []
    for _ in range(parts - 1):
        significand, exponent = np.frexp(values)
        part = np.ldexp(np.trunc(np.ldexp(significand, bits)), exponent - bits)
        result.append(part.astype("float32"))
        values = values - part
    return result + [values.astype("float32")]


def _check_sequences(inputs, start_index, width=None):
    check = CallCheck(D=width)
    check.floats("inputs", inputs, "... T D")
    batch = inputs.shape[:1] if len(inputs.shape) > 2 else None
    check_start("start_index", start_index, batch)


def _positions(inputs, start_index):
    """The positions of `(..., T, D)`: `(T,)`, or `(B, ..., T)` from starts `(B,)`."""
    start = ops.cast(start_index, "int32")
    if start.shape:
        start = ops.reshape(start, (-1, *[1] * (len(inputs.shape) - 2)))
    return start + ops.arange(ops.shape(inputs)[-2], dtype="int32")


@keras.saving.register_keras_serializable(package="keras_transformer")
class PositionalEncoding(CheckedLayer):
    """Adds the paper's sinusoidal position encoding to its input.

    A Transformer has no recurrence and no convolution: without this sum it
    cannot tell one order of its input from another. The encoding has no weights and
    no longest length. It is computed in float32, or float64 where that is the dtype,
    and cast once at the end: the 8 significant bits of bfloat16 cannot tell position
    256 from 257.

    Args:
        max_wavelength: The wavelengths grow geometrically from `2 * pi` to
            `max_wavelength * 2 * pi`.
        layout: `"interleaved"` (the paper: sine, cosine, sine, ...) or
            `"concatenated"` (Marian: all sines, then all cosines).

    Call arguments:
        inputs: Float tensor of shape `(..., T, D)`, D even or odd.
        start_index: Position of the first row: an integer, a scalar tensor, or
            an integer tensor of shape `(B,)` with one start for each row of the
            first axis. Decoding step by step passes the step here.

    Returns:
        `inputs + encoding`, of the shape and dtype of `inputs`; the mask of the
        input passes through.

    Raises:
        ValueError: For an unknown `layout` or a `max_wavelength` that isn't positive.

    Example:

    >>> tokens = keras.Input((None,), dtype="int32")
    >>> x = keras.layers.Embedding(1000, 64, mask_zero=True)(tokens)
    >>> x = PositionalEncoding()(x)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.5.
    """

    def __init__(self, max_wavelength=10_000.0, layout="interleaved", **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = check_sinusoid(max_wavelength, layout)
        self.layout = layout
        self.supports_masking = True

    def build(self, input_shape):
        check_shape("input_shape", input_shape, "... T D")

    def check_call(self, given):
        _check_sequences(given.inputs, given.start_index)

    def call(self, inputs, start_index=0):
        encoding = sinusoidal_encoding(
            _positions(inputs, start_index),
            inputs.shape[-1],
            self.max_wavelength,
            self.layout,
            dtype=at_least_float32(inputs.dtype),
        )
        return inputs + ops.cast(encoding, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "layout": self.layout,
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class LearnedPositionalEncoding(CheckedLayer):
    """Adds a trained vector for each position to its input.

    The paper found it "nearly identical" in quality to the sinusoids (Table 3, row E),
    which can go on to longer sequences than any in training; this table ends.

    Args:
        max_length: Number of positions in the table.
        embeddings_initializer: Initializer of the table `(max_length, D)`. By default a
            normal distribution of standard deviation `D ** -0.5`, as for tokens.

    Call arguments:
        inputs: Float tensor `(..., T, D)`.
        start_index: Position of the first row: an integer, a scalar tensor, or an
            integer tensor `(B,)` with one start for each row of the first axis.

    Returns:
        `inputs + table[start_index : start_index + T]`, of the shape and dtype of
        `inputs`; the mask of the input passes through.

    Raises:
        ValueError: If the input is longer than the table. In a graph whose lengths
            are not known beforehand, TensorFlow raises when the input comes, and names
            `positions_must_be_below_max_length`.

    Example:

    >>> x = np.zeros((2, 10, 64), "float32")
    >>> tuple(LearnedPositionalEncoding(max_length=512)(x).shape)
    (2, 10, 64)

    Reference: [Convolutional Sequence to Sequence Learning](https://arxiv.org/abs/1705.03122),
    section 3.1.
    """

    def __init__(self, max_length=512, embeddings_initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.max_length = arguments.integer("max_length", max_length)
        self.embeddings_initializer = get_initializer(
            "embeddings_initializer", embeddings_initializer
        )
        self.supports_masking = True

    def check_call(self, given):
        width = self.embeddings.shape[1] if self.built else None
        _check_sequences(given.inputs, given.start_index, width)
        self._check_fits(shape_of(given.inputs)[-2], given.start_index)

    def build(self, input_shape):
        check_shape("input_shape", input_shape, "... T D")
        hidden_dim = input_shape[-1]
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_length, hidden_dim),
            initializer=self.embeddings_initializer
            or keras.initializers.RandomNormal(stddev=hidden_dim**-0.5),
        )

    def call(self, inputs, start_index=0):
        length, hidden_dim = ops.shape(inputs)[-2], inputs.shape[-1]
        self._check_fits(length, start_index)
        table = ops.convert_to_tensor(self.embeddings, inputs.dtype)
        # The scope's name is what TensorFlow's error shows.
        with keras.name_scope("positions_must_be_below_max_length"):
            start = ops.cast(start_index, "int32")
            if not start.shape:
                rows = ops.slice(table, (start, 0), (length, hidden_dim))
                return inputs + rows
            positions = _positions(inputs, start)
            return inputs + ops.take(table, positions, axis=0)

    def _check_fits(self, length, start_index):
        starts = start_index
        if hasattr(starts, "shape"):
            starts = values_of(starts)
        if starts is None or not isinstance(length, int) or not np.size(starts):
            return
        first, end = int(np.min(starts)), int(np.max(starts)) + length
        if first < 0:
            raise ValueError(
                f"start_index must not be negative; received start_index={first}."
            )
        if end > self.max_length:
            raise ValueError(
                f"{self.name} has learned max_length={self.max_length} positions; "
                f"received an input that reaches position {end - 1}. "
                "Shorten the input, build the layer with a larger max_length "
                "(interpolate_from carries a trained table over), or use sinusoids, "
                "which have no longest length."
            )

    def interpolate_from(self, other):
        """Sets this table to that of another layer, stretched or shrunk to fit.

        Row 0 stays row 0 and the last row the last; between them rows are interpolated
        linearly. A model for longer inputs starts from it and is then trained on.

        Args:
            other: A built `LearnedPositionalEncoding` of the same width.

        Raises:
            ValueError: If the widths differ, or `other` isn't such a layer.

        Example:

        >>> short, long = LearnedPositionalEncoding(64), LearnedPositionalEncoding(256)
        >>> short.build((None, None, 8)), long.build((None, None, 8))
        (None, None)
        >>> long.interpolate_from(short)
        """
        if not isinstance(other, LearnedPositionalEncoding) or not other.built:
            raise ValueError(
                "other must be a built LearnedPositionalEncoding; received "
                f"other={other!r}."
            )
        table = ops.convert_to_numpy(other.embeddings)
        if table.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                "other must be as wide as this layer; received "
                f"other.embeddings.shape={table.shape} for {self.embeddings.shape}."
            )
        places = np.linspace(0.0, len(table) - 1.0, self.max_length)
        columns = [np.interp(places, np.arange(len(table)), c) for c in table.T]
        self.embeddings.assign(np.stack(columns, axis=1))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        initializer = self.embeddings_initializer
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "embeddings_initializer": initializer
            and keras.initializers.serialize(initializer),
        }
