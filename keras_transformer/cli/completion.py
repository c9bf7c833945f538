"""`keras-transformer completion`."""

import argparse

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

    print(shtab.complete(parser(COMMANDS), shell=options.shell))
