"""What a look through a corpus found."""

import collections
import dataclasses

EMPTY, LONG = "empty", "long"
LENGTH_RATIO = "length ratio"
IDENTICAL_SIDES = "identical sides"
WRONG_SCRIPT = "wrong script"
UNKNOWN_TOKENS = "unknown tokens"
DUPLICATE = "duplicate"
_WORDS = {
    EMPTY: "with an empty side",
    LENGTH_RATIO: "with sides of too different lengths",
    IDENTICAL_SIDES: "with identical sides",
    WRONG_SCRIPT: "in another script",
    UNKNOWN_TOKENS: "with too many unknown tokens",
    DUPLICATE: "that came before",
}


def left_out(dropped: dict[str, int], too_long: str = "too long") -> str:
    """How many pairs are left out for which reasons, in words.

    Args:
        dropped: Dict of reason -> number of pairs.
        too_long: Words for pairs with a side that is too long.
    """
    words = {**_WORDS, LONG: too_long}
    counts = {EMPTY: 0, LONG: 0, **dropped}
    return ", ".join(
        f"{count:,} {words.get(name, name)}" for name, count in counts.items()
    )


@dataclasses.dataclass(frozen=True)
class CorpusReport:
    """Pairs kept, pairs dropped, and tokens of a corpus.

    Attributes:
        pairs: Number of pairs that are kept.
        longest: Tokens of the longest side of a pair that is kept.
        source_tokens: Tokens of the sources that are kept.
        target_tokens: Tokens of the targets that are kept.
        dropped: Dict of reason -> number of pairs that are left out for it: `"empty"`,
            `"long"`, and the reasons of filters.
        padding_share: Share of a batch's ids that are padding, source and target
            together, over a whole epoch. None where no batches are made yet.

    The end token of each side is counted.
    """

    pairs: int
    longest: int
    source_tokens: int
    target_tokens: int
    dropped: dict = dataclasses.field(default_factory=dict)
    padding_share: float | None = None

    @property
    def dropped_empty(self) -> int:
        """Number of pairs that are left out because a side has no token."""
        return self.dropped.get(EMPTY, 0)

    @property
    def dropped_long(self) -> int:
        """Number of pairs that are left out because a side has too many tokens."""
        return self.dropped.get(LONG, 0)


@dataclasses.dataclass(frozen=True)
class CorpusShare:
    """One of several corpora that are mixed.

    Attributes:
        name: Its path.
        share: Its share of the pairs that are trained on.
        report: Its `CorpusReport`.
    """

    name: str
    share: float
    report: CorpusReport


@dataclasses.dataclass(frozen=True)
class MixtureReport(CorpusReport):
    """The sums over several corpora that are mixed.

    Attributes:
        corpora: A `CorpusShare` for each corpus.
    """

    corpora: tuple[CorpusShare, ...] = ()

    @classmethod
    def of(
        cls, corpora: list[CorpusShare], padding_share: float | None
    ) -> "MixtureReport":
        """The sums over some corpora."""
        dropped: collections.Counter[str] = collections.Counter()
        for corpus in corpora:
            dropped.update(corpus.report.dropped)
        reports = [corpus.report for corpus in corpora]
        return cls(
            pairs=sum(report.pairs for report in reports),
            longest=max(report.longest for report in reports),
            source_tokens=sum(report.source_tokens for report in reports),
            target_tokens=sum(report.target_tokens for report in reports),
            dropped=dict(dropped),
            padding_share=padding_share,
            corpora=tuple(corpora),
        )
