"""What a look through a corpus found."""

import dataclasses

EMPTY, LONG = "empty", "long"


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
