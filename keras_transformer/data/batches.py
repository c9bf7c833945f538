"""A parallel corpus -> batches of ids for `model.fit`."""

import dataclasses
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from keras_transformer import arguments
from keras_transformer.data.arrays import BatchArrays, BatchSequence
from keras_transformer.data.mixing import MixedOrder, mixture_weights
from keras_transformer.data.order import CorpusOrder, bucket_lengths
from keras_transformer.data.preparation import MAX_LENGTH
from keras_transformer.data.report import LONG, CorpusShare, MixtureReport, left_out
from keras_transformer.data.row_reader import RowReader
from keras_transformer.data.sources import Sources, is_several
from keras_transformer.data.subword_sampling import subword_samplers
from keras_transformer.data.tags import tag_ids

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_transformer.data.keras_batches import KerasBatches
    from keras_transformer.data.prepared import PreparedCorpus
    from keras_transformer.text.any_tokenizer import AnyTokenizer

    Path = str | os.PathLike
    Source = Path | PreparedCorpus

__all__ = ["bucket_lengths", "make_batches"]


def make_batches(
    source: "Source | Sequence[Source] | Iterable[tuple[str, str]]",
    target: "Path | Sequence[Path | None] | None" = None,
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
    weights: Sequence[float] | None = None,
    temperature: float | None = None,
    tags: Sequence[str | None] | None = None,
    filters: Any = None,
    bpe_dropout: float = 0.0,
    unigram_alpha: float | None = None,
    columns: Sequence[int | str] | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
) -> "tf.data.Dataset | KerasBatches":
    """Turns a parallel corpus, or a mixture of several, into batches for `model.fit`.

    Pairs of like length share a batch, whose size is chosen so that source and target
    each hold at most `tokens_per_batch` tokens, padding included (section 5.1).
    Lengths are rounded up to few distinct ones, so few distinct shapes reach the model.
    The whole corpus is shuffled in each epoch. Batch n depends on `seed` and n alone,
    so training goes on at any update at once.

    Each batch holds pairs of all corpora. An epoch of a mixture is the shortest one in
    which each corpus comes wholly at least once.

    Texts are tokenized first, into a temporary folder. `kt.data.prepare` does that once
    for all.

    Args:
        source: A `PreparedCorpus` or the path of its folder; or path, TSV or dataset,
            as `read_pairs` takes it, or an iterable of pairs of texts. Several corpora
            are a list of all of these but iterables.
        target: Path of the target sentences, unless `source` has both. For a list of
            sources a list, with None for one that has both.
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
            brings its own part of the rows: the `process` of a strategy of
            `get_strategy("multi_worker")`, and of all on JAX. It reads no other rows,
            but to weigh batches by drawn tokens.
        weights: How much of each of several corpora a batch holds, by number of pairs;
            only the ratios count.
        temperature: Without weights, corpora are mixed by their sizes to the power of
            `1 / temperature`: 1, the default, takes each pair equally often; higher
            ones take small corpora more often.
        tags: Token in front of each source sentence, one for each corpus, such as
            `"<2de>"`, or None. Texts to translate then begin with it and a space.
        filters: The `kt.data.Filters` of texts: which pairs are left out, too.
        bpe_dropout: Probability that BPE leaves out a merge, so that a sentence is
            split anew each time it comes; 0.1 is usual. Batches then have more padding.
            A row's ids depend on `seed`, the batch's number and the row alone.
        unigram_alpha: For tokenizers of type unigram: sentences are split anew, with
            the splits' probabilities to this power; 0.2 is usual.
        columns: The source's and the target's column of TSVs, see `read_pairs`.
        source_language: The source's language in TMXs.
        target_language: The target's language in TMXs.

    Returns:
        A `tf.data.Dataset` of `({"source_ids": (B, S), "target_ids": (B, T)}, (B, T))`,
        all int32: the inputs of `kt.Transformer` and the labels. `target_ids` start
        with the start token, labels end with the end token, 0 is padding. With
        `accumulation_steps` weights `(B, 1)` come third. Its attribute `report` is a
        `CorpusReport`, of several corpora a `MixtureReport`; `from_step(n,
        without=())` gives the batches from the n-th update on, in the same order
        whenever it is called, but for those of some updates. Where TensorFlow isn't
        installed it is a `keras.utils.PyDataset` of the same batches as NumPy arrays,
        with the same attributes.

    Raises:
        TypeError: For a source that is no path, a tokenizer that is none, and a number
            that is no integer.
        ValueError: For a corpus with an error in it (file and line are named) or
            with no pair to train on, a number that means nothing, a `max_length` over
            `tokens_per_batch`, `accumulation_steps` or `weights` without `repeat`,
            tokenizers that aren't those of a prepared corpus, a tag that is no token,
            or an argument that the given corpora or tokenizers don't need.

    Example:

    >>> batches = kt.text.make_batches(
    ...     "train.en", "train.de", source_tokenizer=tokenizer)
    >>> model.fit(batches, steps_per_epoch=1000, epochs=8)
    >>> batches = kt.text.make_batches(
    ...     ["train.en", "mine.en"], ["train.de", "mine.de"], weights=[0.7, 0.3],
    ...     source_tokenizer=tokenizer, bpe_dropout=0.1)
    """
    # A token and the end token.
    tokens_per_batch = arguments.integer("tokens_per_batch", tokens_per_batch, 2)
    seed = arguments.integer("seed", seed, minimum=None)
    shuffle = arguments.flag("shuffle", shuffle)
    repeat = arguments.flag("repeat", repeat)
    if shuffle_buffer is not None:
        arguments.integer("shuffle_buffer", shuffle_buffer)
    num_replicas = arguments.integer("num_replicas", num_replicas)
    process = _checked_process(process)
    accumulation_steps = _checked_accumulation(accumulation_steps, repeat)
    sources = Sources(
        source,
        target,
        (source_tokenizer, target_tokenizer),
        {
            "columns": columns,
            "source_language": source_language,
            "target_language": target_language,
        },
    )
    tokenizers = sources.tokenizers
    max_length = _checked_max_length(max_length, tokens_per_batch, sources.max_length)
    _check_mixture(sources, is_several(source), weights, temperature, repeat, filters)
    tags = tag_ids(tags, tokenizers[0], len(sources.names))
    samplers = subword_samplers(tokenizers, bpe_dropout, unigram_alpha)
    corpora = sources.corpora(max_length, filters)
    reader = RowReader(corpora, max_length, tags, samplers, seed)
    reports = _reports(sources.names, corpora, reader, max_length)
    shares = mixture_weights([part.pairs for part in reports], weights, temperature)
    order = _order(
        corpora, reader, shares, tokens_per_batch, max_length, seed if shuffle else None
    )
    arrays = BatchArrays(
        order,
        reader,
        start_id=tokenizers[1].start_id,
        source_end_id=tokenizers[0].end_id,
        target_end_id=tokenizers[1].end_id,
        accumulation_steps=accumulation_steps,
        num_replicas=num_replicas,
        process=process,
    )
    batches = _for_fit(arrays, repeat, shuffle)
    batches.report = _whole_report(
        sources.names, reports, order.shares, reader.padding_share(order)
    )
    return batches


