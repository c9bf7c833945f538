"""Another segmentation of the same text each time: BPE dropout and its like.

SentencePiece draws segmentations, too, but not the same ones in each process: its
generator mixes any seed with a number of the process (Abseil's `BitGen`). So they are
drawn here, from the model's pieces and scores.
"""

import bisect
import functools
import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from sentencepiece import sentencepiece_model_pb2

from keras_transformer import arguments

# How often what is too long is drawn anew.
_DRAWS = 8
# A word that is longer, as in a language without spaces, is drawn in parts.
_LONGEST_WORD = 32
_CACHED_WORDS = 1 << 16
_SPACE = "\u2581"
_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class SubwordSampler:
    """Draws a segmentation of a text, a pure function of the text's ids and a key.

    BPE leaves out each merge with the probability `bpe_dropout`. A unigram model draws
    from all segmentations of a word, each with its probability to the power of
    `unigram_alpha`. The drawn ids are those of the same text. Bytes, unknown tokens and
    symbols stay.

    Args:
        tokenizer: A `kt.text.Tokenizer` of type `"bpe"` or `"unigram"`.
        strength: The dropout of a BPE model, or the alpha of a unigram model.

    Example:

    >>> sampler = SubwordSampler(tokenizer, 0.1)
    >>> ids = tokenizer.encode(["the dog"])[0]
    >>> drawn = sampler(ids, key=(0, 17, 3), longest=64)
    >>> tokenizer.decode([drawn])
    ['the dog']

    References:
        - [BPE-Dropout](https://arxiv.org/abs/1910.13267), Provilkov et al.
        - [Subword Regularization](https://arxiv.org/abs/1804.10959), Kudo
    """

    def __init__(self, tokenizer: Any, strength: float) -> None:
        model = _proto(tokenizer)
        is_normal = model.pieces[0].NORMAL
        # The text of a piece that may be split, None for others.
        self._pieces = [
            piece.piece if piece.type == is_normal else None for piece in model.pieces
        ]
        ids = {piece: i for i, piece in enumerate(self._pieces) if piece is not None}
        scores = {piece: model.pieces[i].score for piece, i in ids.items()}
        is_bpe = _model_type(tokenizer) == "bpe"
        kind: Any = _BpeDropout if is_bpe else _UnigramSampling
        self._draw = kind(ids, scores, strength)

    def __call__(
        self, ids: Sequence[int], key: Sequence[int], longest: float
    ) -> list[int]:
        """Ids of a drawn segmentation.

        Args:
            ids: The text's ids `(L,)`, without special tokens.
            key: Integers, such as seed, update and row. The same ones draw the same.
            longest: Most ids to return. Longer segmentations are drawn anew, and the
                given ids stay if that doesn't help.
        """
        ids = [int(i) for i in ids]
        words = list(self._words(ids))
        generator = random.Random(_seed(key))
        for _ in range(_DRAWS):
            drawn: list[int] = []
            for word, own in words:
                drawn += self._draw(word, own, generator) if word else own
            if len(drawn) <= longest:
                return drawn
        return ids

    def _words(self, ids: list[int]) -> Iterator[tuple[str, list[int]]]:
        """Parts of a text that are drawn by themselves, with their ids."""
        word, own = "", list[int]()
        for i in ids:
            piece = self._pieces[i]
            begins = piece is None or piece.startswith(_SPACE)
            if own and (begins or len(word) + len(piece or "") > _LONGEST_WORD):
                yield word, own
                word, own = "", []
            if piece is None:
                yield "", [i]
            else:
                word += piece
                own.append(i)
        if own:
            yield word, own


class _BpeDropout:
    """Draws the ids of a word by merging its characters, some merges aside."""

    def __init__(self, ids, scores, dropout):
        self._ids = ids
        self._scores = scores
        self._dropout = dropout

    def __call__(self, word, ids, generator):
        # How many merges are kept before the first one that is left out.
        kept = math.log(1 - generator.random()) / math.log1p(-self._dropout)
        if kept >= len(word) - len(ids):
            return ids
        parts = self.merged(word, self._drops(int(kept), generator))
        found = [self._ids.get(part) for part in parts]
        return ids if None in found else found

    def _drops(self, kept, generator):
        """Yields for each merge that is tried whether it is left out."""
        yield from itertools.repeat(False, kept)
        yield True
        while True:
            yield generator.random() < self._dropout

    def merged(self, word, drops):
        """The parts of a word after all merges but those that are left out."""
        parts, ends, left_out = list(word), list(range(1, len(word) + 1)), set()
        while True:
            best, at = -math.inf, None
            for i in range(len(parts) - 1):
                score = self._scores.get(parts[i] + parts[i + 1])
                if (
                    score is not None
                    and score > best
                    and (parts[i], parts[i + 1], ends[i]) not in left_out
                ):
                    best, at = score, i
            if at is None:
                return parts
            if next(drops):
                left_out.add((parts[at], parts[at + 1], ends[at]))
            else:
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
                del ends[at]


