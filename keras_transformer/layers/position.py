"""Position encodings: how a Transformer knows order."""

import math

import keras
import numpy as np
from keras import ops

LAYOUTS = ("interleaved", "concatenated")


def sinusoidal_encoding(
    positions, hidden_dim, max_wavelength=10_000.0, layout="interleaved"
):
    """The sinusoids of section 3.5, for any positions, in float32.

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

    Returns:
        A float32 tensor of shape `positions.shape + (hidden_dim,)`.

    Example:

    >>> sinusoidal_encoding(np.arange(50), hidden_dim=128).shape
    (50, 128)

    Reference: [Attention Is All You Need](https://arxiv.org/abs/1706.03762),
    section 3.5.
    """
    num_sines = (hidden_dim + 1) // 2
    exponents = 2.0 * np.arange(num_sines) / hidden_dim
    turns = float(max_wavelength) ** -exponents / (2.0 * math.pi)
    positions = ops.expand_dims(ops.cast(positions, "float32"), -1)
    fraction = 0.0
    for part in _split_significand(turns, bits=10, parts=3):
        product = positions * ops.convert_to_tensor(part, "float32")
        fraction += product - ops.floor(product)
    angles = fraction * (2.0 * math.pi)
    sines, cosines = ops.sin(angles), ops.cos(angles)
    if layout == "concatenated":
        return ops.concatenate([sines, cosines[..., : hidden_dim // 2]], axis=-1)
    pairs = ops.stack([sines, cosines], axis=-1)
    shape = ops.shape(positions)[:-1] + (2 * num_sines,)
    return ops.reshape(pairs, shape)[..., :hidden_dim]


def _split_significand(values, bits, parts):
    """Splits float64 values into float32 parts; all but the last have few bits."""
    result = []
    for _ in range(parts - 1):
        significand, exponent = np.frexp(values)
        part = np.ldexp(np.trunc(np.ldexp(significand, bits)), exponent - bits)
        result.append(part.astype("float32"))
        values = values - part
    return result + [values.astype("float32")]


@keras.saving.register_keras_serializable(package="keras_transformer")
class PositionalEncoding(keras.layers.Layer):
    """Adds the paper's sinusoidal position encoding to its input.

    A Transformer has no recurrence and no convolution: without this sum it
    cannot tell one order of its input from another. The encoding has no weights and
    no longest length. It is computed in float32 whatever the dtype policy, since
    8 significant bits cannot tell position 256 from 257, and cast once at the end.

    Args:
        max_wavelength: The wavelengths grow geometrically from `2 * pi` to
            `max_wavelength * 2 * pi`.
        layout: `"interleaved"` (the paper: sine, cosine, sine, ...) or
            `"concatenated"` (Marian: all sines, then all cosines).

    Call arguments:
        inputs: Float tensor of shape `(..., T, D)`, D even or odd.
        start_index: Position of the first row: an integer, a scalar tensor, or
            an integer tensor of shape `(B,)` with one start for each sequence of
            a `(B, T, D)` input. Decoding step by step passes the step here.

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
        if layout not in LAYOUTS:
            raise ValueError(
                f"layout must be one of {LAYOUTS}; received layout={layout!r}."
            )
        if max_wavelength <= 0:
            raise ValueError(
                "max_wavelength must be positive; "
                f"received max_wavelength={max_wavelength}."
            )
        self.max_wavelength = max_wavelength
        self.layout = layout
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(
                "PositionalEncoding expects inputs of shape (..., length, "
                f"hidden_dim) with a known hidden_dim; received {input_shape}."
            )

    def call(self, inputs, start_index=0):
        length, hidden_dim = ops.shape(inputs)[-2], inputs.shape[-1]
        start = ops.expand_dims(ops.cast(start_index, "int32"), -1)
        positions = start + ops.arange(length, dtype="int32")
        encoding = sinusoidal_encoding(
            positions, hidden_dim, self.max_wavelength, self.layout
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
