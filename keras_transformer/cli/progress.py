"""How far a command is, on a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Gives a function that shows a line on standard error in place of the last.

    Nothing is shown where standard error is no terminal, or where answers come to the
    terminal too.

    Args:
        quiet: Whether to show nothing.
    """
    is_shown = not quiet and sys.stderr.isatty() and not sys.stdout.isatty()

    def show(words):
        if is_shown:
            print(f"\r{words} ", end="", file=sys.stderr, flush=True)

    yield show
    if is_shown:
        print(file=sys.stderr)
