"""`keras-transformer average`."""

import argparse
import pathlib

from keras_transformer.cli.library import library
from keras_transformer.run.config_file import CHECKPOINTS, read_config

EXAMPLE = """
  keras-transformer average runs/en-de averaged/en-de --last 10
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="a run; it may still train")
    parser.add_argument("to", help="folder of the translator to write")
    parser.add_argument(
        "--last",
        type=int,
        metavar="N",
        help="number of last checkpoints; as the run's --average-last if left out",
    )
    parser.add_argument(
        "--steps",
        type=_steps,
        metavar="STEP,...",
        help="checkpoints of these steps, instead of the last ones",
    )


def run(options: argparse.Namespace) -> None:
    """Writes a translator whose weights are the mean of a run's checkpoints."""
    if options.last is not None and options.steps is not None:
        raise ValueError("--last and --steps exclude each other; received both.")
    folder = pathlib.Path(options.folder)
    found = sorted(folder.joinpath(CHECKPOINTS).glob("step-*.keras"))
    if not found:
        raise FileNotFoundError(
            f"folder={options.folder!r} must be a run with a checkpoint: there is no "
            f"{CHECKPOINTS}/step-*.keras in it."
        )
    config = read_config(folder)
    last = config.average_last if options.last is None else options.last
    if last < 1:
        raise ValueError(f"--last must be at least 1; received {last}.")
    paths = found[-last:] if options.steps is None else _chosen(found, options.steps)
    library()
    from keras_transformer.layers.lora import without_lora
    from keras_transformer.run.folder import RunFolder
    from keras_transformer.run.model import load_checkpoint
    from keras_transformer.tasks.translator import Translator
    from keras_transformer.training import average_checkpoints

    model = load_checkpoint(paths[-1])
    average_checkpoints(model, paths)
    run = RunFolder(folder, config)
    settings = run.translator_settings()
    Translator(without_lora(model), *run.tokenizers(), **settings).save(options.to)
    print(f"{options.to}: the mean of {', '.join(path.name for path in paths)}")


def _chosen(found, steps):
    by_step = {int(path.stem.removeprefix("step-")): path for path in found}
    for step in steps:
        if step not in by_step:
            raise ValueError(
                f"--steps must be among {sorted(by_step)}; received {step}."
            )
    return [by_step[step] for step in steps]


def _steps(text):
    try:
        return sorted({int(step) for step in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be steps, such as 9000,10000; received {text!r}"
        ) from None
