"""A parser whose errors are one line that says what was meant."""

import argparse
import difflib
import json
import re
import sys
from collections.abc import Collection, Sequence
from typing import Any, NoReturn


class CommandError(Exception):
    """Ends the program with a line and a code of its own.

    Args:
        message: What is printed.
        code: The program's exit status.
    """

    def __init__(self, message: object, code: Any) -> None:
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the nearest name that exists."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)
        self._mixes = False

    def mix(self) -> None:
        """Takes arguments that may be left out after options, too.

        argparse takes `FOLDER --output FILE TEXT` for a folder without a text.
        """
        self._mixes = True

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        if not self._mixes:
            return super().parse_known_args(args, namespace)
        # What mixes them calls this method.
        self._mixes = False
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixes = True

    def error(self, message: str) -> NoReturn:
        message = " ".join(message.split())
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            self.check_choice(name, value, action.choices)

    def check_choice(self, what: str, name: Any, known: Collection[Any]) -> None:
        """Ends the program if a name isn't known."""
        if name not in known:
            known = list(map(str, known))
            hint = _hint(str(name), known) or f"choose from {', '.join(known)}"
            self.error(f"argument {what}: invalid choice: {name!r}; {hint}")

    def refuse_unknown(self, words: Sequence[str]) -> NoReturn:
        """Ends the program because of words that no argument takes."""
        known = [name for action in self._actions for name in action.option_strings]
        hints = [
            f"{word}: {hint}"
            for word in words
            if word.startswith("--") and (hint := _hint(word.split("=")[0], known))
        ]
        hints = f"; {', '.join(hints)}" if hints else ""
        self.error(f"unrecognized arguments: {' '.join(words)}{hints}")


def _hint(name, known):
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else ""


def json_object(text: str) -> dict[str, Any]:
    """The type of an argument that is a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}; received {text}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object; received {text}")
    return value


def names(text: str) -> list[str]:
    """The type of an argument that is some names, with commas between."""
    return [name.strip() for name in text.split(",")]


def number_or_name(text: str) -> int | str:
    """The type of an argument that is a column's number or its name."""
    return int(text) if text.isdecimal() else text


def as_flags(words: str, names: Collection[str]) -> str:
    """Words of a docstring as help: names of arguments become those of their flags."""

    def flag(found):
        name = found[1]
        return f"--{name.replace('_', '-')}" if name in names else name

    # Percent signs are argparse's own.
    return re.sub(r"`([^`]*)`", flag, words).strip().replace("%", "%%")
