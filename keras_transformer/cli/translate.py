"""`keras-transformer translate`."""

import argparse
import itertools
import json
import pathlib
import sys

from keras_transformer.cli.library import quiet
from keras_transformer.cli.lines import (
    Lines,
    arguments,
    check_batch_tokens,
    check_output,
    one_line,
    opened_output,
    standard_input,
)
from keras_transformer.cli.progress import progress
from keras_transformer.cli.search_options import add_search_options, search
from keras_transformer.cli.translators import HELP, load_translator
from keras_transformer.glossaries import read_glossary

EXAMPLE = """
  keras-transformer translate runs/en-de 'A dog runs.'
  zcat news.en.gz | keras-transformer translate runs/en-de - > news.de
  keras-transformer translate Helsinki-NLP/opus-mt-en-de --document letter.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help=HELP)
    parser.add_argument(
        "texts",
        nargs="*",
        default=[],
        help="texts; none, or -, translates standard input line by line",
    )
    parser.add_argument(
        "--document",
        metavar="FILE",
        help="text file to translate as a whole, white space kept; - is standard input",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="where answers go, instead of standard output"
    )
    parser.add_argument(
        "--scores", action="store_true", help="add a tab and its score to each answer"
    )
    parser.add_argument(
        "--json", action="store_true", help="answer each text with a JSON object"
    )
    parser.add_argument(
        "--target-prefix", metavar="TEXT", help="what every answer begins with"
    )
    parser.add_argument(
        "--glossary",
        metavar="FILE",
        help="terms that answers are favoured to have: a term of the source, a tab and "
        "its translation a line",
    )
    parser.add_argument(
        "--glossary-bonus",
        type=float,
        metavar="X",
        help="what each token of a term's translation adds to the log-probability (2)",
    )
    parser.add_argument(
        "--glossary-force",
        action="store_true",
        help="answers must have the translations of the terms",
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=4096,
        metavar="N",
        help="most source tokens translated at once, padding included (4096)",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no notes on standard error"
    )
    add_search_options(parser)


def run(options: argparse.Namespace) -> None:
    given = search(options)
    check_batch_tokens(options.batch_tokens)
    check_output("--output", options.output)
    if options.quiet:
        quiet()
    given["tokens_per_batch"] = options.batch_tokens
    if options.target_prefix is not None:
        given["target_prefix"] = options.target_prefix
    _add_glossary(options, given)
    if options.document is not None:
        _translate_document(options, given)
    elif options.texts in ([], ["-"]):
        _translate_lines(options, given)
    else:
        texts, not_utf_8 = arguments(options.texts)
        translator = load_translator(options.folder)
        with opened_output(options.output) as write:
            write(_answers(translator, texts, options, given))
        _note_replaced(options, not_utf_8, len(texts), "texts")


def _add_glossary(options, given):
    if options.glossary is None:
        for flag, value in (
            ("--glossary-bonus", options.glossary_bonus is not None),
            ("--glossary-force", options.glossary_force),
        ):
            if value:
                raise ValueError(f"{flag} needs a --glossary; received none.")
        return
    bonus = options.glossary_bonus
    if bonus is not None and not 0 <= bonus < float("inf"):
        raise ValueError(
            f"--glossary-bonus must be a number that isn't negative; received {bonus}."
        )
    if options.glossary_force and given.get("sample"):
        raise ValueError("--glossary-force needs a beam search; received --sample too.")
    given["glossary"] = read_glossary(options.glossary)
    if bonus is not None:
        given["glossary_bonus"] = bonus
    if options.glossary_force:
        given["glossary_force"] = True


def _translate_lines(options, given):
    lines = Lines(standard_input())
    batches = lines.batches()
    # Nothing to do is known before the model is loaded.
    first = next(batches, None)
    if first is None:
        raise ValueError("standard input is empty: it holds no text to translate.")
    translator = load_translator(options.folder)
    with opened_output(options.output) as write, progress(quiet=options.quiet) as show:
        for texts in itertools.chain([first], batches):
            write(_answers(translator, texts, options, given))
            show(f"{lines.count:,} lines")
    _note_replaced(options, lines.not_utf_8, lines.count, "lines")


def _answers(translator, texts, options, given):
    """The answers to texts as lines."""
    if not (options.scores or options.json):
        rows = translator.translate(texts, **given)
        return "".join(f"{one_line(text)}\n" for row in rows for text in _listed(row))
    found = translator.translate(texts, return_scores=True, **given)
    if options.json:
        return "".join(map(_json, texts, *found))
    return "".join(
        f"{one_line(text)}\t{score:.6g}\n"
        for row, scores in zip(*found)
        for text, score in zip(_listed(row), _listed(scores))
    )


def _listed(row):
    """The hypotheses of a text, of which one alone is no list."""
    return row if isinstance(row, list) else [row]


def _json(text, answer, score):
    """A line of JSON, named as the outputs of an export's signatures are."""
    s = "s" if isinstance(answer, list) else ""
    values = {"text": text, f"translation{s}": answer, f"score{s}": score}
    return json.dumps(values, ensure_ascii=False) + "\n"


def _translate_document(options, given):
    document = options.document
    for what, name in (
        (options.texts, "texts"),
        (options.json, "--json"),
        (options.scores, "--scores"),
    ):
        if what:
            raise ValueError(
                f"{name} and --document exclude each other; received both, "
                f"--document {document} and {name}={what!r}."
            )
    from_input = document == "-"
    data = (
        standard_input().read() if from_input else pathlib.Path(document).read_bytes()
    )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--document {document} must be UTF-8; received {error.reason} at byte "
            f"{error.start + 1}."
        ) from None
    answer = load_translator(options.folder).translate(text, split=True, **given)
    if options.output not in (None, "-"):
        pathlib.Path(options.output).write_bytes(answer.encode("utf-8"))
    else:
        # As bytes, so that line ends stay what they are on every system.
        sys.stdout.buffer.write(answer.encode("utf-8"))
        sys.stdout.flush()


def _note_replaced(options, count, total, what):
    if count and not options.quiet:
        print(
            f"keras-transformer: {count:,} of {total:,} {what} weren't UTF-8; bytes "
            "that can't be decoded have become U+FFFD.",
            file=sys.stderr,
        )
