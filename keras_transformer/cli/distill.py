"""`keras-transformer distill`."""

import argparse
import pathlib

from keras_transformer.cli.config_options import add_config_options, given_settings
from keras_transformer.cli.library import library, progress_on_standard_error
from keras_transformer.cli.train import interruptible, run_config
from keras_transformer.run.config_file import check_folder
from keras_transformer.run.initial import HELP, find_translator
from keras_transformer.run.start import check_files

EXAMPLE = """
  keras-transformer distill runs/en-de train.en runs/small --preset mini
  keras-transformer distill runs/en-de train.en runs/small --references train.de
"""
_TEXTS = ("source", "target")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("teacher", help=HELP)
    parser.add_argument("sources", help="text to translate, a sentence a line")
    parser.add_argument("folder", help="the student's run; called again, it goes on")
    parser.add_argument(
        "--references",
        metavar="FILE",
        help="the sources' translations: of the teacher's answers the nearest is taken",
    )
    parser.add_argument(
        "--beam-size",
        type=int,
        metavar="N",
        help="number of the teacher's hypotheses; its own if left out",
    )
    parser.add_argument(
        "--similarity",
        default="bleu",
        choices=("bleu", "chrf"),
        help="what tells which answer is nearest to its reference (bleu)",
    )
    add_config_options(parser, texts=False)
    parser.add_argument(
        "--verbose",
        type=int,
        default=1,
        choices=(0, 1, 2),
        help="0 for silence, 1 for progress bars, 2 for lines (1)",
    )


def run(options: argparse.Namespace) -> None:
    """Trains a student on a teacher's answers."""
    settings = given_settings(options)
    for name in (*_TEXTS, "folder"):
        if name in settings:
            raise ValueError(
                f"{name} isn't a setting of a student, whose texts are the teacher's "
                f"answers; received {name}={settings[name]!r} in {options.config}."
            )
    config = run_config({"source": options.sources, **settings})
    check_files(config)
    find_translator(options.teacher)
    check_folder(options.folder)
    library()
    from keras_transformer.run.distillation import distill

    with interruptible(), progress_on_standard_error():
        distill(
            options.teacher,
            options.sources,
            options.folder,
            references=options.references,
            beam_size=options.beam_size,
            similarity=options.similarity,
            verbose=options.verbose,
            **settings,
        )
    print(pathlib.Path(options.folder) / "translator")