class _UnigramSampling:
    """Draws the ids of a word from all its segmentations."""

    def __init__(self, ids, scores, alpha):
        self._ids = ids
        self._scores = scores
        self._alpha = alpha
        self._longest = max(map(len, ids), default=0)
        self._last_pieces = functools.lru_cache(_CACHED_WORDS)(self._last_pieces_of)

    def __call__(self, word, ids, generator):
        end, found = len(word), []
        last_pieces = self._last_pieces(word)
        while end:
            starts, sums = last_pieces[end]
            chosen = bisect.bisect(sums, generator.random() * sums[-1])
            start = starts[min(chosen, len(starts) - 1)]
            found.append(self._ids[word[start:end]])
            end = start
        return found[::-1]

    def _last_pieces_of(self, word):
        """For each end, where its last piece may start, and the weights' sums."""
        # Logarithms of the sum of the weights of all segmentations up to an end.
        totals, found = [0.0], [([], [])]
        for end in range(1, len(word) + 1):
            starts = [
                start
                for start in range(max(0, end - self._longest), end)
                if word[start:end] in self._ids and totals[start] > -math.inf
            ]
            logs = [
                totals[start] + self._alpha * self._scores[word[start:end]]
                for start in starts
            ]
            most = max(logs, default=-math.inf)
            sums = list(itertools.accumulate(math.exp(log - most) for log in logs))
            totals.append(most + math.log(sums[-1]) if sums else -math.inf)
            found.append((starts, sums))
        return found


def subword_samplers(
    tokenizers: Sequence[Any], bpe_dropout: float, unigram_alpha: float | None
) -> list[SubwordSampler | None]:
    """The sampler of each tokenizer, or None where nothing is drawn.

    Args:
        tokenizers: The source's and the target's tokenizer.
        bpe_dropout: Probability that BPE leaves a merge out, for tokenizers of that
            type; 0 for none.
        unigram_alpha: How much more often probable segmentations are drawn, for
            tokenizers of type unigram; None for none.

    Raises:
        TypeError: For a value that is no number.
        ValueError: For a value out of range, or one that no tokenizer is for.
    """
    bpe_dropout = arguments.rate("bpe_dropout", bpe_dropout)
    strengths = {"bpe": bpe_dropout} if bpe_dropout else {}
    if unigram_alpha is not None:
        strengths["unigram"] = arguments.number("unigram_alpha", unigram_alpha, above=0)
    types = [_model_type(tokenizer) for tokenizer in tokenizers]
    for needed, strength in strengths.items():
        if needed not in types:
            name = {"bpe": "bpe_dropout", "unigram": "unigram_alpha"}[needed]
            raise ValueError(
                f"{name} needs a tokenizer of type {needed!r}, such as "
                f"kt.text.train_tokenizer(files, model_type={needed!r}) makes; "
                f"received {name}={strength} with {' and '.join(dict.fromkeys(types))}."
            )
    return [
        SubwordSampler(tokenizer, strengths[kind]) if kind in strengths else None
        for tokenizer, kind in zip(tokenizers, types)
    ]


def _model_type(tokenizer):
    """The type of a tokenizer's SentencePiece model, or what it is instead."""
    # Other tokenizers have ids of their own, or no model.
    if not hasattr(tokenizer, "escapes"):
        return f"a {type(tokenizer).__name__}"
    return _TYPES[_proto(tokenizer).trainer_spec.model_type]


def _proto(tokenizer):
    return sentencepiece_model_pb2.ModelProto.FromString(tokenizer.model)


def _seed(key):
    content = " ".join(str(int(part)) for part in key).encode("ascii")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
