"""The site's reference is complete, and no page points to what isn't there."""

import ast
import importlib
import pathlib
import re

import pytest

import keras_transformer as kt
from keras_transformer.cli import COMMANDS

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *ROOT.glob("*.md"),
    *DOCS.rglob("*.md"),
    ROOT / "benchmarks" / "README.md",
    ROOT / "saved_models" / "README.md",
]
LINK = re.compile(r"\]\(([^)\s#:]*)(?:#([^)\s]*))?\)")
ENTRY = re.compile(r"^::: keras_transformer\.(\S+)$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def reference():
    pages = (DOCS / "reference").glob("*.md")
    return {name for page in pages for name in ENTRY.findall(page.read_text("utf-8"))}


def anchors(page):
    """What GitHub and mkdocs make of a page's headings."""
    for heading in HEADING.findall(page.read_text("utf-8")):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    for path, anchor in LINK.findall(page.read_text("utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


def test_all_files_name_one_version():
    files = ("setup.cfg", "CITATION.cff")
    found = [(ROOT / name).read_text("utf-8") for name in files]
    versions = {re.search(r"(?m)^version(?: =|:) (\S+)$", text)[1] for text in found}
    assert versions == {kt.__version__}
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"(?m)^## (\d\S*)", changes)[1] == kt.__version__


def test_the_reference_has_every_public_name():
    named = {entry.rpartition(".")[2] for entry in reference()}
    missing = {
        f"{package}.{name}"
        for package in ("layers", "models", "decoding", "training")
        + ("data", "interop", "run", "serving", "text")
        for name in importlib.import_module(f"keras_transformer.{package}").__all__
        if name not in named and name != "PRESETS"
    }
    missing |= {
        name
        for name in kt.__all__
        if isinstance(getattr(kt, name), type) and name not in named
    }
    assert missing == set()


def test_the_page_of_the_command_line_has_every_command():
    page = (DOCS / "command_line.md").read_text("utf-8")
    rows = "".join(re.findall(r"^\| (`[^|]*)\|", page, re.MULTILINE))
    assert set(COMMANDS) <= set(re.findall(r"`([\w-]+)`", rows))


def test_every_entry_of_the_reference_exists():
    for entry in reference():
        module, _, name = entry.rpartition(".")
        assert hasattr(importlib.import_module(f"keras_transformer.{module}"), name)


def test_the_names_of_the_architecture_exist():
    page = (DOCS / "architecture.md").read_text("utf-8")
    defined = set()
    for path in (ROOT / "keras_transformer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                defined.add(node.name)
    rows = re.findall(r"^\| \d\.\d.*$", page, re.MULTILINE)
    assert len(rows) >= 12
    for name in re.findall(r"`([\w.]+)`", "".join(rows)):
        assert set(name.split(".")) <= defined, name
    for path in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", page):
        folder = ROOT if path.startswith("tests/") else ROOT / "keras_transformer"
        assert (folder / path).exists(), path
