"""Options of requests: each row has its own, within the export's limits.

All of it runs in the graph, where a value that can't be used mustn't raise: the server
joins requests, and all of them would fail. Such a row gets an error in words instead.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

_WHOLE = r"[+-]?[0-9]+"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_YES_OR_NO = r"(?i:0|1|true|false)"
# What an error quotes of a request, in characters.
_QUOTED = 60


@dataclasses.dataclass(frozen=True)
class Option:
    """A number that each row of a request may give.

    Args:
        name: Its name.
        default: Its value where a row doesn't give it.
        least: The lowest value that is used; lower ones become it.
        most: The highest value that is used.
        dtype: `tf.int32`, `tf.float32` or, for yes or no, `tf.bool`.
    """

    name: str
    default: float
    least: float
    most: float
    dtype: tf.DType = tf.int32

    def default_tensor(self) -> tf.Tensor:
        """The default as a signature has it, `(1,)`."""
        return tf.constant([self.default], self.dtype)

    def within_limits(
        self, values: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Brings the values of all rows within the limits.

        Args:
            values: Tensor `(B,)` of numbers.

        Returns:
            A tuple of the values `(B,)` in the option's dtype; whether each was
            outside of the limits, bool `(B,)`; and errors, string `(B,)`, `""` where
            there is none. A value that isn't a number becomes the default.
        """
        error = tf.fill(tf.shape(values), "")
        if self.dtype == tf.bool:
            return tf.cast(values, tf.bool), tf.zeros_like(values, tf.bool), error
        if values.dtype.is_floating:
            is_nan = tf.math.is_nan(values)
            error = tf.where(
                is_nan, f"{self.name} must be a number; received {self.name}=nan. ", ""
            )
            values = tf.where(is_nan, tf.cast(self.default, values.dtype), values)
        limits = (tf.cast(limit, values.dtype) for limit in (self.least, self.most))
        inside = tf.clip_by_value(values, *limits)
        return tf.cast(inside, self.dtype), tf.not_equal(inside, values), error

    @property
    def _form(self):
        """The regular expression of a value, and its name in words."""
        return {
            tf.int32: (_WHOLE, "a whole number"),
            tf.float32: (_NUMBER, "a number"),
            tf.bool: (_YES_OR_NO, "0 or 1"),
        }[self.dtype]

    def read(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The option's value in strings such as `"seed=3 top_p=0.9"`.

        Args:
            text: String tensor `(B,)`. Of a value that is there twice the last counts.

        Returns:
            A tuple of values, float64 `(B,)`; whether each string has one, bool
            `(B,)`; and errors, string `(B,)`.
        """
        pattern = rf"(?s)(?:.*[\s,])?{self.name}=([^\s,]*)(?:[\s,].*)?"
        is_given = tf.strings.regex_full_match(text, pattern)
        found = tf.strings.regex_replace(text, f"^{pattern}$", r"\1")
        found = tf.where(is_given, found, "")
        form, words = self._form
        is_number = tf.strings.regex_full_match(found, form)
        error = tf.strings.join(
            [f"{self.name} must be {words}; received {self.name}=", _cut(found), ". "]
        )
        error = tf.where(is_given & ~is_number, error, "")
        if self.dtype == tf.bool:
            is_yes = tf.strings.regex_full_match(found, "(?i:1|true)")
            found = tf.where(is_yes, "1", "0")
        default = str(float(self.default))
        number = tf.strings.to_number(tf.where(is_number, found, default), tf.float64)
        return number, is_given, error


@dataclasses.dataclass
class RowOptions:
    """What was read of a request's options, a value for each of B rows.

    Args:
        values: Dict of tensors `(B,)` by option's name.
        error: String tensor `(B,)`: why a row can't be answered, or `""`.
        bounded: Bool tensor `(B,)`: whether a value was outside of the limits.
        prefix: String tensor `(B,)`, what answers begin with.
    """

    values: dict
    error: tf.Tensor
    bounded: tf.Tensor
    prefix: tf.Tensor | None = None

    @property
    def answered(self) -> tf.Tensor:
        """Whether a row has no error, bool `(B,)`."""
        return tf.equal(self.error, "")


def option_inputs(
    options: Sequence[Option], names: Iterable[str]
) -> tuple[list[tf.TensorSpec], list[tf.Tensor]]:
    """The inputs of a signature that has one for each of some options.

    Args:
        options: List of `Option`.
        names: Names of those that have an input; `target_prefix` has one too.

    Returns:
        Two lists: their `tf.TensorSpec`s, and their defaults. A tensor as a default
        becomes the signature's, which the server fills in.
    """
    named = {option.name: option for option in options}
    specs = [tf.TensorSpec([None], named[name].dtype, name=name) for name in names]
    defaults = [named[name].default_tensor() for name in names]
    prefix = tf.TensorSpec([None], tf.string, name="target_prefix")
    return [*specs, prefix], [*defaults, tf.constant([""])]


def given_options(
    options: Sequence[Option], values: Mapping[str, tf.Tensor], rows: tf.Tensor
) -> RowOptions:
    """Options given as tensors, one for each.

    Args:
        options: List of `Option`.
        values: Dict of tensors `(B,)` or `(1,)` by name.
        rows: B, a tensor of shape `(1,)`.

    Returns:
        `RowOptions`; what isn't in `values` has its default.
    """
    values = {
        option.name: tf.broadcast_to(
            values.get(option.name, option.default_tensor()), rows
        )
        for option in options
    }
    return _within_limits(options, values, tf.fill(rows, ""))


def read_options(
    options: Sequence[Option],
    text: tf.Tensor,
    rows: tf.Tensor,
    prefix: str | None = None,
    with_sample: Iterable[str] = (),
) -> RowOptions:
    """Options given as one string for each row, such as `"seed=3, top_p=0.9"`.

    Spaces or commas are between them, and `""` is all defaults.

    Args:
        options: List of `Option`.
        text: String tensor `(B,)` or `(1,)`.
        rows: B, a tensor of shape `(1,)`.
        prefix: Name of an option that takes the rest of the string as it is.
        with_sample: Names of options that are of no use without `sample`.

    Returns:
        `RowOptions`.
    """
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    text = tf.broadcast_to(text, rows)
    rest = tf.fill(rows, "")
    if prefix is not None:
        pattern = rf"(?s)(?:(.*?)[\s,])??{prefix}=(.*)"
        has_prefix = tf.strings.regex_full_match(text, pattern)
        before, rest = (
            tf.strings.regex_replace(text, f"^{pattern}$", group)
            for group in (r"\1", r"\2")
        )
        text = tf.where(has_prefix, before, text)
        rest = tf.where(has_prefix, rest, "")
    read = {option.name: option.read(text) for option in options}
    names = [*read, *([prefix] if prefix else [])]
    errors = [_unknown(text, names), *(error for _, _, error in read.values())]
    values = {name: value for name, (value, _, _) in read.items()}
    for name in with_sample:
        is_useless = read[name][1] & tf.equal(values["sample"], 0.0)
        errors.append(tf.where(is_useless, f"{name} needs sample=1. ", ""))
    found = _within_limits(options, values, tf.strings.join(errors))
    found.prefix = rest
    return found


def wrong_lengths(name: str, lengths: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """Errors about rows whose length isn't one of their ids: string `(B,)`.

    Ids past the end of a row are none that it was sent with: a server that joins it
    with longer rows would fill them in.

    Args:
        name: Name of the lengths, for the message.
        lengths: int32 `(B,)`.
        ids: int32 `(B, S)`.
    """
    is_right = (lengths >= 0) & (lengths <= tf.shape(ids)[1])
    # The number is another one where a server joins the row with longer ones.
    return tf.where(is_right, "", f"{name} must be from 0 to the row's number of ids.")


def _within_limits(options, values, error):
    changed, errors = [], [error]
    inside = {}
    for option in options:
        within = option.within_limits(values[option.name])
        inside[option.name] = within[0]
        changed.append(within[1])
        errors.append(within[2])
    error = tf.strings.strip(tf.strings.join(errors))
    return RowOptions(inside, error, tf.reduce_any(tf.stack(changed), axis=0))


def _unknown(text, names):
    """An error about what is in strings `(B,)` beside the options of these names."""
    known = rf"(^|[\s,])(?:{'|'.join(names)})=[^\s,]*"
    rest = tf.strings.regex_replace(text, known, r"\1")
    rest = tf.strings.strip(tf.strings.regex_replace(rest, r"[\s,]+", " "))
    words = f"Options must be name=value, with the names {', '.join(names)}; received "
    return tf.where(tf.equal(rest, ""), "", tf.strings.join([words, _cut(rest), ". "]))


def _cut(text):
    """Strings `(B,)` that are short enough to be quoted."""
    return tf.strings.substr(text, 0, _QUOTED, unit="UTF8_CHAR")
