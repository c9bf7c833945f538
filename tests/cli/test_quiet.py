"""Nothing on the screen that isn't the command's own."""

import os
import subprocess
import sys

import pytest

import keras_transformer
from keras_transformer.cli.notes import _NOTES

ROOT = os.path.dirname(os.path.dirname(keras_transformer.__file__))


def keras_transformer_of(*arguments, given=b"", **variables):
    """Runs the command line as people do: in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": ROOT, **variables}
    for name in ("TF_CPP_MIN_LOG_LEVEL", "PYTHONWARNINGS"):
        environment.pop(name, None) if name not in variables else None
    return subprocess.run(
        [sys.executable, "-m", "keras_transformer", *map(str, arguments)],
        input=given,
        env=environment,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A trained run, and what its training printed."""
    folder = tmp_path_factory.mktemp("quiet")
    done = keras_transformer_of(
        *("train", folder / "run", *corpus, "--preset", "mini"),
        *("--valid-source", corpus[0], "--valid-target", corpus[1]),
        *("--vocabulary-size", 300, "--bleu-sentences", 2, "--verbose", 0),
        *("--steps", 1, "--steps-per-epoch", 1),
    )
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.process
def test_train_says_nothing_but_where_the_translator_is(run):
    folder, done = run
    assert done.stderr == b""
    assert done.stdout.decode() == f"{folder / 'run' / 'translator'}\n"


def test_prepare_says_what_is_wrong_and_nothing_else(corpus, tmp_path):
    done = keras_transformer_of("prepare", tmp_path / "c", *corpus)
    note, error = done.stderr.decode().splitlines()
    assert note == "training a tokenizer" and error.startswith("keras-transformer: ")
    assert "vocabulary_size=8000 doesn't fit the text" in error and not done.stdout


@pytest.mark.process
def test_translate_writes_answers_and_nothing_else(run):
    folder, _ = run
    done = keras_transformer_of(
        "translate", folder / "run", "--max-length", 3, given=b"the dog\n\xff\n"
    )
    assert len(done.stdout.decode("utf-8").splitlines()) == 2
    assert done.stderr.decode() == (
        "keras-transformer: 1 of 2 lines weren't UTF-8; bytes that can't be decoded "
        "have become U+FFFD.\n"
    )


@pytest.mark.process
def test_export_says_nothing_on_standard_error(run):
    folder, _ = run
    done = keras_transformer_of(
        *("export", folder / "run", folder / "served", "--beam-size", 1),
        *("--max-length", 4, "--signature", "encode"),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"gives the same answers" in done.stdout


NOTES = [
    b"WARNING: All log messages before absl::InitializeLog() is called are written",
    b"I0000 00:00:1795935954.647164    8574 port.cc:153] oneDNN custom operations",
    b"2025-09-17 14:44:05.157831: I external/local_xla/xla/tsl/cuda/cudart_stub.cc:32]",
    b"E0000 00:00:1795935891.563577 4566 cuda_platform.cc:52] failed call to cuInit: I",
    b"E0000 00:00:1795935899.4 5388 util.cc:131] oneDNN supports DT_INT64 only on plat",
    b"E0000 00:00:1758131045.2 37 cuda_dnn.cc:8579] Unable to register cuDNN factory: ",
    b"normalizer.cc(51) LOG(INFO) precompiled_charsmap is empty. use identity",
]
NEWS = [
    b"E0000 00:00:1795935899.4 5388 bfc_allocator.cc:1] ran out of memory trying to",
    b"F0000 00:00:1795935899.4 5388 tensor.cc:1] Check failed: dtype() == expected",
    b"2025-09-17 14:44:05.157831: E tensorflow/core/framework/op.cc:1] Op is missing",
    b"Segmentation fault",
    b"terminate called after throwing an instance of 'std::bad_alloc'",
    b"trainer_interface.cc(51) LOG(ERROR) too many sentences",
    b"In the beginning",
]


@pytest.mark.parametrize("line", NOTES)
def test_known_notes_are_kept_off(line):
    assert _NOTES.match(line)


@pytest.mark.parametrize("line", NEWS)
def test_whatever_else_comes_through(line):
    assert not _NOTES.match(line)


CRASH = r"""
import os, sys
from keras_transformer.cli import notes

notes.keep_off_the_screen()
print("words of Python", file=sys.stderr)
os.write(2, b"I0000 00:00:17.6 5388 x.cc:1] a note\n")
os.write(2, b"E0000 00:00:17.6 5388 x.cc:1] bad\n")
os.write(2, b"the last words")
os.abort()
"""


@pytest.mark.parametrize("level, notes", [(None, 0), ("3", 0), ("0", 1), ("1", 1)])
def test_a_crash_says_all_it_has_to_say(level, notes):
    environment = {**os.environ, "PYTHONPATH": ROOT, "KERAS_BACKEND": "none"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    if level:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    code = 'import sys; sys.argv[0] = "keras-transformer"\n' + CRASH
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60
    )
    assert done.returncode < 0
    for words in (b"words of Python", b"bad", b"the last words"):
        assert done.stderr.count(words) == 1
    assert done.stderr.count(b"a note") == notes
