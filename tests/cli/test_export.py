"""`evaluate`, `export`, `doctor`, `server-config` and `plot` of one translator."""

import os
import pathlib
import subprocess
import sys

import pytest

from keras_transformer.cli import main


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
