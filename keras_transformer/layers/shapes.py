"""Call arguments of layers: shapes, dtypes and masks, checked before anything is built.

Errors name the argument, its shape and the shape that is wanted. A size that isn't
known while a graph is traced is taken for right.
"""

import numbers

import keras
import numpy as np
from keras import ops

# The largest integer up to which a float dtype has all.
_EXACT_INTEGERS = {"bfloat16": 2**8, "float16": 2**11, "float32": 2**24}


class CallCheck:
    """Checks the arguments of one call, whose axes have names.

    An axis of one name has one size in all arguments: `"B T D"` is a batch of
    sequences of vectors. `"... D"` has any axes before the last.

    Args:
        **sizes: Sizes that are known beforehand, by the axis's name.
    """

    def __init__(self, **sizes):
        self._sizes = {name: size for name, size in sizes.items() if size is not None}

    def floats(self, name, value, *forms, optional=False, has_width=True):
        """A float tensor; with `has_width` its last axis has a known size."""
        if optional and value is None:
            return
        check_is_array(name, value, forms[0])
        dtype = dtype_name(value)
        if not _is_float(dtype):
            hint = " Ids go through a TokenEmbedding first." if "int" in dtype else ""
            raise ValueError(
                f"{name} must be floats of shape {_words(forms)}; received "
                f"{name} of dtype {dtype} and shape {_printed(shape_of(value))}.{hint}"
            )
        self._shape(name, value, forms)
        if has_width and shape_of(value) and shape_of(value)[-1] is None:
            raise ValueError(
                f"The last axis of {name} must be of a known size; received {name} of "
                f"shape {_printed(shape_of(value))}."
            )

    def mask(self, name, value, *forms, broadcasts=False):
        """A mask, or None: boolean, or of 0 and 1, True where attention is allowed."""
        if value is None:
            return
        check_is_array(name, value, forms[0])
        check_is_mask(name, value)
        self._shape(name, value, forms, broadcasts=broadcasts)

    def array(self, name, value, *forms):
        """A tensor of any dtype, or None."""
        if value is not None:
            check_is_array(name, value, forms[0])
            self._shape(name, value, forms)

    def heads(self, name, value, keys=("key", "value"), form="B H S K"):
        """A dict with keys and values of heads."""
        if not isinstance(value, dict) or not set(keys) <= set(value):
            known = list(value) if isinstance(value, dict) else type(value).__name__
            raise ValueError(
                f"{name} must be a dict with {' and '.join(map(repr, keys))}; received "
                f"{name}={known}."
            )
        for key in keys:
            self.array(f"{name}[{key!r}]", value[key], form)

    def size(self, name):
        """The size of an axis, or None."""
        return self._sizes.get(name)

    def _shape(self, name, value, forms, *, broadcasts=False):
        shape = shape_of(value)
        if shape is None:
            return
        for form in forms:
            axes = _axes(form, len(shape))
            if axes is not None and self._fits(axes, shape, broadcasts):
                for axis, size in zip(axes, shape):
                    if size is not None and not (broadcasts and size == 1):
                        self._sizes.setdefault(axis, size)
                return
        known = sorted({a for form in forms for a in form.split()} & set(self._sizes))
        where = ", ".join(f"{axis}={self._sizes[axis]}" for axis in known)
        raise ValueError(
            f"{name} must have the shape {_words(forms)}"
            f"{' with ' + where if where else ''}; received {name} of shape "
            f"{_printed(shape)}."
        )

    def _fits(self, axes, shape, broadcasts):
        own = {}
        for axis, size in zip(axes, shape):
            if axis is None or size is None or (broadcasts and size == 1):
                continue
            if own.setdefault(axis, self._sizes.get(axis, size)) != size:
                return False
        return True


def _axes(form, rank):
    """The name of each axis, None where any will do; None if the rank doesn't fit."""
    axes = form.split()
    if axes[0] == "...":
        free = rank - len(axes) + 1
        return None if free < 0 else [None] * free + axes[1:]
    return axes if len(axes) == rank else None


def _words(forms):
    shapes = [f"({', '.join(form.split())})" for form in forms]
    return " or ".join([", ".join(shapes[:-1]), shapes[-1]] if shapes[1:] else shapes)


def _printed(shape):
    return tuple(shape) if shape is not None else None


def shape_of(value):
    """A tuple of integers, None where a size isn't known; None for an unknown rank."""
    shape = value.shape
    if getattr(shape, "rank", 0) is None:
        return None
    return tuple(size if isinstance(size, int) else None for size in shape)


def known_sizes(tensor):
    """The shape to reshape something to: -1 where one size isn't known.

    Of an empty tensor any size would do in the place of -1: there all are looked up.
    """
    sizes = [-1 if size is None else size for size in tensor.shape]
    if sizes.count(-1) > 1 or (-1 in sizes and 0 in sizes):
        return tuple(ops.shape(tensor))
    return tuple(sizes)


def dtype_name(value):
    """A tensor's dtype as Keras spells it; the type's own words if it is unknown."""
    try:
        return keras.backend.standardize_dtype(value.dtype)
    except (ValueError, TypeError):
        return str(value.dtype)


def _is_float(dtype):
    return "float" in dtype