def _check_mixture(sources, is_mixed, weights, temperature, repeat, filters):
    """Checks what says which pairs come how often, before texts are tokenized."""
    mixture_weights([1] * len(sources.names), weights, temperature)
    mixes = weights is not None or temperature is not None
    if mixes and not is_mixed:
        raise ValueError(
            "weights and temperature mix several corpora, a list; received "
            f"weights={weights!r}, temperature={temperature!r} and one source. Leave "
            "them out."
        )
    if mixes and not repeat:
        raise ValueError(
            "weights and temperature are for training, on batches that repeat; "
            f"received weights={weights!r}, temperature={temperature!r}, "
            f"repeat={repeat}."
        )
    if filters is not None and not sources.has_texts:
        raise ValueError(
            "filters are for texts, and source is prepared already; received "
            f"filters={filters!r}. Give them to kt.data.prepare."
        )


def _order(corpora, reader, shares, tokens_per_batch, max_length, seed):
    """What says which rows are in which batch."""
    groups = reader.groups()
    if len(corpora) == 1:
        return CorpusOrder(corpora[0], tokens_per_batch, max_length, seed, groups[0])
    return MixedOrder(corpora, groups, shares, tokens_per_batch, max_length, seed)


def _reports(names, corpora, reader, max_length):
    """Each corpus's report, without the pairs that are too long for these batches."""
    reports = []
    for name, corpus, groups in zip(names, corpora, reader.tagged_groups()):
        report = _report(corpus, groups, max_length)
        _check_report(report, name, max_length)
        reports.append(report)
    return reports


def _whole_report(names, reports, shares, padding_share):
    if len(reports) == 1:
        return dataclasses.replace(reports[0], padding_share=padding_share)
    corpora = map(CorpusShare, names, shares, reports)
    return MixtureReport.of(list(corpora), padding_share)


def _report(corpus, groups, max_length):
    """The corpus's report, without the pairs that are too long for these batches."""
    lengths, counts = groups[:, :2], groups[:, 2]
    kept = lengths.max(axis=1) <= max_length
    dropped = dict(corpus.report.dropped)
    if too_long := int(counts[~kept].sum()):
        dropped[LONG] = dropped.get(LONG, 0) + too_long
    return dataclasses.replace(
        corpus.report,
        pairs=int(counts[kept].sum()),
        longest=int(lengths[kept].max(initial=0)),
        source_tokens=int(lengths[kept, 0] @ counts[kept]),
        target_tokens=int(lengths[kept, 1] @ counts[kept]),
        dropped=dropped,
    )


def _check_report(report, source, max_length):
    too_long = f"longer than max_length={max_length} tokens"
    reasons = left_out(report.dropped, too_long)
    if dropped := sum(report.dropped.values()):
        warnings.warn(
            f"{dropped} of {dropped + report.pairs} pairs of {source} are left out: "
            f"{reasons}.",
            stacklevel=4,
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


def _checked_max_length(max_length, tokens_per_batch, prepared):
    """Most tokens of a side; `prepared` is what corpora were prepared with, or None."""
    if max_length is None:
        max_length = min(prepared or MAX_LENGTH, tokens_per_batch)
    max_length = arguments.integer("max_length", max_length, minimum=2)
    if max_length > tokens_per_batch:
        raise ValueError(
            "max_length must be at most tokens_per_batch; received "
            f"max_length={max_length}, tokens_per_batch={tokens_per_batch}."
        )
    if prepared is not None and max_length > prepared:
        raise ValueError(
            f"max_length must be at most the {prepared} that the corpus was prepared "
            f"with; received max_length={max_length}."
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
