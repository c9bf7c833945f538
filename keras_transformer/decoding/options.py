"""The options of a search: each one's default, words and check in one place."""

import dataclasses
import math
import numbers
import textwrap

import numpy as np

from keras_transformer.arguments import check_names, plain

# Wider beams and longer answers than anybody decodes; memory grows with both.
_MOST_HYPOTHESES = 1024
_MOST_SAMPLES = 2**16
_MOST_TOKENS = 2**20
_ANY = float("inf")


def _option(default, check, words):
    return dataclasses.field(default=default, metadata={"check": check, "help": words})


def _refuse(name, value, words, way_out=""):
    way_out = f" {way_out}" if way_out else ""
    raise ValueError(f"{name} must be {words}; received {name}={value!r}.{way_out}")


def _is_array(value):
    return isinstance(value, (list, tuple)) or hasattr(value, "shape")


def _integer(
    least=-_ANY, most=_ANY, *, optional=False, tensor=None, way_out="", wraps=False
):
    """Checks an integer.

    Args:
        least: Smallest value.
        most: Largest value.
        optional: Whether it may be None.
        tensor: Rank that it may have as a tensor or array, 0 or 1; None for no tensor.
        way_out: What the message says at its end.
        wraps: Whether any integer is taken modulo 2^32, as an int32.
    """
    if least == -_ANY:
        words = "an integer"
    else:
        words = "a positive integer" if least == 1 else f"an integer from {least} on"
        words += f" up to {most}" if most < _ANY else ""
    words += ", or None" if optional else ""

    def is_valid(value):
        return isinstance(value, numbers.Integral) and least <= value <= most

    def check(name, value):
        value = plain(value)
        if value is None and optional:
            return None
        if tensor is not None and _is_array(value):
            return _checked_array(name, value, tensor, "int", is_valid, words, way_out)
        if isinstance(value, bool) or not is_valid(value):
            _refuse(name, value, words, way_out)
        return (int(value) + 2**31) % 2**32 - 2**31 if wraps else int(value)

    return check


def _real(is_valid, words, *, way_out=""):
    """Checks a finite number, or a tensor or array of such, scalar or `(B,)`."""

    def is_right(value):
        is_real = isinstance(value, numbers.Real) and math.isfinite(value)
        return is_real and is_valid(value)

    def check(name, value):
        value = plain(value)
        if _is_array(value):
            return _checked_array(name, value, 1, "float", is_right, words, way_out)
        if isinstance(value, bool) or not is_right(value):
            _refuse(name, value, words, way_out)
        return float(value)

    return check


def _checked_array(name, value, rank, kind, is_valid, words, way_out):
    """An array of numbers, or a tensor, of whose values a graph knows nothing."""
    # The options are read without Keras, too: the command line shows them.
    import keras

    words += ", or one for each sentence" if rank else ", or a scalar tensor"
    is_tensor = keras.ops.is_tensor(value)
    values = value if is_tensor else np.asarray(value)
    dtype = keras.backend.standardize_dtype(values.dtype) if is_tensor else values.dtype
    kinds = ("int", "uint") if kind == "int" else ("int", "uint", "float", "bfloat")
    is_empty = not is_tensor and values.size == 0
    if len(values.shape) > rank or not (is_empty or str(dtype).startswith(kinds)):
        _refuse(name, value, words, way_out)
    if not is_tensor and not all(map(is_valid, np.ravel(values).tolist())):
        _refuse(name, value, words, way_out)
    return value if is_tensor else values


def _switch(*, optional=False):
    words = "True or False" + (", or None" if optional else "")

    def check(name, value):
        value = plain(value)
        if not (isinstance(value, bool) or (optional and value is None)):
            _refuse(name, value, words)
        return value

    return check


def _one_of(*known):
    def check(name, value):
        if not (isinstance(value, str) and value in known):
            _refuse(name, value, f"one of {known}")
        return value

    return check


def _token_ids(name, value):
    words = "a list of token ids"
    if isinstance(value, (str, bytes, dict)) or not np.iterable(value):
        _refuse(name, value, words)
    ids = [plain(each) for each in value]
    for each in ids:
        if isinstance(each, bool) or not isinstance(each, numbers.Integral):
            _refuse(name, value, words)
    return tuple(map(int, ids))


def _rows_of_ids(name, value):
    if value is not None and not _is_array(value):
        _refuse(name, value, "integer ids (B, P), or None")
    return list(value) if isinstance(value, tuple) else value


def _phrases(name, value):
    if value is None:
        return None
    words = "integer ids (B, G, W), or None"
    if not _is_array(value):
        _refuse(name, value, words)
    ids = value if hasattr(value, "shape") else np.asarray(value, dtype=object)
    if len(ids.shape) != 3:
        _refuse(name, value, words, "Shorter phrases are filled up with 0.")
    if ids.dtype == object:
        ids = np.asarray(ids.tolist(), "int32").reshape(ids.shape)
    if "int" not in str(ids.dtype):
        _refuse(name, value, words)
    return ids