def check_shape(name, shape, form):
    """Raises a ValueError for a shape that a layer can't be built with."""
    try:
        sizes = tuple(shape)  # TensorFlow has a class of its own for shapes.
    except (TypeError, ValueError):
        sizes = ()
    are_sizes = all(
        size is None or isinstance(size, numbers.Integral) for size in sizes
    )
    if not (are_sizes and _axes(form, len(sizes))):
        raise ValueError(f"{name} must be {_words([form])}; received {name}={shape}.")
    if shape[-1] is None:
        raise ValueError(
            f"The last axis of {name} must be of a known size; received {name}={shape}."
        )


def check_is_array(name, value, form):
    """Raises a TypeError unless `value` is an array or a tensor."""
    wanted = f"{name} must be one array or tensor of shape {_words([form])}"
    kind = type(value).__name__
    if kind in ("RaggedTensor", "SparseTensor"):
        raise TypeError(f"{wanted}; received {name}, a {kind}. Pad it to a dense one.")
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return
    if isinstance(value, (list, tuple)):
        shapes = [shape_of(item) for item in value if hasattr(item, "shape")]
        if shapes:
            raise TypeError(
                f"{wanted}; received {name}, a {kind} of tensors of shapes {shapes}. "
                "Give each as an argument of its own."
            )
        raise TypeError(
            f"{wanted}; received {name}, a {kind} of shape {_shape_of_list(value)}. "
            "np.array(...) makes an array of it."
        )
    raise TypeError(f"{wanted}; received {name}={value!r}, a {kind}.")


def _shape_of_list(value):
    """The shape of nested lists; of ragged ones, that of their first elements."""
    shape = ()
    while isinstance(value, (list, tuple)):
        shape, value = (*shape, len(value)), value[0] if value else None
    return shape


def values_of(tensor):
    """The values as a NumPy array, or None while a graph is traced."""
    if isinstance(tensor, np.ndarray):
        return tensor
    if isinstance(tensor, keras.KerasTensor) or not keras.ops.is_tensor(tensor):
        return None
    try:
        return ops.convert_to_numpy(tensor)
    except Exception:
        # Each backend has errors of its own for values that a trace doesn't know.
        return None


def check_is_mask(name, mask):
    """Raises a ValueError unless a mask is boolean or has only 0 and 1.

    An additive mask, of 0 and -1e9, means the opposite. Where the values aren't known,
    floats are refused, and integers are taken for 0 and 1.
    """
    dtype = dtype_name(mask)
    if dtype == "bool":
        return
    wanted = f"{name} must be boolean, or 0 and 1, and True where attention is allowed"
    if "int" not in dtype and not _is_float(dtype):
        raise ValueError(f"{wanted}; received {name} of dtype {dtype}.")
    values = values_of(mask)
    if values is None:
        if _is_float(dtype):
            raise ValueError(
                f"{wanted}; received {name} of dtype {dtype}, whose values aren't "
                'known while a graph is traced. keras.ops.cast(mask, "bool") makes '
                "booleans of 0 and 1."
            )
        return
    wrong = values[(values != 0) & (values != 1)]
    if wrong.size:
        raise ValueError(
            f"{wanted}; received {name} of dtype {dtype} with the value "
            f"{float(wrong.flat[0])}. An additive mask of 0 and -1e9 is turned into "
            "one by mask == 0."
        )


def check_ids(name, ids, vocabulary_size):
    """Raises an error unless `ids` are integers, or floats that stand for integers."""
    check_is_array(name, ids, "...")
    dtype, shape = dtype_name(ids), _printed(shape_of(ids))
    wanted = f"{name} must be integer ids from 0 to {vocabulary_size - 1}"
    if "int" not in dtype and not _is_float(dtype):
        raise ValueError(
            f"{wanted}; received {name} of dtype {dtype} and shape {shape}. "
            "A tokenizer makes ids of text."
        )
    if _is_float(dtype) and vocabulary_size - 1 > _EXACT_INTEGERS.get(dtype, np.inf):
        raise ValueError(
            f"{wanted}; received {name} of dtype {dtype}, which has all integers only "
            f"up to {_EXACT_INTEGERS[dtype]}. Give the model a "
            'keras.Input(..., dtype="int32").'
        )
    values = values_of(ids)
    if values is None or not values.size:
        return
    values = values.astype("float64") if _is_float(dtype) else values
    wrong = values[~((values >= 0) & (values < vocabulary_size))]
    if not wrong.size and _is_float(dtype):
        wrong = values[values != np.floor(values)]
    if wrong.size:
        raise ValueError(
            f"{wanted}; received {name} of shape {shape} with the value "
            f"{wrong.flat[0]}."
        )


def check_start(name, value, batch=None):
    """A position: an integer, a scalar integer tensor, or with `batch` some of `(B,)`.

    Raises:
        ValueError: For anything else. `batch` is the shape `(B,)`.
    """
    forms = "an integer or a scalar integer tensor"
    if batch is not None:
        forms += ", or integers of shape (B,)"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return
    is_array = hasattr(value, "shape") and hasattr(value, "dtype")
    if not is_array or "int" not in dtype_name(value):
        received = f"of dtype {dtype_name(value)}" if is_array else f"{name}={value!r}"
        raise ValueError(f"{name} must be {forms}; received {received}.")
    shape = shape_of(value)
    if shape in (None, ()):
        return
    known = batch[0] if batch else None
    fits = batch is not None and len(shape) == 1
    if not fits or (None not in (shape[0], known) and shape[0] != known):
        where = f" with B={known}" if known is not None else ""
        raise ValueError(
            f"{name} must be {forms}{where}; received {name} of shape {shape}."
        )
