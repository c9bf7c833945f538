"""benchmarks/check.py: the claims are those of the README, and a false one is told."""

import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
TABLE = """
## Where we stand

| task | Zen 4: `small`, `base` | AVX2: `small` |
| --- | --- | --- |
| 1 sentence, XLA, over CTranslate2 | 1.21, 1.44 | 0.80 |
| a training step over KerasHub's | , 1.22 | |
"""
SECONDS = {
    ((1, 1), "small"): {"ours": 1.0, "ours, XLA": 0.5, "CTranslate2, oneDNN": 0.6},
    ("training", "base"): {"ours": 4.0, "KerasHub": 4.0},
}


@pytest.fixture(scope="module")
def check():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("check")


def test_claims_are_read_by_processor_task_and_size(check):
    assert check.claimed(TABLE) == {
        "Zen 4": {
            "1 sentence, XLA, over CTranslate2": {"small": 1.21, "base": 1.44},
            "a training step over KerasHub's": {"base": 1.22},
        },
        "AVX2": {
            "1 sentence, XLA, over CTranslate2": {"small": 0.80},
            "a training step over KerasHub's": {},
        },
    }


def test_every_row_of_the_benchmarks_is_checked(check):
    claims = check.claimed((BENCHMARKS / "README.md").read_text("utf-8"))
    assert set(claims) == {"Zen 4", "Zen 5", "Xeon with AMX", "AVX2"}
    for processor, rows in claims.items():
        assert set(rows) == set(check.ROWS), processor
    programs = set(check.decode.CONTENDERS) | set(check.train_step.CONTENDERS)
    for names in check.DECODING.values():
        assert set().union(*names.values()) <= programs


def test_the_readme_claims_what_the_benchmarks_do(check):
    claims = check.claimed((BENCHMARKS / "README.md").read_text("utf-8"))["Zen 4"]
    known = {f"{ratio:.2f}" for row in claims.values() for ratio in row.values()}
    section = (ROOT / "README.md").read_text("utf-8").split("## How fast")[1]
    rows = re.findall(r"^\|.*\|(.*)\|$", section.split("\n## ")[0], re.MULTILINE)[2:]
    assert 3 <= len(rows) <= 5
    ratios = {ratio for row in rows for ratio in re.findall(r"\d\.\d\d", row)}
    assert ratios and ratios <= known


def test_a_ratio_below_its_claim_is_told(check):
    claims = check.claimed(TABLE)["Zen 4"]
    found = check.results(claims, SECONDS, ["small", "base"])
    verdicts = {(task, size): (ratio, words) for task, size, _, ratio, words in found}
    ratio, words = verdicts["1 sentence, XLA, over CTranslate2", "small"]
    assert ratio == pytest.approx(1.2) and words == "holds"
    step = verdicts["a training step over KerasHub's", "base"]
    assert step == (1.0, check.FAILS)


def test_rounding_and_noise_are_no_false_claim(check):
    assert check.verdict(0.91, 1.0) == "holds"
    assert check.verdict(0.89, 1.0) == check.FAILS
    assert check.verdict(0.1, None) == "nothing is claimed"


def test_a_missing_peer_is_said_and_a_part_left_out_is_not(check):
    found = check.results({}, {}, ["small"], "decoding")
    assert {words for *_, words in found} == {"CTranslate2 isn't installed"}
    assert len(found) == 7


@pytest.mark.parametrize(
    "text, processor",
    [
        ("flags\t: avx2 avx512f amx_tile\nvendor_id\t: GenuineIntel", "Xeon with AMX"),
        ("flags: avx2 avx512f\nvendor_id: AuthenticAMD\ncpu family: 25", "Zen 4"),
        ("flags: avx2 avx512f\nvendor_id: AuthenticAMD\ncpu family: 26", "Zen 5"),
        ("flags: avx2\nvendor_id: AuthenticAMD\ncpu family: 23", "AVX2"),
        ("flags: avx2 avx512f\nvendor_id: GenuineIntel\ncpu family: 6", None),
        ("", None),
    ],
)
def test_the_processor_is_told_by_what_it_can(check, monkeypatch, text, processor):
    def line(name):
        found = re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE)
        return found[1] if found else ""

    monkeypatch.setattr(check, "of_processor", line)
    assert check.this_processor() == processor
