"""Notebooks run from top to bottom, and their kept outputs are of this code."""

import contextlib
import io
import json
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_cells(path):
    """The source and the kept output of each cell with code."""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            kept = (line for output in cell["outputs"] for line in output["text"])
            yield "".join(cell["source"]), "".join(kept)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_keeps(path, monkeypatch):
    monkeypatch.chdir(FOLDER)
    scope = {"__name__": "__main__"}
    for source, kept in code_cells(path):
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(compile(source, path.name, "exec"), scope)
        assert shown.getvalue() == kept, source
