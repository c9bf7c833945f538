"""The command line: `keras-transformer`, a file a command.

To add a command, write a module `cli/NAME.py` and a line in `COMMANDS`. The module has

- `EXAMPLE`, the lines of its help that show how it is used;
- `add_arguments(parser)`, which gives the parser its options;
- `run(options)`, which does the work: answers to standard output, progress and notes
  to standard error; a user's mistake is a ValueError, OSError or ImportError, and any
  other end a `CommandError`.

It imports nothing heavy at its top. `run` first checks what needs no model, then calls
`library()` or `load_translator()`, which import Keras and TensorFlow, and only then
imports the package's modules. So help and errors of use come at once.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Collection, Sequence

from keras_transformer import __version__
from keras_transformer.cli.parser import CommandError, Parser

COMMANDS = {
    "demo": "learn to read dates; needs no data",
    "prepare": "tokenize parallel text once, for any number of runs",
    "train": "train on parallel text, or go on",
    "distill": "train a small translator on a large one's answers",
    "translate": "translate texts, a document, or lines of standard input",
    "evaluate": "score translations by BLEU, chrF and TER, and compare systems",
    "score": "how probable a translator finds given translations",
    "explain": "translate, and show why: tokens, probabilities, alignment",
    "average": "average a run's last checkpoints into a translator",
    "convert": "convert from and to Marian's and CTranslate2's formats",
    "export": "write a SavedModel for TF Serving",
    "doctor": "say what would stop a SavedModel in TF Serving",
    "serve": "serve models on this machine, with a page to try them",
    "server-config": "write TF Serving's configuration",
    "plot": "draw positions, attention or training",
    "completion": "print the completion script of a shell",
}
# Of a process that ends by SIGPIPE, which Python doesn't let end it.
_CLOSED_PIPE = 128 + 13


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `keras-transformer`.

    Errors of use end it with a line and code 2, a loss that isn't finite with code 1, a
    training that a scheduler stopped and that can go on with code 75, Ctrl-C with 130.

    Args:
        arguments: List of strings; by default those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A locale that lacks a character costs the character, not the program.
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name = next((word for word in arguments if not word.startswith("-")), None)
    try:
        options = _parsed(name, arguments)
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_closed_pipe()
    except (ValueError, OSError, ImportError) as error:
        _end(error, 2)
    except FloatingPointError as error:
        _end(error, 1)
    except CommandError as error:
        _end(error, error.code)
    except KeyboardInterrupt:
        trains = name in ("train", "distill", "demo")
        again = "The same command goes on." if trains else ""
        _end(f"Stopped by Ctrl-C. {again}", 130)


def parser(commands: Collection[str] = ()) -> Parser:
    """The parser of all commands.

    Args:
        commands: Names of the commands that get their options too: those whose modules
            are imported.
    """
    top = Parser(
        "keras-transformer",
        description='The Transformer of "Attention Is All You Need": text to server.',
        epilog="Each command has its own help: keras-transformer COMMAND --help",
    )
    version = f"keras-transformer-kit {__version__}"
    top.add_argument("--version", action="version", version=version)
    group = top.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="command"
    )
    for name, summary in COMMANDS.items():
        of_command = group.add_parser(name, help=summary, description=summary)
        if name in commands:
            module = _module(name)
            of_command.epilog = f"Example:\n{module.EXAMPLE.rstrip()}"
            module.add_arguments(of_command)
            of_command.mix()
            of_command.set_defaults(run=module.run, parser=of_command)
    return top


def _parsed(name, arguments):
    top = parser([] if name is None else [name])
    if name is not None:
        top.check_choice("COMMAND", name, COMMANDS)
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        options.parser.refuse_unknown(unknown)
    return options


def _module(name):
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def _end(message, code):
    """Ends the program with one line."""
    if isinstance(message, OSError) and message.filename and message.strerror:
        message = f"{message.filename}: {message.strerror}"
    lines = map(str.strip, str(message).splitlines())
    print("keras-transformer:", *filter(None, lines), file=sys.stderr)
    raise SystemExit(code) from None


def _leave_closed_pipe():
    """Ends in silence where nobody reads on: `keras-transformer ... | head -1`."""
    with contextlib.suppress(OSError, ValueError):
        # Python flushes standard output once more when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    raise SystemExit(_CLOSED_PIPE) from None
