"""`keras-transformer completion`."""

import argparse
from collections.abc import Iterator

EXAMPLE = """
  keras-transformer completion bash > ~/.local/share/bash-completion/completions/keras-transformer
  keras-transformer completion zsh > ~/.zsh/functions/_keras-transformer
"""  # noqa: E501


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh"
    )


def run(options: argparse.Namespace) -> None:
    try:
        import shtab
    except ImportError:
        raise ImportError(
            "completion needs shtab: pip install keras-transformer-kit[completion]"
        ) from None
    from keras_transformer.cli import COMMANDS, parser

    top = parser(COMMANDS)
    for action in _with_values(top):
        if action.choices is None and action.type in (None, str):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(top, shell=options.shell))


def _with_values(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of its commands that take words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _with_values(command)
        elif action.nargs != 0:
            yield action
