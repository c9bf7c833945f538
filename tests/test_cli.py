import io
import os
import pathlib
import random
import shutil
import subprocess
import sys

import pytest

import keras_transformer as kt
from keras_transformer.cli import main
from keras_transformer.tasks.text_to_text import TextToText


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    """A folder that holds a translator, and its model's file."""
    random.seed(0)
    model = kt.Transformer(tokenizer.vocabulary_size, None, 1, 32, 2, 64)
    translator = kt.Translator(model, tokenizer)
    folder = tmp_path_factory.mktemp("saved")
    translator.save(folder / "translator")
    return str(folder), translator


@pytest.fixture
def folder(saved):
    return saved[0]


@pytest.fixture
def type_in(monkeypatch):
    """Gives bytes to standard input; None closes it."""

    def give(content):
        stream = content if content is None else io.TextIOWrapper(io.BytesIO(content))
        monkeypatch.setattr(sys, "stdin", stream)

    return give


def test_translates_the_lines_of_standard_input(saved, type_in, capsys):
    folder, translator = saved
    type_in("the dog\r\na c\u00e4t\n".encode())
    main(["translate", folder, "--max-length", "4"])
    expected = translator.translate(["the dog", "a c\u00e4t"], max_length=4)
    expected = [" ".join(answer.splitlines()) for answer in expected]
    assert capsys.readouterr().out == "".join(f"{answer}\n" for answer in expected)


def test_a_byte_order_mark_is_no_part_of_a_text(folder, monkeypatch, capsys, tmp_path):
    given = []

    def repeat(self, texts, **options):
        given.extend(texts)
        return texts

    monkeypatch.setattr(kt.Translator, "translate", repeat)
    text = "\ufeffthe dog\r\na cat\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), "utf-8"))
    main(["translate", folder])
    assert given == ["the dog", "a cat"]
    for name, content in (("marked", text), ("plain", b"the dog\na cat\n")):
        (tmp_path / name).write_bytes(content)
    main(["evaluate", folder, str(tmp_path / "marked"), str(tmp_path / "plain")])
    assert "exact match 100.00%" in capsys.readouterr().out


def test_every_answer_is_one_line(folder, monkeypatch, capsys):
    monkeypatch.setattr(
        kt.Translator,
        "translate",
        lambda self, texts, **_: ["one\ntwo\x1d", "", "three"],
    )
    main(["translate", folder, "a", "b", "c"])
    assert capsys.readouterr().out == "one two\n\nthree\n"


def test_a_document_keeps_its_lines(folder, tmp_path, monkeypatch, capsysbinary):
    path = tmp_path / "document.txt"
    text = "\ufeffThe dog. A cat!\r\n\r\n  The house\u2028\tä.\n\n"
    path.write_bytes(text.encode("utf-8"))
    monkeypatch.setattr(
        TextToText,
        "_answers_and_scores",
        lambda self, texts, *_: (
            [[text.upper()] for text in texts],
            [[0.0]] * len(texts),
        ),
    )
    main(["translate", folder, "--document", str(path)])
    assert capsysbinary.readouterr().out == text.upper().encode("utf-8")


