"""`keras-transformer doctor`."""

import argparse
import sys

from keras_transformer.cli.library import library

EXAMPLE = """
  keras-transformer doctor saved_models/dates --load
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="a SavedModel, or the folder of its versions")
    parser.add_argument(
        "--load",
        action="store_true",
        help="load it in a process of its own, and ask each signature",
    )


def run(options: argparse.Namespace) -> None:
    library()
    from keras_transformer.serving.doctor import diagnose, serving_notes

    findings = diagnose(options.folder, load=options.load)
    for finding in findings:
        print(f"- {finding.severity}: {finding}")
    for note in serving_notes(options.folder):
        print(f"note: {note}", file=sys.stderr)
    if any(finding.severity != "advice" for finding in findings):
        raise SystemExit(1)
    print("Nothing that would stop it.")
