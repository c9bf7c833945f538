"""Pairs of texts -> the ids, lengths and texts that a shard holds."""

import collections
import dataclasses
import itertools
from typing import Any

import numpy as np

from keras_transformer.data.filters import Filters, SeenHashes, pair_hash, unknown_ids
from keras_transformer.data.report import DUPLICATE, EMPTY, LONG
from keras_transformer.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """Pairs that are kept, and how many are not.

    Attributes:
        ids: The ids of each source and its target, one after another.
        lengths: Number of ids of each source and of its target, int64 (2 B,).
        dropped: Dict of reason -> number of pairs.
        texts: Sources and targets in UTF-8, one after another, uint8; or None.
        text_lengths: Bytes of each source and of its target, int64 (2 B,), or None.
        hashes: `pair_hash` of each pair, uint64 (B,), where duplicates are left out.
    """

    ids: np.ndarray
    lengths: np.ndarray
    dropped: dict
    texts: np.ndarray | None = None
    text_lengths: np.ndarray | None = None
    hashes: np.ndarray | None = None

    def without_duplicates(self, seen: SeenHashes) -> "EncodedPairs":
        """Those that come for the first time.

        Args:
            seen: The `SeenHashes` of all pairs before; these are added.
        """
        assert self.hashes is not None
        first = seen.add(self.hashes)
        if first.all():
            return self
        sides = np.repeat(first, 2)
        texts = text_lengths = None
        if self.texts is not None and self.text_lengths is not None:
            texts = self.texts[np.repeat(sides, self.text_lengths)]
            text_lengths = self.text_lengths[sides]
        return EncodedPairs(
            self.ids[np.repeat(sides, self.lengths)],
            self.lengths[sides],
            {**self.dropped, DUPLICATE: int(np.count_nonzero(~first))},
            texts,
            text_lengths,
        )


class PairEncoder:
    """A function of pairs of texts; pickled if its tokenizers and filters can be.

    Args:
        source_tokenizer: The tokenizer of the source.
        target_tokenizer: That of the target.
        max_length: Most tokens of a side, its end token included.
        filters: The `Filters`, or an object with such a method `reason`.
        keep_texts: Whether texts are kept, too.

    Attributes:
        hashes: Whether pairs come with their hashes, as duplicates are left out.
    """

    def __init__(
        self,
        source_tokenizer: Any,
        target_tokenizer: Any,
        *,
        max_length: int,
        filters: Any,
        keep_texts: bool,
    ) -> None:
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.max_length = max_length
        self.filters = filters
        self.keep_texts = keep_texts
        is_own = isinstance(filters, Filters)
        self.hashes = is_own and filters.duplicates
        self._unknown: tuple[frozenset[int], ...] = ()
        if is_own and filters.max_unknown_share is not None:
            self._unknown = unknown_ids(source_tokenizer), unknown_ids(target_tokenizer)
        self.dtype = id_dtype(source_tokenizer, target_tokenizer)

    def __call__(self, pairs: list[tuple[str, str]]) -> EncodedPairs:
        """Encodes some pairs."""
        sources, targets = zip(*pairs)
        source_ids = encode_texts(self.source_tokenizer, list(sources))
        target_ids = encode_texts(self.target_tokenizer, list(targets))
        dropped: collections.Counter[str] = collections.Counter()
        kept, texts, hashes = [], [], []
        for pair, *ids in zip(pairs, source_ids, target_ids):
            if reason := self._reason(*pair, *ids):
                dropped[reason] += 1
                continue
            kept += ids
            if self.hashes:
                hashes.append(pair_hash(*pair))
            if self.keep_texts:
                texts += [text.encode("utf-8") for text in pair]
        flat = itertools.chain.from_iterable(kept)
        lengths = np.fromiter(map(len, kept), np.int64, len(kept))
        return EncodedPairs(
            np.fromiter(flat, self.dtype, int(lengths.sum())),
            lengths,
            dict(dropped),
            np.frombuffer(b"".join(texts), "u1") if self.keep_texts else None,
            np.fromiter(map(len, texts), np.int64) if self.keep_texts else None,
            np.array(hashes, np.uint64) if self.hashes else None,
        )

    def _reason(self, source, target, source_ids, target_ids):
        """Why a pair is left out, or None."""
        if not len(source_ids) or not len(target_ids):
            return EMPTY
        # With the end token.
        if max(len(source_ids), len(target_ids)) >= self.max_length:
            return LONG
        texts_and_ids = source, target, source_ids, target_ids
        return self.filters.reason(*texts_and_ids, *self._unknown)


def needs_no_tensorflow(tokenizer: Any) -> bool:
    """Whether a tokenizer's ids come from SentencePiece's own package."""
    return getattr(type(tokenizer), "tokenize", None) is Tokenizer.tokenize


def id_dtype(*tokenizers: Any) -> np.dtype:
    """The smallest of uint16 and uint32 that holds all ids of some tokenizers."""
    sizes = [getattr(tokenizer, "vocabulary_size", 1 << 32) for tokenizer in tokenizers]
    # Little-endian on every machine.
    return np.dtype("<u2" if max(sizes) <= 1 << 16 else "<u4")


def encode_texts(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """The ids of some texts, without special tokens."""
    if needs_no_tensorflow(tokenizer):
        return tokenizer.encode(texts)
    import tensorflow as tf

    return tokenizer.tokenize(tf.constant(texts)).to_list()
