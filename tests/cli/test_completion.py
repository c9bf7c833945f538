"""The completion scripts parse, and know each command, its options and their values."""

import shutil
import subprocess

import pytest

from keras_transformer.cli import COMMANDS, main

pytest.importorskip("shtab")


@pytest.fixture
def script(capsys, tmp_path):
    def write(shell):
        main(["completion", shell])
        path = tmp_path / shell
        path.write_text(capsys.readouterr().out, "utf-8")
        return path

    return write


def completed(script, *words):
    """What Bash offers for the last of some words."""
    code = (
        'source "$1"; shift; COMP_WORDS=(keras-transformer "$@"); COMP_CWORD=$#; '
        '_shtab_keras_transformer; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code, "bash", script, *words],
        cwd=script.parent,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_script_parses(shell, script):
    if shutil.which(shell) is None:
        pytest.skip(f"not installed: {shell}")
    done = subprocess.run([shell, "-n", script(shell)], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_bash_completes_commands_options_values_and_files(script):
    found = script("bash")
    assert completed(found, "") >= set(COMMANDS)
    assert completed(found, "tra") == {"train", "translate"}
    assert completed(found, "train", "run", "--ste") == {"--steps", "--steps-per-epoch"}
    assert "tiny" in completed(found, "train", "run", "--preset", "")
    assert completed(found, "completion", "z") == {"zsh"}
    (found.parent / "letter.txt").touch()
    for words in (["translate", "let"], ["translate", "run", "--document", "let"]):
        assert completed(found, *words) == {"letter.txt"}
    assert completed(found, "train", "run", "--steps", "let") == set()


def test_every_shell_is_told_of_every_command(script):
    for shell in ("bash", "zsh"):
        text = script(shell).read_text("utf-8")
        assert all(name in text for name in COMMANDS)
