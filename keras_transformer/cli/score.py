"""`keras-transformer score`."""

import argparse
import itertools
import json

from keras_transformer.cli.lines import check_batch_tokens, opened_output
from keras_transformer.cli.translators import HELP, load_translator
from keras_transformer.data.corpus import read_pairs

EXAMPLE = """
  keras-transformer score runs/en-de test.en test.de
  keras-transformer score Helsinki-NLP/opus-mt-en-de pairs.tsv --json
"""
# Pairs that are scored before their scores are written.
_PAIRS = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help=HELP)
    parser.add_argument("source", help="source sentences, or a TSV")
    parser.add_argument("target", nargs="?", help="their translations")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object for each pair"
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=4096,
        metavar="N",
        help="most tokens of either side at once, padding included (4096)",
    )


def run(options: argparse.Namespace) -> None:
    """Prints the log-probability of each translation and its number of tokens."""
    check_batch_tokens(options.batch_tokens)
    pairs = read_pairs(options.source, options.target)
    chunk = list(itertools.islice(pairs, _PAIRS))
    if not chunk:
        raise ValueError(f"source={options.source!r} is empty: it holds no pair.")
    translator = load_translator(options.folder)
    with opened_output() as write:
        while chunk:
            texts, references = map(list, zip(*chunk))
            found = translator.score(texts, references, options.batch_tokens)
            values = [value.tolist() for value in found.values()]
            for row in zip(*values):
                write(_line(dict(zip(found, row)), options.json))
            chunk = list(itertools.islice(pairs, _PAIRS))


def _line(found, as_json):
    if as_json:
        return json.dumps(found) + "\n"
    return f"{found['log_prob']:.6g}\t{found['num_tokens']}\n"
