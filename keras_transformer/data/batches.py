"""A parallel corpus -> batches of ids for `model.fit`."""

import dataclasses
import os
import pathlib
import tempfile
import warnings
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from keras_transformer import arguments
from keras_transformer.data.arrays import BatchArrays, BatchSequence
from keras_transformer.data.folder import check_tokenizers, left_out
from keras_transformer.data.order import CorpusOrder, bucket_lengths
from keras_transformer.data.preparation import prepare_files
from keras_transformer.data.prepared import PreparedCorpus
from keras_transformer.data.report import LONG
from keras_transformer.data.tokenizers import checked_tokenizers

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_transformer.data.keras_batches import KerasBatches
    from keras_transformer.text.any_tokenizer import AnyTokenizer

__all__ = ["bucket_lengths", "make_batches"]


def make_batches(
    source: str | os.PathLike | PreparedCorpus | Iterable[tuple[str, str]],
    target: str | os.PathLike | None = None,
    *,
    source_tokenizer: "AnyTokenizer | None" = None,
    target_tokenizer: "AnyTokenizer | None" = None,
    tokens_per_batch: int = 4096,
    max_length: int | None = None,
    shuffle: bool = True,
    repeat: bool = True,
    seed: int = 0,
    shuffle_buffer: int | None = None,
    accumulation_steps: int = 1,
    num_replicas: int = 1,
    process: tuple[int, int] = (0, 1),
) -> "tf.data.Dataset | KerasBatches":
    """Turns a parallel corpus into batches for `model.fit`.

    Pairs of like length share a batch, whose size is chosen so that source and target
    each hold at most `tokens_per_batch` tokens, padding included (section 5.1).
    Lengths are rounded up to few distinct ones, so few distinct shapes reach the model.
    The whole corpus is shuffled in each epoch. Batch n depends on `seed` and n alone,
    so training goes on at any update at once.

    Texts are tokenized first, into a temporary folder. `kt.data.prepare` does that once
    for all.

    Args:
        source: A `PreparedCorpus` or the path of its folder; or path, TSV or dataset,
            as `read_pairs` takes it, or an iterable of pairs of texts.
        target: Path of the target sentences, unless `source` has both.
        source_tokenizer: The `Tokenizer` of the source, or a tokenizer of KerasHub. A
            prepared corpus has its own.
        target_tokenizer: That of the target; `source_tokenizer` if left out.
        tokens_per_batch: Most tokens a batch holds on either side, 2 at least.
        max_length: Most tokens of a sentence, its end token included; pairs with a
            longer side are dropped, with a warning that counts them. By default 256, or
            what the corpus was prepared with, or `tokens_per_batch` if that is less.
        shuffle: Whether to shuffle, anew in each epoch. Otherwise pairs come by length.
        repeat: Whether to go on for ever; then `fit` needs `steps_per_epoch`. Otherwise
            the batches end, and have a known number, as validation needs them.
        seed: Seed of the order.
        shuffle_buffer: Has no effect, as the whole corpus is shuffled.
        accumulation_steps: Number of batches that make one update, the optimizer's
            `gradient_accumulation_steps`. Each batch then comes with the weight of its
            real tokens among theirs, so that the update is exactly that of one large
            batch.
        num_replicas: Number of devices that share a batch. Its rows are filled up to a
            multiple of it with padding, which weighs nothing.
        process: Pair of this process's number and the number of processes, where each
            brings its own part of the rows, as on JAX. It reads no other rows.

    Returns:
        A `tf.data.Dataset` of `({"source_ids": (B, S), "target_ids": (B, T)}, (B, T))`,
        all int32: the inputs of `kt.Transformer` and the labels. `target_ids` start
        with the start token, labels end with the end token, 0 is padding. With
        `accumulation_steps` weights `(B, 1)` come third. Its attribute `report` is a
        `CorpusReport`; `from_step(n, without=())` gives the batches from the n-th
        update on, in the same order whenever it is called, but for those of some
        updates. Where TensorFlow isn't installed it is a `keras.utils.PyDataset` of
        the same batches as NumPy arrays, with the same attributes.

    Raises:
        TypeError: For a source that is no path, a tokenizer that is none, and a number
            that is no integer.
        ValueError: For a corpus with an error in it (file and line are named) or
            with no pair to train on, a number that means nothing, a `max_length` over
            `tokens_per_batch`, `accumulation_steps` without `repeat`, or tokenizers
            that aren't those of a prepared corpus.

    Example:

    >>> batches = kt.text.make_batches(
    ...     "train.en", "train.de", source_tokenizer=tokenizer)
    >>> model.fit(batches, steps_per_epoch=1000, epochs=8)
    """
    # A token and the end token.
    tokens_per_batch = arguments.integer("tokens_per_batch", tokens_per_batch, 2)
    seed = arguments.integer("seed", seed, minimum=None)
    if shuffle_buffer is not None:
        arguments.integer("shuffle_buffer", shuffle_buffer)
    num_replicas = arguments.integer("num_replicas", num_replicas)
    process = _checked_process(process)
    accumulation_steps = _checked_accumulation(accumulation_steps, repeat)
    corpus = _as_corpus(source, target)
    if corpus is None:
        tokenizers = checked_tokenizers(source_tokenizer, target_tokenizer)
        max_length = _checked_max_length(max_length, tokens_per_batch, 256)
        corpus = _prepared_for_now(source, target, tokenizers, max_length)
    else:
        tokenizers = _tokenizers_of(corpus, source_tokenizer, target_tokenizer)
        max_length = _checked_max_length(
            max_length, tokens_per_batch, corpus.max_length
        )
        if max_length > corpus.max_length:
            raise ValueError(
                f"max_length must be at most the {corpus.max_length} that the corpus "
                f"was prepared with; received max_length={max_length}."
            )
    order = CorpusOrder(corpus, tokens_per_batch, max_length, seed if shuffle else None)
    report = _report(corpus, order, max_length)
    _check_report(report, source, max_length)
    arrays = BatchArrays(
        order,
        start_id=tokenizers[1].start_id,
        source_end_id=tokenizers[0].end_id,
        target_end_id=tokenizers[1].end_id,
        accumulation_steps=accumulation_steps,
        num_replicas=num_replicas,
        process=process,
    )
    batches = _for_fit(arrays, repeat, shuffle)
    batches.report = report
    return batches


