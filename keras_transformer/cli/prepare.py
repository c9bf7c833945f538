"""`keras-transformer prepare`."""

import argparse
import pathlib
import sys

from keras_transformer.arguments import integer
from keras_transformer.cli.parser import json_object, number_or_name

# Arguments of `read_pairs`.
_READING = ("columns", "source_language", "target_language")

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
        help="source sentences, one a line; a TSV or TMX of both sides; or "
        "tfds:NAME:SPLIT:SOURCE:TARGET",
    )
    parser.add_argument("target", nargs="?", help="the target side of source's lines")
    _add_reading(parser)
    parser.add_argument(
        "--symbols",
        nargs="+",
        default=(),
        metavar="TOKEN",
        help="single tokens of a tokenizer that is trained, such as the tags <2de>",
    )
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


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """How texts are read, and which pairs are left out."""
    parser.add_argument(
        "--columns",
        nargs=2,
        type=number_or_name,
        metavar="COLUMN",
        help="the source's and the target's column of a TSV: numbers from 1, or names "
        "in its first row",
    )
    for side in ("source", "target"):
        parser.add_argument(
            f"--{side}-language",
            metavar="LANGUAGE",
            help=f"the {side}'s language in a TMX, such as en",
        )
    parser.add_argument(
        "--filters",
        type=json_object,
        default={},
        metavar="JSON",
        help="arguments of kt.data.Filters: which pairs are left out, such as "
        '{"max_length_ratio": 3, "duplicates": true}',
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
    from keras_transformer.data import Filters, PreparedCorpus, prepare

    folder = pathlib.Path(options.folder)
    if options.source is None:
        corpus = PreparedCorpus(folder)
    else:
        filters = Filters.from_json(options.filters)
        reading = {name: getattr(options, name) for name in _READING}
        source_tokenizer, target_tokenizer = _tokenizers(options, folder, reading)
        corpus = prepare(
            options.source,
            options.target,
            folder,
            source_tokenizer=source_tokenizer,
            target_tokenizer=target_tokenizer,
            max_length=options.max_length,
            filters=filters,
            **reading,
            keep_texts=options.keep_texts,
            processes=options.processes,
            verbose=0 if options.quiet else 1,
        )
    if options.verify:
        corpus.verify()
    print(_summary(corpus))


def _tokenizers(options, folder, reading):
    """The tokenizers that were given, that the folder has, or that are trained."""
    from keras_transformer.data import read_pairs
    from keras_transformer.text.loading import load_tokenizer
    from keras_transformer.text.tokenizer import train_tokenizer

    target = options.target_tokenizer and load_tokenizer(options.target_tokenizer)
    if options.tokenizer:
        return load_tokenizer(options.tokenizer), target
    if (folder / "source.spm").exists():
        return load_tokenizer(folder / "source.spm"), target
    for name in ("source", "target"):
        path = getattr(options, name)
        is_file = path is not None and not path.startswith("tfds:")
        if is_file and not pathlib.Path(path).exists():
            raise FileNotFoundError(f"{name}={path!r} isn't there.")
    if not options.quiet:
        print("training a tokenizer", file=sys.stderr, flush=True)
    sentences = (
        pair[side]
        for side in ((0,) if target else (0, 1))
        for pair in read_pairs(options.source, options.target, **reading)
    )
    trained = train_tokenizer(
        vocabulary_size=options.vocabulary_size,
        sentences=sentences,
        symbols=options.symbols,
    )
    return trained, target


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
