"""The proxy's rule of docs/serving.md refuses requests without a row, and no other."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "serving.md"
# What nginx hands to the rule, as far as it is used; prints what became of a body.
HARNESS = """
for (const body of BODIES) {
    let answer;
    check({
        requestText: body,
        return: (code) => { answer = code; },
        internalRedirect: (place) => { answer = place; },
    });
    console.log(answer);
}
"""


def test_the_proxy_refuses_what_a_batching_server_never_answers():
    if not shutil.which("node"):
        pytest.skip("needs node")
    text = PAGE.read_text(encoding="utf-8")
    rule = re.search(r"```js\n(.*?)export default", text, re.DOTALL)[1]
    refused = [
        '{"inputs": {"text": []}}',
        '{"inputs": {"text": ["a"], "limit": []}}',
        '{"inputs": []}',
        '{"instances": []}',
        '{"signature_name": "n_best", "inputs":{"text":[ ]}}',
        "no JSON",
    ]
    handed_on = [
        '{"inputs": {"text": ["a"]}}',
        '{"inputs": {"text": ["[]", ""]}}',
        '{"inputs": ["a"]}',
        '{"inputs": "a"}',
        '{"instances": ["a"]}',
        '{"instances": [{"text": ": []"}]}',
    ]
    code = rule + HARNESS.replace("BODIES", json.dumps([*refused, *handed_on]))
    done = subprocess.run(
        ["node", "-e", code], capture_output=True, text=True, check=True
    )
    expected = ["400"] * len(refused) + ["@server"] * len(handed_on)
    assert done.stdout.split() == expected