def _as_corpus(source, target):
    """The prepared corpus that `source` is or names, or None."""
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


def _prepared_for_now(source, target, tokenizers, max_length):
    """A corpus in a temporary folder, which is removed when nobody uses it any more."""
    scratch = tempfile.TemporaryDirectory(prefix="keras_transformer-")
    corpus = prepare_files(
        source, target, pathlib.Path(scratch.name) / "corpus", tokenizers, max_length
    )
    weakref.finalize(corpus, scratch.cleanup)
    return corpus


def _tokenizers_of(corpus, source, target):
    if source is None and target is None:
        return corpus.source_tokenizer, corpus.target_tokenizer
    tokenizers = checked_tokenizers(source, target)
    check_tokenizers(corpus, tokenizers)
    return tokenizers


def _report(corpus, order, max_length):
    """The corpus's report, without the pairs that are too long for these batches."""
    lengths, counts = corpus.groups[:, :2], corpus.groups[:, 2]
    kept = lengths.max(axis=1) <= max_length
    dropped = dict(corpus.report.dropped)
    if too_long := int(counts[~kept].sum()):
        dropped[LONG] = dropped.get(LONG, 0) + too_long
    return dataclasses.replace(
        corpus.report,
        pairs=order.pairs,
        longest=int(lengths[kept].max(initial=0)),
        source_tokens=int(lengths[kept, 0] @ counts[kept]),
        target_tokens=int(lengths[kept, 1] @ counts[kept]),
        dropped=dropped,
        padding_share=order.padding_share,
    )


def _check_report(report, source, max_length):
    reasons = left_out(report.dropped, max_length)
    if dropped := sum(report.dropped.values()):
        warnings.warn(
            f"{dropped} of {dropped + report.pairs} pairs of {source} are left out: "
            f"{reasons}.",
            stacklevel=3,
        )
    if not report.pairs:
        raise ValueError(f"source={source!r} holds no pair to train on: {reasons}.")


def _for_fit(arrays, repeat, shuffle):
    """What `fit` takes: a `tf.data.Dataset` where there is TensorFlow."""
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        from keras_transformer.data.keras_batches import keras_batches as for_fit
    else:
        from keras_transformer.data.tensorflow_batches import (
            tensorflow_batches as for_fit,
        )

    def from_step(step, without=()):
        sequence = BatchSequence(arrays, repeat=repeat, step=step, without=without)
        return for_fit(sequence, shuffle=shuffle)

    batches = from_step(0)
    batches.from_step = from_step
    return batches


def _checked_max_length(max_length, tokens_per_batch, longest):
    if max_length is None:
        max_length = min(longest, tokens_per_batch)
    max_length = arguments.integer("max_length", max_length, minimum=2)
    if max_length > tokens_per_batch:
        raise ValueError(
            "max_length must be at most tokens_per_batch; received "
            f"max_length={max_length}, tokens_per_batch={tokens_per_batch}."
        )
    return max_length


def _checked_accumulation(accumulation_steps, repeat):
    accumulation_steps = arguments.integer("accumulation_steps", accumulation_steps)
    if accumulation_steps > 1 and not repeat:
        raise ValueError(
            "accumulation_steps is for training, on batches that repeat; received "
            f"accumulation_steps={accumulation_steps}, repeat={repeat}."
        )
    return accumulation_steps


def _checked_process(process):
    try:
        index, count = process
    except (TypeError, ValueError):
        raise ValueError(
            "process must be a pair of this process's number and the number of "
            f"processes; received process={process!r}."
        ) from None
    count = arguments.integer("process[1]", count)
    index = arguments.integer("process[0]", index, minimum=0)
    if index >= count:
        raise ValueError(
            "process must have a number, from 0 on, that is less than the number of "
            f"processes; received process={process!r}."
        )
    return index, count