def _yes_or_no(name, value):
    """Checks a bool, or a bool tensor or array, scalar or `(B,)`."""
    value = plain(value)
    words = "True or False, or a bool tensor with one for each sentence"
    if isinstance(value, (list, tuple)):
        value = np.asarray(value)
    if hasattr(value, "shape"):
        # A compiled program's inputs are numbers.
        is_right = any(kind in str(value.dtype) for kind in ("bool", "int"))
        if len(value.shape) > 1 or not is_right:
            _refuse(name, value, words)
    elif not isinstance(value, bool):
        _refuse(name, value, words)
    return value


def _function(name, value):
    if value is not None and not callable(value):
        _refuse(
            name,
            value,
            "a function (ids, index, source_ids) -> mask",
            "Tokens that are never generated go to banned_ids.",
        )
    return value


_GREEDY = "beam_size=1 is greedy search."


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a search is asked for; a set of options that doesn't change.

    Options are checked when the set is made. Numbers of NumPy are as good as Python's.
    Of tensors only shapes and dtypes are checked, because a graph doesn't know their
    values.

    Args:
        {arguments}

    Raises:
        ValueError: For an option out of range; it is named.
        TypeError: For an unknown option; the nearest known one is named.

    Example:

    >>> options = kt.decoding.SearchOptions(beam_size=8, length_penalty=1.0)
    >>> options.changed(num_hypotheses=3).num_hypotheses
    3
    """

    beam_size: int = _option(
        4,
        _integer(1, _MOST_HYPOTHESES),
        "Number of hypotheses that are followed at once; 1 is greedy search.",
    )
    num_hypotheses: int = _option(
        1,
        _integer(1, _MOST_SAMPLES, tensor=1),
        "Number of answers per sentence, at most `beam_size`, in a beam search also a "
        "scalar tensor; with `sample`, number of answers drawn. Or with `sample` a "
        "tensor, scalar or `(B,)`, whose values are at most `beam_size`: there are "
        "`beam_size` answers then, and those past a sentence's number have the score "
        "-1e9.",
    )
    length_penalty: float = _option(
        0.6,
        _real(lambda alpha: alpha >= 0, "a number that isn't negative"),
        "Exponent alpha of the length penalty: a number or a tensor, scalar or `(B,)`.",
    )
    penalty_form: str = _option(
        "gnmt",
        _one_of("gnmt", "power"),
        'The penalty is `((5 + length) / 6) ** alpha` with `"gnmt"`, the paper\'s, and '
        '`length ** alpha` with `"power"`, as in Marian.',
    )
    stop_when: str = _option(
        "certain",
        _one_of("certain", "likely", "full"),
        'When a beam search of a sentence ends: `"certain"`, when no better answer is '
        'possible, or, earlier, `"likely"` or `"full"`, see `BeamSearch`.',
    )
    min_length: int | None = _option(
        None,
        _integer(1, optional=True, tensor=1),
        "Fewest tokens of an answer, its end token included: an integer, or an integer "
        "tensor, scalar or `(B,)`.",
    )
    max_length: int | None = _option(
        None,
        _integer(1, _MOST_TOKENS, optional=True, tensor=1),
        "Most tokens of an answer, its end token included: an integer, an integer "
        "tensor, scalar or `(B,)`; by default the length of its own source plus "
        "`extra_length`.",
    )
    extra_length: int = _option(
        50,
        _integer(1, _MOST_TOKENS, tensor=0),
        "Tokens that an answer may be longer than its source; the paper's are 50.",
    )
    force_end: bool = _option(
        False,
        _switch(),
        "Whether an answer of `max_length` tokens has the end token as its last, at no "
        "cost, instead of being cut off.",
    )
    target_prefix: object = _option(
        None,
        _rows_of_ids,
        "Integer ids `(B, P)`, 0 is padding: tokens that each answer begins with. They "
        "count in its length and score.",
    )
    banned_ids: tuple = _option(
        (),
        _token_ids,
        "Tokens that are never generated; a prefix or prompt may still contain them. "
        "Padding and `start_id` are always banned.",
    )
    no_repeat_ngram_size: int | None = _option(
        None,
        _integer(1, _MOST_TOKENS, optional=True),
        "No n-gram of so many tokens occurs twice in an answer.",
    )
    allowed_tokens: object = _option(
        None,
        _function,
        "A function `(ids (B, N, L), index, source_ids (B, S)) -> bool (B, N, V)` in "
        "`keras.ops`: which tokens may come at position `index` of each of the N "
        "hypotheses, whose tokens before it are `ids[..., :index]`; for answers that "
        "must keep to a grammar. Where it allows nothing, the answer ends.",
    )
    phrases: object = _option(
        None,
        _phrases,
        "Integer ids `(B, G, W)`, 0 is padding: G phrases of each sentence that its "
        "answer is favoured to have, such as the terms of a glossary.",
    )
    phrase_bonus: float = _option(
        2.0,
        _real(lambda bonus: bonus >= 0, "a number that isn't negative"),
        "With `phrases`: what each token of a phrase adds to an answer's "
        "log-probability, once for each phrase: a number or a tensor, scalar or "
        "`(B,)`.",
    )
    force_phrases: object = _option(
        False,
        _yes_or_no,
        "Whether answers must have their `phrases`, in a beam search: a bool, or a "
        "bool tensor, scalar or `(B,)`. Such answers have no bonus. One lacks a phrase "
        "only if its length or another option leaves none that has it.",
    )
    sample: bool = _option(
        False,
        _switch(),
        "Whether to draw tokens at random; `beam_size` is of no account then.",
    )
    temperature: float = _option(
        1.0,
        _real(lambda value: value > 0, "a positive number", way_out=_GREEDY),
        "With `sample`: what logits are divided by, a number or a tensor, scalar or "
        "`(B,)`. In a tensor 0 takes the most probable token.",
    )
    top_k: int | None = _option(
        None,
        _integer(1, optional=True, way_out=f"None draws from all tokens; {_GREEDY}"),
        "With `sample`: number of tokens to draw from, the most probable.",
    )
    top_p: float = _option(
        1.0,
        _real(lambda value: 0 < value <= 1, "a number in (0, 1]"),
        "With `sample`: draws from the fewest tokens that have this probability, a "
        "number or a tensor, scalar or `(B,)`.",
    )
    seed: int = _option(
        0,
        _integer(tensor=1, wraps=True),
        "With `sample`: an integer, or an integer tensor, scalar or `(B,)`; the same "
        "seed gives a sentence the same answers, in any batch, on every backend.",
    )
    start_id: int = _option(2, _integer(1), "Token that starts an answer.")
    end_id: int = _option(
        3,
        _integer(1),
        "Token that ends an answer, but not within its prefix or prompt.",
    )
    longest: int | None = _option(
        None,
        _integer(1, _MOST_TOKENS, optional=True, tensor=0),
        "An integer or scalar tensor not less than any `max_length`, needed where that "
        "is a tensor.",
    )
    fixed_shapes: bool | None = _option(
        None,
        _switch(optional=True),
        "Whether all shapes are the same at each step, as compilation by XLA needs. By "
        "default where the backend isn't TensorFlow.",
    )

    def __new__(cls, **options):
        check_names("A search", options, cls.__dataclass_fields__)
        return super().__new__(cls)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = field.metadata["check"](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        most = _MOST_SAMPLES if self.sample else self.beam_size
        if isinstance(self.num_hypotheses, int) and self.num_hypotheses > most:
            raise ValueError(
                f"num_hypotheses must be at most beam_size={self.beam_size}; received "
                f"num_hypotheses={self.num_hypotheses}."
            )
        if self.sample and self.force_phrases is True:
            raise ValueError(
                "force_phrases needs a beam search; received force_phrases=True with "
                "sample=True. A phrase_bonus favours phrases in samples too."
            )
        if self.beam_size == 1 and not isinstance(self.force_phrases, bool):
            raise ValueError(
                "force_phrases with a value for each sentence needs a beam search; "
                "received beam_size=1."
            )
        least, longest = self.min_length, self.max_length
        if isinstance(least, int) and isinstance(longest, int) and least > longest:
            raise ValueError(
                f"min_length must be at most max_length={self.max_length}; received "
                f"min_length={self.min_length}."
            )

    def changed(self, **changes):
        """These options with some of them changed.

        Raises:
            ValueError: For an option out of range; it is named.
            TypeError: For an unknown option; the nearest known one is named.
        """
        return dataclasses.replace(self, **changes)

    def items(self):
        """Pairs of each option's name and its value."""
        return [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)]


def as_options(options=None):
    """A `SearchOptions` as it is, or the defaults for None.

    Raises:
        TypeError: For anything else.
    """
    if options is None:
        return SearchOptions()
    if not isinstance(options, SearchOptions):
        raise TypeError(
            f"options must be a SearchOptions or None; received options={options!r}."
        )
    return options


def _argument_lines(width=88, indent=8):
    for field in dataclasses.fields(SearchOptions):
        yield textwrap.fill(
            f"{field.name}: {field.metadata['help']}",
            width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + 4),
        )


if SearchOptions.__doc__:  # None where Python leaves docstrings out.
    SearchOptions.__doc__ = SearchOptions.__doc__.replace(
        "        {arguments}", "\n".join(_argument_lines())
    )
