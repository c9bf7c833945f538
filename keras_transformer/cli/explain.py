"""`keras-transformer explain`."""

import argparse
import json

from keras_transformer.cli.lines import arguments, one_line, opened_output
from keras_transformer.cli.search_options import add_search_options, search
from keras_transformer.cli.translators import HELP, load_translator

EXAMPLE = """
  keras-transformer explain runs/en-de 'A dog runs.'
  keras-transformer explain runs/en-de 'A dog runs.' --json
"""
_LEFT_OUT = ("num_hypotheses",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help=HELP)
    parser.add_argument("texts", nargs="+", help="texts to translate")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object for each text"
    )
    add_search_options(parser, without=_LEFT_OUT)


def run(options: argparse.Namespace) -> None:
    """Prints each translation, and a line for each of its tokens."""
    given = search(options)
    texts, _ = arguments(options.texts)
    found = load_translator(options.folder).explain(texts, **given)
    with opened_output() as write:
        for text, answer in zip(texts, found):
            write(_json(text, answer) if options.json else _table(answer))


def _json(text, answer):
    values = {
        name: value.tolist() if hasattr(value, "tolist") else value
        for name, value in answer.items()
    }
    return json.dumps({"text": text, **values}, ensure_ascii=False) + "\n"


def _table(answer):
    """The translation, then each token's probability and source token."""
    sources = answer["source_tokens"]
    rows = zip(answer["tokens"], answer["log_probs"], answer["aligned_source"])
    lines = [one_line(answer["translation"])]
    for token, log_prob, source in rows:
        lines.append(f"{token}\t{log_prob:.4f}\t{sources[source]}")
    return "\n".join(lines) + "\n\n"
