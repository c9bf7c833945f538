"""`keras-transformer demo`."""

import argparse

from keras_transformer.cli.library import library
from keras_transformer.cli.train import interruptible

EXAMPLE = """
  keras-transformer demo
  keras-transformer translate runs/dates 'Le 14 juillet 1989'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", default="runs/dates", help="the run's folder")
    parser.add_argument("--export", default="saved_models/dates", help="SavedModel")


def run(options: argparse.Namespace) -> None:
    library()
    from keras_transformer.demo import run_demo

    with interruptible():
        run_demo(options.folder, options.export)
