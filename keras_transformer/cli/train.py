"""`keras-transformer train`."""

import argparse
import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from keras_transformer.cli.config_options import add_config_options, given_settings
from keras_transformer.cli.library import library, progress_on_standard_error
from keras_transformer.cli.parser import CommandError
from keras_transformer.run.config import RunConfig
from keras_transformer.run.config_file import (
    check_folder,
    has_checkpoint,
    read_config,
)
from keras_transformer.run.initial import find_translator
from keras_transformer.run.start import check_files

EXAMPLE = """
  keras-transformer train runs/en-de train.en train.de --steps 20000
  keras-transformer train runs/en-de                    # goes on
  keras-transformer train runs/medical m.en m.de --from runs/en-de --lora-rank 8
  keras-transformer train runs/en-de --config run.yaml --dry-run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", help="the run's folder; or folder: in the file of --config"
    )
    add_config_options(parser)
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the configuration as YAML, for --config, and end",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="read the text, take a few steps, say how large and how long it all gets, "
        "and write nothing",
    )
    parser.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        help="0 for silence, 1 for progress bars, 2 for a line an epoch; 1 on a "
        "terminal, elsewhere 2",
    )


def run(options: argparse.Namespace) -> None:
    given = given_settings(options)
    folder = _folder(options, given)
    config = run_config(_with_folder_s(given, folder))
    if options.print_config:
        import yaml

        values = dataclasses.asdict(config)
        print(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), end="")
        return
    check_folder(folder)
    if not has_checkpoint(folder):
        check_files(config)
        if config.initial is not None:
            find_translator(config.initial)
    library()
    if options.dry_run:
        from keras_transformer.run.dry_run import dry_run

        with interruptible():
            print(dry_run(config))
        return
    from keras_transformer.run.trainer import train

    verbose = options.verbose
    if verbose is None:
        verbose = 1 if sys.stderr.isatty() else 2
    with interruptible(), progress_on_standard_error():
        train(config, folder, verbose=verbose)
    print(folder / "translator")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A scope in which a stop of the training ends the program with its own code."""
    from keras_transformer.training.interruptions import Interrupted

    try:
        yield
    except Interrupted as stop:
        raise CommandError(stop, stop.code) from None


def _folder(options, given):
    """The run's folder: the argument, or `folder` of the settings, which goes."""
    of_file = given.pop("folder", None)
    folder = of_file if options.folder is None else options.folder
    if folder is None:
        raise ValueError(
            "folder is needed: keras-transformer train FOLDER SOURCE TARGET, or "
            "folder: in the file of --config."
        )
    if not isinstance(folder, str) or not folder:
        raise ValueError(
            f"folder must be a path; received folder={folder!r} in {options.config}."
        )
    return pathlib.Path(folder)


def _with_folder_s(given, folder):
    """Settings: those that are given, over those of the folder's run."""
    # Without a checkpoint nothing of an earlier start counts, unless its texts are
    # asked for by giving none.
    if has_checkpoint(folder) or "source" not in given:
        if not (folder / "config.json").exists() and "source" not in given:
            raise ValueError(
                "source is needed to start a run: keras-transformer train "
                f"{folder} SOURCE TARGET"
            )
        return {**dataclasses.asdict(read_config(folder)), **given}
    return given


def run_config(given: dict[str, Any]) -> RunConfig:
    """The `RunConfig` of settings by name."""
    # Names of arguments are checked by the functions that take them, which need Keras.
    of_functions = ("model", "tokenizer")
    plain = {name: given[name] for name in given if name not in of_functions}
    try:
        config = RunConfig.from_json(plain)
        if any(given.get(name) for name in of_functions):
            library()
            config = RunConfig.from_json(given)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return config
