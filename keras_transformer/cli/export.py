"""`keras-transformer export`."""

import argparse

from keras_transformer.cli.parser import CommandError
from keras_transformer.cli.search_options import add_search_options, search
from keras_transformer.cli.translators import HELP, load_translator
from keras_transformer.serving.weights import in_short

EXAMPLE = """
  keras-transformer export runs/en-de saved_models/en-de --weights bfloat16
  keras-transformer export Helsinki-NLP/opus-mt-en-de saved_models/en-de
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help=HELP)
    parser.add_argument("to", help="the model's folder; versions go inside")
    parser.add_argument(
        "--weights",
        default="float32",
        help=f"one of: {in_short()}",
    )
    parser.add_argument(
        "--signature",
        dest="signatures",
        action="append",
        help="one to write beside serving_default, all by default; may be repeated",
    )
    parser.add_argument(
        "--xla-bucket",
        dest="xla_buckets",
        type=_bucket,
        action="append",
        default=[],
        metavar="BATCHxLENGTH",
        help="adds signatures compiled by XLA for this shape; may be repeated",
    )
    parser.add_argument(
        "--parallel-searches",
        type=int,
        default=1,
        help="share a batch out to so many searches, for as many inter-op threads",
    )
    parser.add_argument(
        "--xla-warmup",
        action="store_true",
        help="warm these up too: a server without XLA won't load the model then",
    )
    parser.add_argument(
        "--warmup-signature",
        dest="warmup_signatures",
        action="append",
        help="one that the warm-up asks beside serving_default, all by default; may be "
        "repeated. Fewer make a server ready sooner",
    )
    parser.add_argument(
        "--time-loading",
        action="store_true",
        help="load the export once more, with its warm-up, and print how long it takes",
    )
    parser.add_argument(
        "--keep", type=int, help="delete all versions but the newest so many"
    )
    add_search_options(
        parser, ("beam_size", "num_hypotheses", "length_penalty", "max_length")
    )


def run(options: argparse.Namespace) -> None:
    given = search(options)
    translator = load_translator(options.folder)
    from keras_transformer.serving import export_saved_model, loading_seconds

    try:
        path = export_saved_model(
            translator,
            options.to,
            weights=options.weights,
            signatures=options.signatures,
            xla_buckets=options.xla_buckets,
            parallel_searches=options.parallel_searches,
            warmup_signatures=options.warmup_signatures,
            xla_warmup=options.xla_warmup,
            keep=options.keep,
            verify=True,
            **given,
        )
    except RuntimeError as error:
        # A machine that can't multiply these weights, or other answers.
        raise CommandError(error, 1) from None
    print(f"{path}: a process of its own gives the same answers")
    if options.time_loading:
        model, warmup = loading_seconds(path)
        print(f"Loading takes {model:.1f} s here, and the warm-up {warmup:.1f} s.")


def _bucket(text):
    try:
        batch_size, source_length = map(int, text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be BATCHxLENGTH, such as 8x32; received {text!r}"
        ) from None
    return batch_size, source_length
