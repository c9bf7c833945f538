"""One table of weight formats is what export, doctor, command line and docs say."""

import pathlib

import pytest

from keras_transformer import cli
from keras_transformer.serving import export_saved_model
from keras_transformer.serving.weights import FORMATS, ONEDNN_FORMATS, in_short, table

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_page_shows_the_table():
    lines = PAGE.read_text("utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| `--weights`"))
    expected = table().splitlines()
    assert lines[first : first + len(expected)] == expected
    assert not lines[first + len(expected)]


def test_the_command_line_names_every_format(capsys):
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    assert "".join(in_short().split()) in "".join(capsys.readouterr().out.split())
    for each in FORMATS.values():
        assert f"{each.name} (size {each.size}" in in_short()


@pytest.mark.parametrize("weights", ["int4", "", None, 8, ["float32"]])
def test_unknown_formats_are_refused_with_the_known_ones(
    small_translator, tmp_path, weights
):
    with pytest.raises(ValueError, match="weights must be one of.*float32") as error:
        export_saved_model(small_translator, tmp_path, weights=weights)
    assert f"received weights={weights!r}" in str(error.value)
    assert all(name in str(error.value) for name in FORMATS)


def test_formats_that_need_a_processor_name_one_that_does_not():
    for name in ONEDNN_FORMATS:
        instead = FORMATS[FORMATS[name].instead]
        assert instead.name not in ONEDNN_FORMATS and "any" in instead.processor
        assert instead.in_int8 == FORMATS[name].in_int8
