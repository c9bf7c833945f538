"""Pairs of texts -> the ids, lengths and texts that a shard holds."""

import collections
import dataclasses
import itertools
from typing import Any

import numpy as np

from keras_transformer.data.report import EMPTY, LONG
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
    """

    ids: np.ndarray
    lengths: np.ndarray
    dropped: dict
    texts: np.ndarray | None = None
    text_lengths: np.ndarray | None = None


class PairEncoder:
    """A function of pairs of texts; pickled if its tokenizers and filters can be.

    Args:
        source_tokenizer: The tokenizer of the source.
        target_tokenizer: That of the target.
        max_length: Most tokens of a side, its end token included.
        filters: Object with a method `reason`, see `preparation`, or None.
        keep_texts: Whether texts are kept, too.
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
        self.dtype = id_dtype(source_tokenizer, target_tokenizer)

    def __call__(self, pairs: list[tuple[str, str]]) -> EncodedPairs:
        """Encodes some pairs."""
        sources, targets = zip(*pairs)
        source_ids = _ids(self.source_tokenizer, list(sources))
        target_ids = _ids(self.target_tokenizer, list(targets))
        dropped: collections.Counter[str] = collections.Counter()
        kept, texts = [], []
        for pair, *ids in zip(pairs, source_ids, target_ids):
            if reason := self._reason(*pair, *ids):
                dropped[reason] += 1
                continue
            kept += ids
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
        )

    def _reason(self, source, target, source_ids, target_ids):
        """Why a pair is left out, or None."""
        if not len(source_ids) or not len(target_ids):
            return EMPTY
        # With the end token.
        if max(len(source_ids), len(target_ids)) >= self.max_length:
            return LONG
        if self.filters is None:
            return None
        return self.filters.reason(source, target, source_ids, target_ids)


def needs_no_tensorflow(tokenizer: Any) -> bool:
    """Whether a tokenizer's ids come from SentencePiece's own package."""
    return getattr(type(tokenizer), "tokenize", None) is Tokenizer.tokenize


def id_dtype(*tokenizers: Any) -> np.dtype:
    """The smallest of uint16 and uint32 that holds all ids of some tokenizers."""
    sizes = [getattr(tokenizer, "vocabulary_size", 1 << 32) for tokenizer in tokenizers]
    # Little-endian on every machine.
    return np.dtype("<u2" if max(sizes) <= 1 << 16 else "<u4")


def _ids(tokenizer, texts):
    """Lists of ids."""
    if needs_no_tensorflow(tokenizer):
        return tokenizer.encode(texts)
    import tensorflow as tf

    return tokenizer.tokenize(tf.constant(texts)).to_list()