def test_what_is_no_document_is_named(folder, tmp_path, capsys):
    path = tmp_path / "document.txt"
    path.write_bytes(b"a\xff")
    for arguments, words in (
        ([str(path)], "must be UTF-8; received invalid start byte at byte 2"),
        ([str(tmp_path / "none.txt")], "none.txt"),
        ([str(path), "text"], "exclude each other"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["translate", folder, *arguments[1:], "--document", arguments[0]])
        assert stop.value.code == 2
        assert words in capsys.readouterr().err


def test_evaluates_exports_and_plots(folder, corpus, tmp_path, capsys):
    short = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    for path, whole in zip(short, corpus):
        lines = pathlib.Path(whole).read_text("utf-8").splitlines()[:5]
        pathlib.Path(path).write_text("\n".join(lines), "utf-8")
    main(["evaluate", folder, *short, "--max-length", "4"])
    assert "BLEU" in capsys.readouterr().out
    options = ["--beam-size", "1", "--signature", "encode"]
    main(["export", folder, str(tmp_path / "served"), *options])
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()
    for arguments in (["positions"], ["attention", folder, "the dog"]):
        picture = tmp_path / f"{arguments[0]}.png"
        main(["plot", *arguments, "--to", str(picture)])
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.process
def test_an_export_that_can_t_be_is_one_line_and_code_1(folder, tmp_path):
    arguments = ["export", folder, str(tmp_path / "served")]
    done = subprocess.run(
        [sys.executable, "-m", "keras_transformer", *arguments]
        + ["--weights", "bfloat16_packed"],
        # As on a processor without AVX-512.
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Choose weights='bfloat16', which runs everywhere." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "served").exists()


WRONG = [
    ([], "required: COMMAND"),
    (["trane"], "invalid choice: 'trane'"),
    (["train"], "required: folder"),
    (["train", "new"], "source is needed"),
    (["train", "new", "a", "b", "--stepz", "3"], "unrecognized arguments"),
    (["train", "new", "a", "b", "--steps", "many"], "--steps: invalid int value"),
    (["train", "new", "a", "b", "--steps", "0"], "steps must be at least 1"),
    (["train", "new", "a", "b", "--steps", "333"], "multiple of steps_per_epoch"),
    (["train", "new", "a", "b", "--preset", "tinny"], "--preset: invalid choice"),
    (["train", "new", "a", "b", "--strategy", "one-device"], "'one_device'"),
    (["train", "new", "a", "b", "--model", "{"], "--model: no JSON"),
    (["train", "new", "a", "b", "--model", "[]"], "--model: must be a JSON object"),
    (["train", "new", "a", "b", "--model", '{"num_layer": 2}'], "'num_layers'"),
    (["train", "new", "a", "b", "--model", '{"num_heads": 7}'], "num_heads"),
    (["train", "new", "a", "b", "--tokenizer", '{"bogus": 1}'], "'bogus'"),
    (["train", "new", "a", "b", "--tokenizer", "null"], "must be a JSON object"),
    (["train", "new", "a", "b", "--clip-norm", "0"], "clip_norm must be positive"),
    (["train", "new", "a", "b", "--bleu-sentences", "-1"], "bleu_sentences must"),
    (["train", "new", "a", "b", "--accumulation-steps", "0"], "accumulation_steps"),
    (["train", "new", "a", "b", "--valid-target", "b"], "valid_source"),
    (["train", "new", "a"], "a, line 1: no tab"),
    (["train", "new", "a", "short"], "same number of lines"),
    (["train", "new", "missing", "b"], "source='missing' isn't there"),
    (["train", "new", "a", "b", "--valid-source", "missing"], "isn't there"),
    (["train", "new", "empty", "empty"], "source='empty' is empty"),
    (["train", "new", "a", "b", "--valid-source", "empty"], "'empty' is empty"),
    (["train", "new", "a", "a folder"], "a folder"),
    (["train", "a", "a", "b"], "folder='a' is a file"),
    (["train", "broken", "a", "b"], "config.json is no JSON"),
    (["train", "broken"], "config.json is no JSON"),
    (["translate", "missing", "text"], "holds no Translator"),
    (["translate", "broken", "text"], "is a run that hasn't ended"),
    (["translate", "SAVED"], "standard input is empty"),
    (["translate", "SAVED", "text", "--beam-size", "0"], "beam_size"),
    (["translate", "SAVED", "text", "--length-penalty", "x"], "--length-penalty"),
    (["translate", "SAVED", "text", "--max-length", "0"], "max_length"),
    (["evaluate", "SAVED", "empty"], "source='empty' is empty"),
    (["evaluate", "SAVED", "empty", "empty"], "source='empty' is empty"),
    (["evaluate", "SAVED", "a"], "a, line 1: no tab"),
    (["evaluate", "SAVED", "a", "missing"], "missing"),
    (["evaluate", "missing", "a", "b"], "holds no Translator"),
    (["plot", "losses", "--to", "a.png"], "invalid choice: 'losses'"),
    (["plot", "positions"], "required: --to"),
    (["plot", "positions", "--to", "a.docx"], "docx"),
    (["plot", "positions", "--to", "missing/a.png"], "missing"),
    (["plot", "training", "--to", "a.png"], "folder is needed"),
    (["plot", "training", "missing", "--to", "a.png"], "metrics.csv"),
    (["plot", "training", "broken", "--to", "a.png"], "no number of an epoch"),
    (["plot", "attention", "SAVED", "--to", "a.png"], "text is needed"),
    (["plot", "attention", "missing", "text", "--to", "a.png"], "no Translator"),
]


@pytest.fixture
def workplace(tmp_path, monkeypatch, corpus):
    """The files that wrong commands name."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("a", corpus[0]), ("b", corpus[1])):
        shutil.copy(text, name)
    pathlib.Path("short").write_text("one line\n", "utf-8")
    pathlib.Path("empty").touch()
    pathlib.Path("a folder").mkdir()
    checkpoints = pathlib.Path("broken", "checkpoints")
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-00000010.keras").touch()
    pathlib.Path("broken", "config.json").write_text('{"source": "a', "utf-8")
    pathlib.Path("broken", "metrics.csv").write_text("garbage\n1\n", "utf-8")


@pytest.mark.parametrize("command, words", WRONG)
def test_errors_of_use_are_one_line_and_code_2(
    command, words, saved, workplace, type_in, capsys
):
    type_in(b"")
    with pytest.raises(SystemExit) as stop:
        main([saved[0] if word == "SAVED" else word for word in command])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-transformer") and words in line
    assert not pathlib.Path("new").exists()


def test_a_closed_standard_input_is_one_line_and_code_2(folder, type_in, capsys):
    for content, words in (
        (None, "standard input is closed"),
        (b"one\n\xff\n", "line 2: not valid UTF-8"),
    ):
        type_in(content)
        with pytest.raises(SystemExit) as stop:
            main(["translate", folder])
        assert stop.value.code == 2
        assert words in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_code_130(folder, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(kt.Translator, "translate", stop)
    with pytest.raises(SystemExit) as stopped:
        main(["translate", folder, "text"])
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "keras-transformer: Stopped by Ctrl-C.\n"


POSIX = r"""
import pathlib, sys
import keras_transformer as kt
from keras_transformer.text import VocabularyTokenizer, train_tokenizer
from keras_transformer.run.folder import RunFolder

folder, text = pathlib.Path(sys.argv[1]), sys.argv[2]
sentence = "Zw\u00f6lf \u732b"
pathlib.Path(text).write_text((sentence + "\n") * 9, encoding="utf-8")
run = RunFolder(folder / "run", kt.RunConfig(text, text, vocabulary_size=270))
run.prepare()
assert RunFolder(folder / "run", run.config).config.source == text
model = train_tokenizer(text, 24, byte_fallback=False, model_type="char").model
words = ["<pad>", "<s>", "</s>", "<unk>", *sentence.replace(" ", "\u2581")]
special = {"start": "<s>", "end": "</s>", "unknown": "<unk>"}
tokenizer = VocabularyTokenizer(model, words, **special)
model = kt.Transformer(len(words), None, 1, 8, 1, 8)
kt.Translator(model, tokenizer).save(folder / "translator")
loaded = kt.Translator.load(folder / "translator")
assert loaded.source_tokenizer.vocabulary == words
"""


@pytest.mark.process
def test_files_are_utf_8_in_every_locale(tmp_path):
    environment = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "POSIX"}
    done = subprocess.run(
        [sys.executable, "-c", POSIX, str(tmp_path), str(tmp_path / "text")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", ["positions", "curves", "distances"])
def test_pictures_of_positions_need_no_run(what, tmp_path):
    path = tmp_path / f"{what}.png"
    main(["plot", what, "--to", str(path)])
    assert path.read_bytes().startswith(b"\x89PNG")


def test_doctor_and_server_config_know_an_export(folder, tmp_path, capsys):
    models = tmp_path / "models"
    arguments = ["--beam-size", "1", "--max-length", "3", "--xla-bucket", "2x8"]
    arguments += ["--signature", "serving_default_xla"]
    main(["export", folder, str(models / "reversed"), *arguments])
    assert "gives the same answers" in capsys.readouterr().out
    main(["server-config", str(models), "--xla"])
    assert "reversed" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["doctor", str(models / "reversed")])
    assert stop.value.code == 1
    # Only what the option asked for stands in the stock server's way.
    (problem,) = capsys.readouterr().out.splitlines()
    assert "xla_cpu_compilation_enabled" in problem
    with pytest.raises(SystemExit):
        main(["export", folder, str(models), "--xla-bucket", "two"])
    assert "BATCHxLENGTH" in capsys.readouterr().err
