"""`translate(glossary=...)`: terms of the source have their translations."""

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.text.glossary import phrases_of_texts

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
TEXTS = ["the dog sees a cat", "a cat", "woman", " \n", "the dog"]
TERMS = {"dog": "red house", "cat": "old man"}


@pytest.fixture(scope="module")
def translator(tokenizer):
    model = kt.Transformer(tokenizer.vocabulary_size, **SIZES)
    return kt.Translator(model, tokenizer, search_options={"max_length": 16})


def test_forced_terms_are_in_the_answers(translator):
    answers = translator.translate(TEXTS, glossary=TERMS, glossary_force=True)
    assert "red house" in answers[0] and "old man" in answers[0]
    assert "old man" in answers[1] and "red house" in answers[4]
    plain = translator.translate(TEXTS)
    assert answers[2:4] == plain[2:4]
    alone = [
        translator.translate(text, glossary=TERMS, glossary_force=True)
        for text in TEXTS
    ]
    assert alone == answers
    # In batches of few tokens too, where texts are sorted.
    few = {"tokens_per_batch": 8, "glossary": [TERMS] * 5, "glossary_force": True}
    assert translator.translate(TEXTS, **few) == answers


def test_a_bonus_is_that_of_the_search(translator, tokenizer):
    given = {"num_hypotheses": 3, "return_scores": True}
    found = translator.translate(TEXTS, glossary=TERMS, glossary_bonus=3.0, **given)
    phrases = phrases_of_texts(TEXTS, [TERMS] * len(TEXTS), tokenizer)
    expected = translator.translate(
        TEXTS, phrases=phrases, phrase_bonus=[3.0] * len(TEXTS), **given
    )
    assert found == expected
    assert found != translator.translate(TEXTS, **given)
    none = {"glossary": TERMS, "glossary_bonus": 0.0}
    assert translator.translate(TEXTS, **none) == translator.translate(TEXTS)


def test_each_text_may_have_a_glossary_and_force_of_its_own(translator):
    glossaries = [TERMS, None, {"woman": "tree"}, {}, {"dog": "cat"}]
    force = [True, True, False, True, True]
    options = {"glossary": glossaries, "glossary_force": force, "glossary_bonus": 0}
    answers = translator.translate(TEXTS, **options)
    plain = translator.translate(TEXTS)
    assert answers[1:4] == plain[1:4]
    assert "red house" in answers[0] and "cat" in answers[4]


@pytest.mark.parametrize("sample", [False, True])
def test_no_terms_change_nothing(translator, sample):
    options = {"sample": sample, "return_scores": True}
    expected = translator.translate(TEXTS, **options)
    for glossary in ({}, {"tree": "house"}, [None] * 5, {"dog": ""}, {"": "dog"}):
        answers, scores = translator.translate(TEXTS, glossary=glossary, **options)
        assert answers == expected[0]
        np.testing.assert_allclose(scores, expected[1], rtol=1e-5)


def test_sentences_of_documents_have_their_own_terms(translator):
    text = "The dog runs.\n\n  A woman sees. The cat sleeps."
    options = {"split": True, "glossary_force": True}
    answer = translator.translate(text, glossary=TERMS, **options)
    first, second = answer.split("\n\n", 1)
    assert "red house" in first and "old man" in second
    pair = translator.translate([text, text], glossary=[TERMS, {}], **options)
    assert pair == [answer, translator.translate(text, split=True)]
    assert translator.translate([], glossary=TERMS, **options) == []


@pytest.mark.parametrize(
    "given, error, words",
    [
        ({"glossary": "dog"}, TypeError, "glossary must be a dict"),
        ({"glossary": [TERMS]}, ValueError, "received 1 for 5 texts"),
        ({"glossary": {"dog": None}}, TypeError, "received None"),
        ({"glossary": TERMS, "glossary_bonus": -1}, ValueError, "phrase_bonus must be"),
        ({"glossary": TERMS, "glossary_force": 3}, ValueError, "force_phrases must be"),
        (
            {"glossary": TERMS, "glossary_force": True, "sample": True},
            ValueError,
            "force_phrases needs a beam search",
        ),
        (
            {"glossary": TERMS, "glossary_force": [True] * 5, "beam_size": 1},
            ValueError,
            "force_phrases with a value for each sentence",
        ),
        ({"glossary_forced": True}, TypeError, "glossary_force"),
    ],
)
def test_what_is_wrong_is_named(translator, given, error, words):
    with pytest.raises(error, match=words):
        translator.translate(TEXTS, **given)
