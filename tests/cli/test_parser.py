"""The order of arguments on the command line."""

import pytest

from keras_transformer import cli
from keras_transformer.cli import parser


def parsed(line):
    words = line.split()
    found = vars(parser([words[0]]).parse_args(words))
    return {name: value for name, value in found.items() if name != "parser"}


@pytest.mark.parametrize(
    "line, others",
    [
        (
            "train r a b --steps 3",
            ["train r --steps 3 a b", "train --steps 3 r a b", "train r a --steps 3 b"],
        ),
        ("prepare c a b --quiet", ["prepare c --quiet a b", "prepare --quiet c a b"]),
        (
            "translate r a dog --output x",
            ["translate r --output x a dog", "translate r a --output x dog"],
        ),
        ("translate r - --json", ["translate r --json -", "translate --json r -"]),
        ("translate --json r -- -a --b", ["translate r --json -- -a --b"]),
        (
            "evaluate r a b --json --metric bleu ter",
            ["evaluate r --metric bleu ter --json a b"],
        ),
        ("score r a b --json", ["score r --json a b", "score r a --json b"]),
        ("explain r a b --json", ["explain r --json a b"]),
        ("distill r a s --steps 3", ["distill r --steps 3 a s"]),
        ("plot attention r a --to x", ["plot attention --to x r a"]),
    ],
)
def test_options_may_stand_anywhere(line, others):
    for other in others:
        assert parsed(other) == parsed(line), other


def test_a_stop_while_a_command_is_imported_is_one_line(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_module", interrupted)
    for command, way_on in (("train", " The same command goes on."), ("score", "")):
        with pytest.raises(SystemExit) as stop:
            cli.main([command, "run"])
        assert stop.value.code == 130
        expected = f"keras-transformer: Stopped by Ctrl-C.{way_on}"
        assert capsys.readouterr().err.strip() == expected
