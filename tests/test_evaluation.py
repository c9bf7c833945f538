"""Scores are sacreBLEU's own."""

import pytest
import sacrebleu

from keras_transformer.evaluation import (
    METRICS,
    bleu,
    chrf,
    compare,
    exact_match,
    moses_bleu,
    ter,
)

HYPOTHESES = [
    "The dog runs across the wide green field.",
    "two Men are talking in front of a shop, aren't they?",
    "A woman (in red) sleeps.",
    "",
]
REFERENCES = [
    "A dog runs across the green field.",
    "Two men are talking in front of the shop, aren't they?",
    "A woman (in red) sleeps.",
    "Nothing.",
]


@pytest.mark.parametrize("lowercase", [False, True])
def test_bleu_is_that_of_sacrebleu(lowercase):
    score, signature = bleu(HYPOTHESES, REFERENCES, lowercase=lowercase)
    expected = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], lowercase=lowercase)
    assert score == expected.score and 20 < score < 80
    case = "lc" if lowercase else "mixed"
    assert f"case:{case}" in signature and "tok:13a" in signature
    assert "nrefs:1" in signature


def test_lowercase_counts_more_than_case():
    assert (
        bleu(HYPOTHESES, REFERENCES, lowercase=True)[0]
        > bleu(HYPOTHESES, REFERENCES)[0]
    )


def test_bleu_is_the_formula_of_the_paper():
    """4 of 5 unigrams, 3 of 4 bigrams, 2 of 3, 1 of 2, and the answer is shorter."""
    score, _ = bleu(["a b c d x"], ["a b c d e f"])
    precisions = 4 / 5 * 3 / 4 * 2 / 3 * 1 / 2
    assert score == pytest.approx(100 * precisions**0.25 * 2.718281828 ** (1 - 6 / 5))


def test_bleu_of_the_same_text_is_100_and_of_other_text_is_0():
    assert bleu(REFERENCES, REFERENCES)[0] == pytest.approx(100)
    assert bleu(["x y z v w"], ["a b c d e"])[0] == 0


def test_moses_bleu_is_of_lower_case_and_moses_tokens():
    pytest.importorskip("sacremoses")
    score, signature = moses_bleu(HYPOTHESES, REFERENCES, "en")
    expected = sacrebleu.corpus_bleu(
        [
            "the dog runs across the wide green field .",
            "two men are talking in front of a shop , aren 't they ?",
            "a woman ( in red ) sleeps .",
            "",
        ],
        [
            [
                "a dog runs across the green field .",
                "two men are talking in front of the shop , aren 't they ?",
                "a woman ( in red ) sleeps .",
                "nothing .",
            ]
        ],
        tokenize="none",
    )
    assert score == pytest.approx(expected.score) and "tok:none" in signature


def test_exact_match_is_a_share():
    assert exact_match(HYPOTHESES, REFERENCES) == 0.25
    assert exact_match(REFERENCES, REFERENCES) == 1


@pytest.mark.parametrize(
    "score", [bleu, chrf, ter, exact_match, lambda *a: moses_bleu(*a, "en")]
)
@pytest.mark.parametrize(
    "hypotheses, references, error",
    [
        ([], [], ValueError),
        (["a"], ["a", "b"], ValueError),
        ([None], ["a"], TypeError),
        ([["a"]], [["a"]], TypeError),
    ],
)
def test_what_can_t_be_scored_is_named(score, hypotheses, references, error):
    with pytest.raises(error, match="hypotheses|references"):
        score(hypotheses, references)


def test_generators_are_taken():
    assert exact_match(iter(REFERENCES), iter(REFERENCES)) == 1
    assert bleu(iter(HYPOTHESES), iter(REFERENCES)) == bleu(HYPOTHESES, REFERENCES)


def test_chrf_and_ter_are_those_of_sacrebleu():
    score, signature = chrf(HYPOTHESES, REFERENCES)
    assert score == sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    assert "nc:6|nw:0" in signature and 0 < score < 100
    plus, signature = chrf(HYPOTHESES, REFERENCES, word_order=2)
    assert plus != score and "nw:2" in signature
    rate, signature = ter(HYPOTHESES, REFERENCES)
    assert rate == sacrebleu.corpus_ter(HYPOTHESES, [REFERENCES]).score
    assert "tok:tercom" in signature and rate > 0
    assert (
        chrf(REFERENCES, REFERENCES)[0] == 100 and ter(REFERENCES, REFERENCES)[0] == 0
    )


def test_systems_are_compared_by_sacrebleus_paired_bootstrap():
    better = REFERENCES * 5
    systems = {"old": HYPOTHESES * 5, "new": better}
    found = compare(systems, REFERENCES * 5, ["bleu", "ter"], samples=100)
    assert list(found) == ["bleu", "ter"]
    for name, metric in (("bleu", bleu), ("ter", ter)):
        assert "bs:100|seed:12345" in found[name]["signature"]
        for system, values in found[name]["systems"].items():
            expected, _ = metric(systems[system], REFERENCES * 5)
            assert values["score"] == pytest.approx(expected)
            assert values["confidence"] >= 0
        assert found[name]["systems"]["old"]["p_value"] is None
        assert found[name]["systems"]["new"]["p_value"] < 0.05
    by_turns = [HYPOTHESES + REFERENCES, REFERENCES + HYPOTHESES]
    systems = {"a": by_turns[0] * 3, "b": by_turns[1] * 3}
    alike = compare(systems, REFERENCES * 6, samples=100)
    assert alike["bleu"]["systems"]["b"]["p_value"] > 0.05


def test_the_same_answers_differ_by_chance_alone():
    systems = {"old": HYPOTHESES, "new": list(HYPOTHESES)}
    found = compare(systems, REFERENCES, list(METRICS), samples=50)
    assert {one["systems"]["new"]["p_value"] for one in found.values()} == {1.0}


@pytest.mark.parametrize(
    "systems, options, words",
    [
        ({"a": ["x"]}, {}, "systems must be a dict of two or more"),
        ([["x"], ["y"]], {}, "systems must be a dict"),
        ({"a": ["x"], "b": ["x", "y"]}, {}, "same length"),
        ({"a": ["x"], "b": ["y"]}, {"metrics": ["blue"]}, "metrics must be among"),
        ({"a": ["x"], "b": ["y"]}, {"samples": 0}, "samples must be at least 1"),
    ],
)
def test_what_can_t_be_compared_is_named(systems, options, words):
    with pytest.raises(ValueError, match=words):
        compare(systems, ["x"], **options)
