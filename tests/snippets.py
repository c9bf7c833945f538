"""Code in the pages of documentation, to be run as it stands."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_of(page):
    """The page's blocks of Python as one program, each on its own lines."""
    lines, inside = [], False
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            lines.append("")
        else:
            lines.append(line if inside else "")
    return "\n".join(lines)


def has_code(page):
    return re.search("^```python$", page.read_text("utf-8"), re.MULTILINE) is not None


def run(page, names):
    """Runs a page's Python, block after block; returns all names that it has then."""
    exec(compile(code_of(page), str(page), "exec"), names)
    return names
