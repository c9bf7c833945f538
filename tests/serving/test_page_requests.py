"""Each request that a page shows is one that the server takes."""

import json
import pathlib
import re

import pytest

from tests.serving.rules import answer_rest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CURL = re.compile(r"curl\s[^\n]*?-d\s+'([^']*)'((?:\s|\\\n)+)(http\S+)")
COMMANDS = [
    pytest.param(body, url, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (body, _, url) in enumerate(CURL.findall(page.read_text("utf-8")))
]


def test_no_request_of_a_page_is_passed_over():
    lines = sum(page.read_text("utf-8").count("curl -d") for page in PAGES)
    assert len(COMMANDS) == lines >= 4


@pytest.mark.parametrize("body, url", COMMANDS)
def test_requests_of_pages_are_answered(exports, body, url):
    assert re.fullmatch(r"http://localhost:8501/v1/models/[\w-]+:predict", url)
    status, answer = answer_rest(exports["translator"], body)
    assert status == 200, answer
    outputs = answer["outputs"]
    request = json.loads(body)
    texts = request.get("instances") or request["inputs"]["text"]
    assert all(len(value) == len(texts) for value in outputs.values())
    assert not any(outputs.get("error", []))
