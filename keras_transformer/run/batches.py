"""The batches of a run, and what is in them."""

import typing

from keras_transformer.data import Filters
from keras_transformer.data.report import left_out
from keras_transformer.run.config import RunConfig
from keras_transformer.run.texts import training_texts, validation_texts
from keras_transformer.text import make_batches


def data_of_run(
    config: RunConfig,
    tokenizers: tuple[typing.Any, typing.Any],
    strategy: typing.Any,
    corpora: list | None = None,
) -> tuple[typing.Any, typing.Any]:
    """The batches that a run trains on, and those that it is validated on, or None.

    Args:
        config: A `RunConfig`.
        tokenizers: The source's and the target's.
        strategy: The distribution strategy.
        corpora: Folders of the prepared training corpora. Without them the texts are
            read.
    """
    common = {
        "source_tokenizer": tokenizers[0],
        "target_tokenizer": tokenizers[1],
        "tokens_per_batch": config.tokens_per_batch,
        "max_length": config.max_length,
        "num_replicas": strategy.num_replicas_in_sync,
        # TensorFlow's strategies of one process part the rows themselves.
        "process": getattr(strategy, "process", (0, 1)),
    }
    batches = make_batches(
        **_sources(config) if corpora is None else {"source": corpora},
        seed=config.seed,
        accumulation_steps=config.accumulation_steps,
        weights=config.weights,
        temperature=config.temperature,
        tags=config.tags,
        bpe_dropout=config.bpe_dropout,
        unigram_alpha=config.unigram_alpha,
        **common,
    )
    validation = None
    if texts := validation_texts(config):
        validation = make_batches(
            texts.source,
            texts.target,
            shuffle=False,
            repeat=False,
            **texts.options,
            **common,
        )
    return batches, validation


def _sources(config):
    """Arguments of `make_batches` that say which texts are trained on."""
    texts = training_texts(config)
    reading = {}
    for one in texts:
        reading |= one.options
    filters = Filters.from_json(config.filters) if config.filters else None
    return {
        "source": [one.source for one in texts],
        "target": [one.target for one in texts],
        "filters": filters,
        **reading,
    }


def mixture_in_words(config: RunConfig, report: typing.Any) -> list[str]:
    """A line for each of several corpora.

    Args:
        config: The `RunConfig`.
        report: The `MixtureReport`, or the `CorpusReport` of one corpus.
    """
    return [
        f"{texts.source}: {corpus.share:.1%} of the pairs of a batch; "
        f"{corpus.report.pairs:,} pairs; left out: {left_out(corpus.report.dropped)}"
        for texts, corpus in zip(training_texts(config), getattr(report, "corpora", ()))
    ]
