"""`keras-transformer prepare`."""

import argparse
import pathlib
import sys

from keras_transformer.arguments import integer
from keras_transformer.cli import notes
from keras_transformer.cli.parser import json_object, number_or_name

# Arguments of `read_pairs`.
_READING = ("columns", "source_language", "target_language")
_OF_TEXTS = (
    *_READING,
    "filters",
    "symbols",
    "tokenizer",
    "target_tokenizer",
    "vocabulary_size",
    "max_length",
    "keep_texts",
    "processes",
)
_VOCABULARY_SIZE = 8000

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
    _check_what_needs_texts(options)
    for name, least in (("max_length", 2), ("vocabulary_size", 1), ("processes", 1)):
        if getattr(options, name) is not None:
            integer(f"--{name.replace('_', '-')}", getattr(options, name), least)
    # None of it needs Keras or TensorFlow.
    if "keras" not in sys.modules:
        notes.keep_off_the_screen()
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


def _check_what_needs_texts(options):
    if options.source is not None:
        return
    if not options.verify:
        raise ValueError(
            "source is needed: keras-transformer prepare FOLDER SOURCE TARGET"
        )
    for name in _OF_TEXTS:
        if getattr(options, name) != options.parser.get_default(name):
            raise ValueError(
                f"--{name.replace('_', '-')} is for texts, and --verify without a "
                "source only looks at the folder. Leave it out."
            )


def _tokenizers(options, folder, reading):
    """The tokenizers that were given, that the folder has, or that are trained."""
    from keras_transformer.data import read_pairs
    from keras_transformer.data.folder import check_folder, is_begun
    from keras_transformer.data.preparation import check_texts
    from keras_transformer.text.loading import load_tokenizer
    from keras_transformer.text.tokenizer import train_tokenizer

    target = options.target_tokenizer and load_tokenizer(options.target_tokenizer)
    if options.tokenizer:
        for name in ("vocabulary_size", "symbols"):
            if value := getattr(options, name):
                raise ValueError(
                    f"--{name.replace('_', '-')} is for a tokenizer that is trained; "
                    f"received {value!r}, --tokenizer {options.tokenizer}."
                )
        return load_tokenizer(options.tokenizer), target
    check_folder(folder)
    if is_begun(folder):
        tokenizer = load_tokenizer(folder / "source.spm")
        _check_trained(options, folder, tokenizer)
        return tokenizer, target
    check_texts(options.source, options.target)
    if not options.quiet:
        print("training a tokenizer", file=sys.stderr, flush=True)
    sentences = (
        pair[side]
        for side in ((0,) if target else (0, 1))
        for pair in read_pairs(options.source, options.target, **reading)
    )
    trained = train_tokenizer(
        vocabulary_size=options.vocabulary_size or _VOCABULARY_SIZE,
        sentences=sentences,
        symbols=options.symbols,
    )
    return trained, target


def _check_trained(options, folder, tokenizer):
    """Checks that the folder's tokenizer is as it would be trained."""
    size = options.vocabulary_size
    if size not in (None, tokenizer.vocabulary_size):
        raise ValueError(
            f"--vocabulary-size must be that of {folder}, whose tokenizer has "
            f"{tokenizer.vocabulary_size} ids; received {size}. Leave it out, or use "
            "another folder."
        )
    for symbol, ids in zip(options.symbols, tokenizer.encode(list(options.symbols))):
        # A space of its own may come before it.
        if len([token for token in tokenizer.tokens(ids) if token != "\u2581"]) != 1:
            raise ValueError(
                f"--symbols must be tokens of {folder}, whose tokenizer is trained "
                f"already; received {symbol!r}. Use another folder."
            )


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
