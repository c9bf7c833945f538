"""Parallel text -> batches of ids for `model.fit`."""

import collections
import dataclasses
import itertools
import warnings

import numpy as np
import tensorflow as tf

from keras_transformer import arguments
from keras_transformer.data.corpus import read_pairs
from keras_transformer.text.hub_tokenizer import as_tokenizer

_CHUNK = 1024
_IN_MEMORY_PAIRS = 2_000_000
_GRAPH_SEED = 1


@dataclasses.dataclass(frozen=True)
class CorpusReport:
    """What one look through a corpus found: pairs kept, pairs dropped, tokens."""

    pairs: int
    dropped_empty: int
    dropped_long: int
    longest: int
    source_tokens: int
    target_tokens: int


def make_batches(
    source,
    target=None,
    *,
    source_tokenizer,
    target_tokenizer=None,
    tokens_per_batch=4096,
    max_length=None,
    shuffle=True,
    repeat=True,
    seed=0,
    shuffle_buffer=100_000,
    accumulation_steps=1,
    num_replicas=1,
    process=(0, 1),
):
    """Turns a parallel corpus into batches for `model.fit`.

    Sentences of like length share a batch, whose size is chosen so that source and
    target each hold at most `tokens_per_batch` tokens, padding included (section
    5.1). Lengths are rounded up to few distinct ones, so few distinct shapes reach
    the model. The corpus is read once to check it all before training starts, and
    streamed afterwards; up to two million pairs are kept tokenized in memory.
    The order depends on `seed` alone; without `repeat` on that of TensorFlow too.

    Args:
        source: Path, TSV or dataset, as `read_pairs` takes it.
        target: Path of the target sentences, unless `source` has both.
        source_tokenizer: The `Tokenizer` of the source, or a tokenizer of KerasHub.
        target_tokenizer: That of the target; `source_tokenizer` if left out.
        tokens_per_batch: Most tokens a batch holds on either side, 2 at least.
        max_length: Most tokens of a sentence, its end token included; pairs with a
            longer side are dropped, with a warning that counts them. By default 256, or
            `tokens_per_batch` if that is less.
        shuffle: Whether to shuffle, anew in each epoch.
        repeat: Whether to go on for ever; then `fit` needs `steps_per_epoch`. Otherwise
            the batches end, and have a known number, as validation needs them.
        seed: Seed of the order.
        shuffle_buffer: Number of pairs to shuffle among.
        accumulation_steps: Number of batches that make one update, the optimizer's
            `gradient_accumulation_steps`. Each batch then comes with the weight of its
            real tokens among theirs, so that the update is exactly that of one large
            batch.
        num_replicas: Number of devices that share a batch. Its rows are filled up to a
            multiple of it with padding, which weighs nothing.
        process: Pair of this process's number and the number of processes, where each
            brings its own part of the rows, as on JAX.

    Returns:
        A `tf.data.Dataset` of `({"source_ids": (B, S), "target_ids": (B, T)}, (B, T))`,
        all int32: the inputs of `kt.Transformer` and the labels. `target_ids` start
        with the start token, labels end with the end token, 0 is padding. With
        `accumulation_steps` weights `(B, 1)` come third. Its attribute `report` is a
        `CorpusReport`; `from_step(n, without=())` gives the batches from the n-th
        update on, in the same order whenever it is called, but for those of some
        updates.

    Raises:
        TypeError: For a source that is no path, a tokenizer that is none, and a number
            that is no integer.
        ValueError: For a corpus with an error in it (file and line are named) or
            with no pair to train on, a number that means nothing, a `max_length` over
            `tokens_per_batch`, or `accumulation_steps` without `repeat`.

    Example:

    >>> batches = kt.text.make_batches(
    ...     "train.en", "train.de", source_tokenizer=tokenizer)
    >>> model.fit(batches, steps_per_epoch=1000, epochs=8)
    """
    source_tokenizer, target_tokenizer = _checked_tokenizers(
        source_tokenizer, target_tokenizer
    )
    # A token and the end token.
    tokens_per_batch = arguments.integer("tokens_per_batch", tokens_per_batch, 2)
    max_length = _checked_max_length(max_length, tokens_per_batch)
    seed = arguments.integer("seed", seed, minimum=None)
    shuffle_buffer = arguments.integer("shuffle_buffer", shuffle_buffer)
    num_replicas = arguments.integer("num_replicas", num_replicas)
    process = _checked_process(process)
    accumulation_steps = _checked_accumulation(accumulation_steps, repeat)

    def tokenize(source_text, target_text):
        return (
            source_tokenizer.tokenize(source_text),
            target_tokenizer.tokenize(target_text),
        )

    chunks = tf.data.Dataset.from_generator(
        lambda: _chunks(source, target),
        output_signature=(tf.TensorSpec((None,), tf.string),) * 2,
    ).map(tokenize, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    report, lengths = _inspect(_chunks(source, target), tokenize, max_length)
    _check_report(report, source, max_length)

    def fits(source_ids, target_ids):
        longest = tf.maximum(tf.size(source_ids), tf.size(target_ids))
        shortest = tf.minimum(tf.size(source_ids), tf.size(target_ids))
        return (longest < max_length) & (shortest > 0)

    pairs = chunks.unbatch().filter(fits)
    if report.pairs <= _IN_MEMORY_PAIRS:
        pairs = pairs.cache()
    buffer = min(shuffle_buffer, report.pairs)
    boundaries = bucket_lengths(min(max_length, report.longest), tokens_per_batch)
    batch_sizes = [tokens_per_batch // length for length in boundaries]

    def build():
        ordered = _repeated(pairs, shuffle and buffer, seed) if repeat else pairs
        if shuffle and not repeat:
            ordered = ordered.shuffle(buffer, seed=seed)
        examples = ordered.map(
            _example_maker(source_tokenizer, target_tokenizer),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        built = _bucketed(examples, boundaries, batch_sizes)
        if not repeat:
            # Keras warns of the end of data whose number it doesn't know.
            count = _number_of_batches(lengths, boundaries, batch_sizes)
            built = built.apply(tf.data.experimental.assert_cardinality(count))
        return _shared_out(built, accumulation_steps, num_replicas, process).prefetch(8)

    def from_step(step, without=()):
        built = build()
        if without:
            built = _without(built, without, accumulation_steps)
        return built.skip(step * accumulation_steps)

    batches = build()
    batches.report = report
    batches.from_step = from_step
    return batches


def _repeated(pairs, shuffle_buffer, seed):
    """Pairs for ever, shuffled anew each time; always the same way from the start.

    A dataset that `shuffle` repeats goes on from where its last iterator was, so that
    who looks at one batch changes the order of the rest.
    """
    if not shuffle_buffer:
        return pairs.repeat()

    def shuffled(epoch):
        # Of this function's graph alone: the process's own seed would count as well.
        tf.random.set_seed(_GRAPH_SEED)
        return pairs.shuffle(
            shuffle_buffer, seed=seed + epoch, reshuffle_each_iteration=False
        )

    return tf.data.Dataset.range(2**40).flat_map(shuffled)


def _example_maker(source_tokenizer, target_tokenizer):
    """A function of a pair's ids: the model's inputs and labels."""
    start, end = [target_tokenizer.start_id], [target_tokenizer.end_id]

    def example(source_ids, target_ids):
        inputs = {
            "source_ids": tf.concat([source_ids, [source_tokenizer.end_id]], 0),
            "target_ids": tf.concat([start, target_ids], 0),
        }
        return inputs, tf.concat([target_ids, end], 0)

    return example


def _bucketed(examples, boundaries, batch_sizes):
    """Batches of examples of like length, padded to their bucket's."""
    return examples.bucket_by_sequence_length(
        lambda inputs, labels: tf.maximum(
            tf.size(inputs["source_ids"]), tf.size(labels)
        ),
        # A boundary is the first length too long for its bucket.
        bucket_boundaries=[length + 1 for length in boundaries],
        bucket_batch_sizes=[*batch_sizes, 1],
        pad_to_bucket_boundary=True,
    )


def _without(batches, updates, accumulation_steps):
    """Batches but for those of some updates."""
    left_out = tf.constant(sorted(updates), tf.int64)
    return (
        batches.enumerate()
        .filter(lambda i, _: tf.reduce_all(i // accumulation_steps != left_out))
        .map(lambda _, batch: batch)
    )


def _shared_out(batches, accumulation_steps, num_replicas, process):
    """Batches for several at an update, several devices, or this process of several."""
    if accumulation_steps > 1:
        batches = _weighted(batches, accumulation_steps)
    if num_replicas > 1:
        batches = batches.map(lambda *batch: _filled_up(batch, num_replicas))
    if process[1] > 1:
        batches = batches.map(lambda *batch: _rows_of(batch, *process))
    return batches


def _weighted(batches, count):
    """Batches with weights, so that the mean of `count` losses is that of all tokens.

    Each loss is the mean over its own batch's tokens; times its share of the tokens
    and `count`, which the optimizer divides by.
    """

    def with_weights(inputs, labels):
        def real(labels):
            return tf.math.count_nonzero(labels, dtype=tf.float32)

        total = labels.reduce(0.0, lambda total, labels: total + real(labels))
        inputs = tf.data.Dataset.zip(inputs)

        def with_weight(inputs, labels):
            weight = count * real(labels) / total
            return inputs, labels, tf.fill([tf.shape(labels)[0], 1], weight)

        return tf.data.Dataset.zip(inputs, labels).map(with_weight)

    return batches.window(count, drop_remainder=True).flat_map(with_weights)


def _filled_up(batch, multiple):
    """A batch with rows of padding, until their number is a multiple."""

    def fill(values):
        room = [[0, -tf.shape(values)[0] % multiple], [0, 0]]
        return tf.pad(values, room)

    return tf.nest.map_structure(fill, batch)


def _rows_of(batch, index, count):
    """This process's part of a batch's rows."""

    def part(values):
        rows = tf.shape(values)[0] // count
        return values[index * rows : (index + 1) * rows]

    return tf.nest.map_structure(part, batch)


def bucket_lengths(longest, tokens_per_batch):
    """The few lengths that sentences are padded to: each at most a fifth over another.

    The last one is at least `longest`, and a sentence of that length fits a batch.

    >>> bucket_lengths(30, tokens_per_batch=4096)
    [8, 10, 12, 14, 16, 20, 24, 28, 32]
    >>> bucket_lengths(30, tokens_per_batch=30)
    [8, 10, 12, 14, 16, 20, 24, 28, 30]
    """
    lengths = [8]
    while lengths[-1] < longest:
        step = max(1, round(lengths[-1] * 0.2 / 4)) * 4 if lengths[-1] >= 16 else 2
        lengths.append(lengths[-1] + step)
    return [*lengths[:-1], min(lengths[-1], tokens_per_batch)]


def _number_of_batches(lengths, boundaries, batch_sizes):
    """How many batches an epoch has, from the numbers of pairs of each length."""
    buckets = np.searchsorted(boundaries, list(lengths))
    pairs = np.bincount(buckets, list(lengths.values()), len(boundaries))
    return int(np.ceil(pairs / batch_sizes).sum())


def _checked_tokenizers(source, target):
    source = as_tokenizer(source, "source_tokenizer")
    target = source if target is None else as_tokenizer(target, "target_tokenizer")
    _check_tokenizer("source_tokenizer", source)
    _check_tokenizer("target_tokenizer", target)
    return source, target


def _checked_max_length(max_length, tokens_per_batch):
    if max_length is None:
        max_length = min(256, tokens_per_batch)
    max_length = arguments.integer("max_length", max_length, minimum=2)
    if max_length > tokens_per_batch:
        raise ValueError(
            "max_length must be at most tokens_per_batch; received "
            f"max_length={max_length}, tokens_per_batch={tokens_per_batch}."
        )
    return max_length


def _check_tokenizer(name, tokenizer):
    for part in ("tokenize", "start_id", "end_id"):
        if not hasattr(tokenizer, part):
            raise TypeError(
                f"{name} must be a tokenizer, such as kt.text.train_tokenizer's; "
                f"received {name}={tokenizer!r}, which has no {part}."
            )
    for part in ("start_id", "end_id"):
        arguments.integer(f"{name}.{part}", getattr(tokenizer, part), minimum=0)


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


def _chunks(source, target):
    pairs = read_pairs(source, target)
    while chunk := list(itertools.islice(pairs, _CHUNK)):
        sources, targets = zip(*chunk)
        yield list(sources), list(targets)


def _inspect(chunks, tokenize, max_length):
    """Reads the whole corpus once; its errors are raised here, before training.

    Returns its `CorpusReport` and a `Counter` of the lengths of the pairs kept, each
    that of its longer side.
    """
    tokenize = tf.function(
        tokenize, input_signature=(tf.TensorSpec((None,), tf.string),) * 2
    )
    counts = dict.fromkeys(
        ("pairs", "dropped_empty", "dropped_long", "source_tokens", "target_tokens"), 0
    )
    kept_lengths = collections.Counter()
    for sources, targets in chunks:
        # One more for the end token.
        lengths = np.stack(
            [1 + ids.row_lengths().numpy() for ids in tokenize(sources, targets)]
        )
        empty = lengths.min(axis=0) == 1
        long = ~empty & (lengths.max(axis=0) > max_length)
        kept = lengths[:, ~empty & ~long]
        counts["dropped_empty"] += int(empty.sum())
        counts["dropped_long"] += int(long.sum())
        counts["pairs"] += kept.shape[1]
        counts["source_tokens"] += int(kept[0].sum())
        counts["target_tokens"] += int(kept[1].sum())
        kept_lengths.update(kept.max(axis=0).tolist())
    longest = max(kept_lengths, default=0)
    return CorpusReport(**counts, longest=longest), kept_lengths


def _check_report(report, source, max_length):
    dropped = report.dropped_empty + report.dropped_long
    if dropped:
        warnings.warn(
            f"{dropped} of {dropped + report.pairs} pairs of {source} are left out: "
            f"{report.dropped_empty} with an empty side, {report.dropped_long} longer "
            f"than max_length={max_length} tokens.",
            stacklevel=3,
        )
    if not report.pairs:
        raise ValueError(
            f"source={source!r} holds no pair to train on: {report.dropped_empty} with "
            f"an empty side, {report.dropped_long} over max_length={max_length} tokens."
        )
