"""Which sentence pairs of a corpus are left out, and why."""

import dataclasses
import functools
import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import regex

from keras_transformer import arguments
from keras_transformer.arguments import check_names
from keras_transformer.data.report import (
    DUPLICATE,
    IDENTICAL_SIDES,
    LENGTH_RATIO,
    UNKNOWN_TOKENS,
    WRONG_SCRIPT,
)

# Letters that several scripts share, such as Japanese's long-vowel mark.
_OF_ALL_SCRIPTS = r"\p{Script=Common}--\p{Script=Inherited}"
_LIMITS = {
    "max_length_ratio": {"minimum": 1},
    "max_unknown_share": {"minimum": 0, "below": 1},
}
_UNKNOWN_TOKENS = {"<unk>", "[UNK]"}
_BYTE_TOKEN = regex.compile("<0x[0-9A-F]{2}>")


@dataclasses.dataclass(frozen=True)
class Filters:
    """Rules for sentence pairs to leave out. By default there is none.

    A pair has the first reason in the order of the arguments, with duplicates last. So
    the counts don't depend on how a corpus is divided among processes.

    Args:
        max_length_ratio: Most times that one side's number of tokens may be the
            other's.
        duplicates: Whether to drop a pair that came before in the same corpus, both
            sides the same. The first one stays. Takes up to 24 MB of memory for a
            million pairs.
        identical_sides: Whether to drop a pair whose source is its target, white
            space around them aside.
        script: Pair of the source's and the target's script by Unicode's name, such as
            `("Latin", "Cyrillic")`. Several scripts of one side are a list:
            `("Latin", ["Han", "Hiragana", "Katakana"])`. None is any script. A side is
            wrong if most of its letters are of other scripts. A text without letters
            is never wrong.
        max_unknown_share: Largest share of a side's tokens that are unknown, or bytes
            of characters that the vocabulary lacks.

    Raises:
        TypeError: For a value of another type.
        ValueError: For a value out of range, or a script that Unicode doesn't have.

    Example:

    >>> filters = kt.data.Filters(max_length_ratio=3, identical_sides=True)
    >>> filters.reason("A dog.", "A dog.", [5, 6, 7], [5, 6, 7])
    'identical sides'
    """

    max_length_ratio: float | None = None
    duplicates: bool = False
    identical_sides: bool = False
    script: tuple | None = None
    max_unknown_share: float | None = None

    def __post_init__(self) -> None:
        for name, limits in _LIMITS.items():
            if (value := getattr(self, name)) is not None:
                number = arguments.number(name, value, **limits)
                object.__setattr__(self, name, number)
        for name in ("duplicates", "identical_sides"):
            is_on = arguments.flag(name, getattr(self, name))
            object.__setattr__(self, name, is_on)
        if self.script is not None:
            object.__setattr__(self, "script", _checked_scripts(self.script))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Filters":
        """Filters from a dict of their arguments, as `to_json` gives it.

        Raises:
            TypeError: If `values` is no dict, or an argument has another type.
            ValueError: For an argument that there isn't, with the nearest one's name.
        """
        if not isinstance(values, dict):
            raise arguments.ArgumentTypeError(
                f"filters must be a dict; received filters={values!r}."
            )
        names = [field.name for field in dataclasses.fields(cls)]
        check_names("filters", values, names)
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The arguments that aren't the defaults, as JSON has them."""
        values = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                values[field.name] = value
        if self.script is not None:
            values["script"] = [
                list(side) if isinstance(side, tuple) else side for side in self.script
            ]
        return values

    @property
    def reasons(self) -> list[str]:
        """The reasons that these filters may have, in their order."""
        rules = {
            LENGTH_RATIO: self.max_length_ratio is not None,
            IDENTICAL_SIDES: self.identical_sides,
            WRONG_SCRIPT: self.script is not None,
            UNKNOWN_TOKENS: self.max_unknown_share is not None,
            DUPLICATE: self.duplicates,
        }
        return [reason for reason, on in rules.items() if on]

    def reason(
        self,
        source_text: str,
        target_text: str,
        source_ids: Sequence[int],
        target_ids: Sequence[int],
        source_unknown: Collection[int] = (1,),
        target_unknown: Collection[int] = (1,),
    ) -> str | None:
        """Why a pair is left out, or None. `SeenHashes` finds duplicates.

        Args:
            source_text: The source sentence.
            target_text: The target sentence.
            source_ids: The source's ids, without special tokens.
            target_ids: Those of the target.
            source_unknown: Ids that stand for something unknown in the source, as
                `unknown_ids` finds them.
            target_unknown: Those of the target.

        Returns:
            One of `reasons`, or None for a pair to keep.
        """
        if self.max_length_ratio is not None:
            short, long = sorted((len(source_ids), len(target_ids)))
            if long > self.max_length_ratio * short:
                return LENGTH_RATIO
        if self.identical_sides and source_text.strip() == target_text.strip():
            return IDENTICAL_SIDES
        if self.script is not None and not (
            _is_in_script(source_text, self.script[0])
            and _is_in_script(target_text, self.script[1])
        ):
            return WRONG_SCRIPT
        if self.max_unknown_share is not None:
            for ids, unknown in (
                (source_ids, source_unknown),
                (target_ids, target_unknown),
            ):
                count = sum(token in unknown for token in ids)
                if count > self.max_unknown_share * len(ids):
                    return UNKNOWN_TOKENS
        return None


