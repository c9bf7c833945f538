"""`keras-transformer evaluate`."""

import argparse
import json
import pathlib
import sys

from keras_transformer.cli.lines import check_output, one_line
from keras_transformer.cli.search_options import add_search_options, search
from keras_transformer.cli.translators import HELP, load_translator
from keras_transformer.data.corpus import read_lines, read_pairs

_SAMPLES = 1000
_NAMES = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER"}
EXAMPLE = """
  keras-transformer evaluate runs/en-de test.en test.de --metric bleu chrf
  keras-transformer evaluate runs/new test.en test.de --hypotheses new.de
  keras-transformer evaluate runs/old test.en test.de --compare new.de
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help=HELP)
    parser.add_argument("source", help="source sentences, or a TSV")
    parser.add_argument("target", nargs="?", help="references")
    parser.add_argument(
        "--metric",
        dest="metrics",
        nargs="+",
        choices=_NAMES,
        default=["bleu"],
        help="sacreBLEU's metrics; BLEU if left out",
    )
    parser.add_argument(
        "--json", action="store_true", help="print scores and signatures as JSON"
    )
    parser.add_argument(
        "--hypotheses", metavar="FILE", help="where to write the answers, one a line"
    )
    parser.add_argument(
        "--compare",
        metavar="OTHER",
        help="translations of another system, one a line: a paired bootstrap test "
        "says whether it is better or worse than this one",
    )
    parser.add_argument(
        "--bootstrap",
        type=_positive,
        metavar="N",
        help="number of samples of the test (1000)",
    )
    add_search_options(parser)


def run(options: argparse.Namespace) -> None:
    given = search(options)
    check_output("--hypotheses", options.hypotheses)
    if options.bootstrap is not None and options.compare is None:
        raise ValueError(
            "--bootstrap is for the test of --compare; received --bootstrap "
            f"{options.bootstrap} alone."
        )
    pairs = list(read_pairs(options.source, options.target))
    if not pairs:
        raise ValueError(f"source={options.source!r} is empty: it holds no pair.")
    sources, references = map(list, zip(*pairs))
    other = None if options.compare is None else list(read_lines(options.compare))
    if other is not None and len(other) != len(references):
        raise ValueError(
            f"--compare {options.compare} must have a line for each reference; "
            f"received {len(other)} for {len(references)}."
        )
    answers = _answers(options, sources, given)
    from keras_transformer.evaluation import METRICS, compare, exact_match

    if options.hypotheses is not None:
        lines = "".join(f"{one_line(answer)}\n" for answer in answers)
        pathlib.Path(options.hypotheses).write_text(lines, "utf-8", newline="")
    scores = {name: METRICS[name](answers, references) for name in options.metrics}
    found = {
        "scores": {
            name: {"score": score, "signature": signature}
            for name, (score, signature) in scores.items()
        },
        "exact_match": exact_match(answers, references),
    }
    if other is not None:
        found["comparison"] = compare(
            {options.compare: other, options.folder: answers},
            references,
            options.metrics,
            samples=options.bootstrap or _SAMPLES,
        )
    print(json.dumps(found, ensure_ascii=False) if options.json else _report(found))


def _answers(options, sources, given):
    translator = load_translator(options.folder)
    from keras_transformer.cli.library import progress_on_standard_error

    with progress_on_standard_error():
        verbose = int(sys.stderr.isatty())
        answers = translator.translate(sources, verbose=verbose, **given)
    # Of several hypotheses the best.
    return [answer[0] if isinstance(answer, list) else answer for answer in answers]


def _report(found):
    lines = [
        f"{_NAMES[name]} {value['score']:.2f}  {value['signature']}"
        for name, value in found["scores"].items()
    ]
    lines.append(f"exact match {found['exact_match']:.2%}")
    for name, systems in found.get("comparison", {}).items():
        for system, value in systems["systems"].items():
            p_value = value["p_value"]
            words = "" if p_value is None else f", p = {p_value:.4f}"
            lines.append(
                f"{_NAMES[name]} {system}: {value['mean']:.2f} "
                f"+- {value['confidence']:.2f}{words}"
            )
        lines.append(f"  {systems['signature']}")
    return "\n".join(lines)


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be positive; received {text}")
    return value
