"""What `make_batches` is given -> prepared corpora and their tokenizers."""

import os
import pathlib
import tempfile
import weakref
from typing import Any

from keras_transformer.data.corpus import options_by_corpus
from keras_transformer.data.folder import check_tokenizers
from keras_transformer.data.preparation import corpus_name, prepare_files
from keras_transformer.data.prepared import PreparedCorpus
from keras_transformer.data.tokenizers import checked_tokenizers


class Sources:
    """The corpora that batches are made of.

    Args:
        source: A `PreparedCorpus`, the path of its folder, a path of texts or an
            iterable of pairs of texts; or a list of some of these, but the iterable.
        target: Path of the target sentences or None; for a list a list.
        tokenizers: The source's and the target's tokenizer, or None.
        reading: Dict of further arguments of `read_pairs`.

    Attributes:
        names: Each corpus's name, for messages.
        tokenizers: The source's tokenizer and the target's.
        max_length: Most tokens that a side may have in all prepared corpora, or None.

    Raises:
        TypeError: For what is no source, and a tokenizer that is none.
        ValueError: For lists of different lengths, tokenizers that aren't those of a
            prepared corpus, or an argument of `read_pairs` that no text needs.
    """

    def __init__(
        self, source: Any, target: Any, tokenizers: tuple, reading: dict
    ) -> None:
        self._pairs = _as_pairs(source, target)
        self.names = [corpus_name(source) for source, _ in self._pairs]
        self._prepared = [prepared_corpus(*pair) for pair in self._pairs]
        texts = [
            pair if corpus is None else (None, None)
            for corpus, pair in zip(self._prepared, self._pairs)
        ]
        self._options = options_by_corpus(texts, **reading)
        self.tokenizers = self._checked(*tokenizers)
        lengths = [corpus.max_length for corpus in self._prepared if corpus is not None]
        self.max_length = min(lengths, default=None)

    @property
    def has_texts(self) -> bool:
        """Whether there are texts that aren't tokenized yet."""
        return any(corpus is None for corpus in self._prepared)

    def corpora(self, max_length: int, filters: Any) -> list[PreparedCorpus]:
        """The prepared corpora; texts are tokenized into temporary folders.

        Args:
            max_length: Most tokens of a side.
            filters: The `Filters` of texts, or None.

        Raises:
            ValueError: For a text with an error in it, or with no pair that is kept.
        """
        return [
            _prepared_for_now(source, target, self.tokenizers, max_length, filters, own)
            if corpus is None
            else corpus
            for corpus, (source, target), own in zip(
                self._prepared, self._pairs, self._options
            )
        ]

    def _checked(self, source, target):
        """The tokenizers given, which must be those of all prepared corpora."""
        prepared = [corpus for corpus in self._prepared if corpus is not None]
        if source is None and target is None and prepared:
            source = prepared[0].source_tokenizer
            target = prepared[0].target_tokenizer
            prepared = prepared[1:]
        tokenizers = checked_tokenizers(source, target)
        for corpus in prepared:
            check_tokenizers(corpus, tokenizers)
        return tokenizers


def is_several(source: Any) -> bool:
    """Whether a source is a list of corpora, not of pairs of texts."""
    kinds = (str, os.PathLike, PreparedCorpus)
    return (
        isinstance(source, (list, tuple))
        and len(source) > 0
        and all(isinstance(one, kinds) for one in source)
    )


def _as_pairs(source, target):
    """Source and target of each corpus."""
    if not is_several(source):
        if isinstance(target, (list, tuple)):
            raise ValueError(
                "target must be a path where source is no list; received "
                f"target={target!r}, source={source!r}."
            )
        return [(source, target)]
    targets = [None] * len(source) if target is None else target
    if not isinstance(targets, (list, tuple)) or len(targets) != len(source):
        raise ValueError(
            "target must have one value for each corpus of source; received "
            f"target={target!r}, source={source!r}."
        )
    return list(zip(source, targets))


def prepared_corpus(source: Any, target: Any) -> PreparedCorpus | None:
    """The prepared corpus that a source is or names, or None.

    Raises:
        ValueError: If it isn't whole, or there is a target beside it.
    """
    if isinstance(source, PreparedCorpus):
        corpus = source
    elif isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
        corpus = PreparedCorpus(source)
    else:
        return None
    if target is not None:
        raise ValueError(
            "target must be left out, as a prepared corpus holds both sides; received "
            f"target={target!r}."
        )
    return corpus


def _prepared_for_now(source, target, tokenizers, max_length, filters, reading):
    """A corpus in a temporary folder, which is removed when nobody uses it any more."""
    scratch = tempfile.TemporaryDirectory(prefix="keras_transformer-")
    corpus = prepare_files(
        source,
        target,
        pathlib.Path(scratch.name) / "corpus",
        tokenizers,
        max_length,
        filters=filters,
        reading=reading,
    )
    weakref.finalize(corpus, scratch.cleanup)
    return corpus
