"""`keras-transformer prepare`."""

import argparse
import pathlib
import sys

from keras_transformer.arguments import integer

EXAMPLE = """
  keras-transformer prepare corpora/en-de train.en train.de --vocabulary-size 32000
  keras-transformer prepare corpora/en-de train.en train.de --tokenizer en-de.spm
  keras-transformer prepare corpora/en-de --verify
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="the folder to write")
    parser.add_argument(
        "source",
        nargs="?",
        help="source sentences, one a line; a TSV of both sides; or "
        "tfds:NAME:SPLIT:SOURCE:TARGET",
    )
    parser.add_argument("target", nargs="?", help="the target side of source's lines")
    parser.add_argument(
        "--tokenizer",
        metavar="FILE",
        help="the SentencePiece model of the source, such as a run's source.spm; one "
        "is trained on the texts if left out",
    )
    parser.add_argument(
        "--target-tokenizer",
        metavar="FILE",
        help="that of the target; the source's if left out",
    )
    parser.add_argument(
        "--vocabulary-size",
        type=int,
        default=8000,
        metavar="N",
        help="number of ids of a tokenizer that is trained (8000)",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        default=256,
        metavar="N",
        help="most tokens of a sentence; longer pairs are left out (256)",
    )
    parser.add_argument(
        "--keep-texts", action="store_true", help="keep the texts beside the ids"
    )
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="number of processes that tokenize; one for each core if left out",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare the checksums of all files in the folder",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no notes on standard error"
    )


def run(options: argparse.Namespace) -> None:
    """Tokenizes texts into a folder, or goes on with it."""
    if options.source is None and not options.verify:
        raise ValueError(
            "source is needed: keras-transformer prepare FOLDER SOURCE TARGET"
        )
    for name, least in (("max_length", 2), ("vocabulary_size", 1), ("processes", 1)):
        if getattr(options, name) is not None:
            integer(f"--{name.replace('_', '-')}", getattr(options, name), least)
    # Neither needs Keras or TensorFlow.
    from keras_transformer.data import PreparedCorpus, prepare

    folder = pathlib.Path(options.folder)
    if options.source is None:
        corpus = PreparedCorpus(folder)
    else:
        source_tokenizer, target_tokenizer = _tokenizers(options, folder)
        corpus = prepare(
            options.source,
            options.target,
            folder,
            source_tokenizer=source_tokenizer,
            target_tokenizer=target_tokenizer,
            max_length=options.max_length,
            keep_texts=options.keep_texts,
            processes=options.processes,
            verbose=0 if options.quiet else 1,
        )
    if options.verify:
        corpus.verify()
    print(_summary(corpus))


def _tokenizers(options, folder):
    """The tokenizers that were given, that the folder has, or that are trained."""
    from keras_transformer.text.loading import load_tokenizer
    from keras_transformer.text.tokenizer import train_tokenizer

    target = options.target_tokenizer and load_tokenizer(options.target_tokenizer)
    if options.tokenizer:
        return load_tokenizer(options.tokenizer), target
    if (folder / "source.spm").exists():
        return load_tokenizer(folder / "source.spm"), target
    if options.source.startswith("tfds:"):
        raise ValueError("--tokenizer is needed for a dataset of tfds.")
    if not options.quiet:
        print("training a tokenizer", file=sys.stderr, flush=True)
    texts = [path for path in (options.source, options.target) if path]
    return train_tokenizer(texts, options.vocabulary_size), target


def _summary(corpus):
    report = corpus.report
    lines = [
        f"folder    {corpus.folder}",
        f"pairs     {report.pairs:,}",
        f"tokens    {report.source_tokens:,} source, {report.target_tokens:,} target",
        f"longest   {report.longest:,} tokens",
        *(f"dropped   {count:,} {why}" for why, count in report.dropped.items()),
    ]
    return "\n".join(lines)
