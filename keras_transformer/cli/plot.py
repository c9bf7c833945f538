"""`keras-transformer plot`."""

import argparse
import pathlib

from keras_transformer.cli.library import library
from keras_transformer.cli.lines import check_output
from keras_transformer.cli.translators import load_translator

EXAMPLE = """
  keras-transformer plot positions --to positions.png
  keras-transformer plot training runs/en-de --to training.png
  keras-transformer plot attention runs/en-de 'A dog runs.' --to attention.png
"""
_POSITIONS = ("positions", "curves", "distances")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=(*_POSITIONS, "attention", "training"),
        help="positions, curves and distances are of position encodings",
    )
    parser.add_argument(
        "folder", nargs="?", help="a run, for training; for attention also a translator"
    )
    parser.add_argument("text", nargs="?", help="the source, for attention")
    parser.add_argument(
        "--to", required=True, help="picture to write: .png, .svg, .pdf"
    )


def run(options: argparse.Namespace) -> None:
    if options.what not in _POSITIONS and options.folder is None:
        raise ValueError(f"folder is needed to plot {options.what}.")
    if options.what == "attention" and options.text is None:
        raise ValueError("text is needed to plot attention.")
    check_output("--to", options.to)
    if options.what == "attention":
        translator = load_translator(options.folder)
    library()
    from keras_transformer import plotting

    if options.what == "attention":
        figure = plotting.plot_attention(translator, options.text)
    elif options.what == "training":
        figure = plotting.plot_training(pathlib.Path(options.folder) / "metrics.csv")
    elif options.what == "curves":
        figure = plotting.plot_position_curves()
    elif options.what == "distances":
        figure = plotting.plot_position_distances()
    else:
        figure = plotting.plot_position_encoding()
    figure.savefig(options.to)
    print(options.to)