def unknown_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of a tokenizer that stand for text that its vocabulary lacks.

    Args:
        tokenizer: A `kt.text.Tokenizer`, or another one with `tokens` and
            `vocabulary_size`.

    Returns:
        A frozenset of the unknown token's id and those of the bytes of byte fallback.
    """
    tokens = tokenizer.tokens(range(tokenizer.vocabulary_size))
    return frozenset(
        i
        for i, token in enumerate(tokens)
        if token in _UNKNOWN_TOKENS or _BYTE_TOKEN.fullmatch(token)
    )


def pair_hash(source_text: str, target_text: str) -> int:
    """A pair's 64-bit hash, the same in every process.

    Two different pairs of 100 million share one with a probability of 0.0003.
    """
    digest = hashlib.blake2b(digest_size=8)
    source = source_text.encode("utf-8", "surrogatepass")
    # The length says where the target begins.
    digest.update(len(source).to_bytes(8, "little") + source)
    digest.update(target_text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "little")


class SeenHashes:
    """The hashes of the pairs so far, to tell a duplicate from the first of its kind.

    Takes 8 MB of memory for a million pairs, and three times as much while it sorts.

    Example:

    >>> seen = SeenHashes()
    >>> seen.add(np.array([7, 5, 7], "uint64")).tolist()
    [True, True, False]
    >>> seen.add(np.array([5, 6], "uint64")).tolist()
    [False, True]
    """

    def __init__(self) -> None:
        # Sorted arrays; each is more than twice as long as the next.
        self._runs: list[np.ndarray] = []

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Adds hashes, uint64 (N,).

        Returns:
            Which of them haven't come before, bool (N,).
        """
        values, first = np.unique(hashes, return_index=True)
        new = np.ones(len(values), bool)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, values), len(run) - 1)
            new &= run[at] != values
        found = np.zeros(len(hashes), bool)
        found[first[new]] = True
        run = values[new]
        while self._runs and len(run) and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            # Stable sorting merges the two.
            run.sort(kind="stable")
        if len(run):
            self._runs.append(run)
        return found


def _checked_scripts(script: Any) -> tuple:
    """A pair of scripts, each None, a name or a tuple of names."""
    if isinstance(script, (str, bytes)) or not isinstance(script, Iterable):
        raise arguments.ArgumentTypeError(
            "script must be a pair of the source's and the target's script, such as "
            f'("Latin", "Cyrillic"); received script={script!r}.'
        )
    sides = tuple(
        side if side is None or isinstance(side, str) else _checked_names(side, script)
        for side in script
    )
    if len(sides) != 2 or sides == (None, None):
        raise ValueError(
            "script must be a pair of the source's and the target's script, such as "
            f'("Latin", None); received script={script!r}.'
        )
    for side in sides:
        if side is not None:
            _letters(side)
    return sides


def _checked_names(names: Any, script: Any) -> tuple[str, ...]:
    if not isinstance(names, Iterable):
        names = (names,)
    names = tuple(names)
    if not names or not all(isinstance(name, str) for name in names):
        raise arguments.ArgumentTypeError(
            "script must hold names of scripts, lists of names or None; received "
            f"script={script!r}."
        )
    return names


@functools.cache
def _letters(scripts: str | tuple[str, ...]) -> tuple[regex.Pattern, regex.Pattern]:
    """Patterns of the letters of some scripts, and of those of all scripts.

    Raises:
        ValueError: For a script that there isn't.
    """
    scripts = (scripts,) if isinstance(scripts, str) else scripts
    for name in scripts:
        try:
            if not regex.fullmatch(r"[A-Za-z_ -]+", name):
                raise regex.error("no name of a script")
            regex.compile(rf"\p{{Script={name}}}")
        except regex.error:
            raise ValueError(
                "script must hold Unicode's names of scripts, such as Latin, Cyrillic, "
                f"Greek, Arabic, Han, Hiragana or Hangul; received {name!r}."
            ) from None
    own = "".join(rf"\p{{Script={name}}}" for name in scripts)
    return (
        regex.compile(rf"(?V1)[\p{{L}}&&[{own}]--{_OF_ALL_SCRIPTS}]"),
        regex.compile(rf"(?V1)[\p{{L}}--{_OF_ALL_SCRIPTS}]"),
    )


def _is_in_script(text: str, scripts: str | tuple[str, ...] | None) -> bool:
    """Whether at least half of a text's letters are of some scripts."""
    if scripts is None:
        return True
    own, letters = _letters(scripts)
    return 2 * len(own.findall(text)) >= len(letters.findall(text))
