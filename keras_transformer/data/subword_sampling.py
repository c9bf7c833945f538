"""Another segmentation of the same text each time: BPE dropout and its like."""

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from keras_transformer import arguments

# How often what can't be used is drawn anew.
_DRAWS = 8
# SentencePiece's generator belongs to the process.
_GENERATOR = threading.Lock()
_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class SubwordSampler:
    """Draws a segmentation of a text, a pure function of the text's ids and a key.

    BPE leaves out each merge with the probability `bpe_dropout`. A unigram model draws
    from all segmentations, each with its probability to the power of `unigram_alpha`.
    The drawn ids are those of the same text.

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
        self._processor = sentencepiece.SentencePieceProcessor(
            model_proto=tokenizer.model
        )
        pieces = _proto(tokenizer).pieces
        # A unigram model's sampling splits symbols, unlike its best segmentation.
        self._symbols = {
            i for i, piece in enumerate(pieces) if piece.type == piece.USER_DEFINED
        }
        self._strength = strength

    def __call__(
        self, ids: Sequence[int], key: Sequence[int], longest: int
    ) -> list[int]:
        """Ids of a drawn segmentation.

        Args:
            ids: The text's ids `(L,)`, without special tokens.
            key: Integers, such as seed, update and row. The same ones draw the same.
            longest: Most ids to return. Longer segmentations are drawn anew, as are
                those that split a symbol. The given ids stay if that doesn't help.

        Returns:
            A list of ids. A text with an unknown token keeps its own, as what it was
            can't be told.
        """
        ids = [int(i) for i in ids]
        if self._processor.unk_id() in ids:
            return ids
        symbols = self._symbols_in(ids)
        text = self._processor.decode(ids)
        for draw in range(_DRAWS):
            with _GENERATOR:
                sentencepiece.set_random_generator_seed(_seed(*key, draw))
                drawn = self._processor.encode(
                    text, enable_sampling=True, alpha=self._strength, nbest_size=-1
                )
            if len(drawn) <= longest and self._symbols_in(drawn) == symbols:
                return drawn
        return ids

    def _symbols_in(self, ids):
        return [i for i in ids if i in self._symbols]


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
    bpe_dropout = arguments.number("bpe_dropout", bpe_dropout, minimum=0, below=1)
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


def _seed(*key):
    content = b"".join(int(part).to_bytes(8, "little", signed=True) for part in key)
    return int.from_bytes(hashlib.blake2b(content, digest_size=4).digest(), "little")
