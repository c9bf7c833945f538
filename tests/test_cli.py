import os
import subprocess
import sys

import pytest

import keras_transformer as kt
from keras_transformer.cli import main
from keras_transformer.text_to_text import TextToText


@pytest.fixture
def folder(translator, tmp_path):
    translator.save(tmp_path / "translator")
    return str(tmp_path)


def test_translates_the_lines_of_standard_input(folder, translator):
    command = [sys.executable, "-m", "keras_transformer", "translate", folder]
    done = subprocess.run(
        [*command, "--max-length", "4"], input="the dog\na cat\n", text=True,
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    expected = translator.translate(["the dog", "a cat"], max_length=4)
    expected = [" ".join(answer.splitlines()) for answer in expected]
    assert done.stdout == "".join(f"{answer}\n" for answer in expected)


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
        with open(whole) as lines, open(path, "w") as file:
            file.writelines(line for _, line in zip(range(5), lines))
    main(["evaluate", folder, *short, "--max-length", "4"])
    assert "BLEU" in capsys.readouterr().out
    options = ["--beam-size", "1", "--signature", "encode"]
    main(["export", folder, str(tmp_path / "served"), *options])
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()
    for arguments in (["positions"], ["attention", folder, "the dog"]):
        picture = tmp_path / f"{arguments[0]}.png"
        main(["plot", *arguments, "--to", str(picture)])
        assert picture.read_bytes().startswith(b"\x89PNG")


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


def test_errors_of_use_are_one_line_and_code_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["translate", str(tmp_path / "nothing"), "text"])
    assert stop.value.code == 2
    assert "holds no Translator" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path / "new")])
    assert "source is needed" in capsys.readouterr().err


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
