"""Terms of a glossary in texts, and the phrases of tokens that they become."""

import re

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.text import glossary


def occurs(text, term):
    return bool(glossary.occur(tf.constant([text]), tf.constant([[term]])))


@pytest.mark.parametrize(
    "text, term",
    [
        ("The dog runs.", "dog"),
        ("dog", "dog"),
        ("(dog)", "dog"),
        ("dog, dog", "dog"),
        ("dogs and a dog", "dog"),
        ("dodog dog", "dog"),
        ("New\n York is big", "New York"),
        ("New York", " New\t York "),
        ("in\u3000New\u00a0York", "New York"),
        ("das Café, é", "Café"),
        ("Größe", "Größe"),
        ("C++ and C#", "C++"),
        ("a 3.5 b", "3.5"),
        ("U.S.", "U.S."),
        ("我的狗在跑", "狗"),
        ("これは犬です", "犬"),
        ("สุนัขวิ่ง", "สุนัข"),
        ("собака бежит", "собака"),
        ("😀 😁", "😁"),
        ("aab", "aab"),
        ("aa aab", "aab"),
    ],
)
def test_a_term_occurs_between_words(text, term):
    assert occurs(text, term)


@pytest.mark.parametrize(
    "text, term",
    [
        ("The dogs run.", "dog"),
        ("hotdog", "dog"),
        ("Dog", "dog"),
        ("do g", "dog"),
        ("dog_1", "dog"),
        ("e\u0301", "e"),
        ("собаками", "собака"),
        ("New York", "NewYork"),
        ("", "dog"),
        ("dog", ""),
        ("  ", " "),
        ("dog", "dog house"),
    ],
)
def test_a_term_within_words_does_not_occur(text, term):
    assert not occurs(text, term)


def test_many_terms_of_many_texts_are_those_of_a_regular_expression():
    random = np.random.default_rng(3)
    letters = list("ab é.\n")
    texts = ["".join(random.choice(letters, 12)) for _ in range(60)]
    terms = [
        ["".join(random.choice(letters, random.integers(0, 4))) for _ in range(7)]
        for _ in texts
    ]
    found = glossary.occur(tf.constant(texts), tf.constant(terms)).numpy()
    for text, row, results in zip(texts, terms, found):
        text = " ".join(text.split())
        for term, result in zip(row, results):
            term = " ".join(term.split())
            start = r"(?<!\w)" if term[:1].isalpha() else ""
            end = r"(?!\w)" if term[-1:].isalpha() else ""
            expected = re.search(f"{start}{re.escape(term)}{end}", text)
            assert result == bool(term and expected), (text, term)


@pytest.mark.parametrize("rows, terms", [(0, 0), (0, 3), (2, 0)])
def test_none_are_none(tokenizer, rows, terms):
    texts = tf.fill([rows], "a dog")
    none = tf.zeros([rows, terms], tf.string)
    assert glossary.occur(texts, none).shape == (rows, terms)
    assert glossary.find_phrases(texts, none, none, tokenizer).shape[0] == rows


def test_phrases_are_tokens_as_they_stand_in_a_sentence(tokenizer):
    pairs = {"dog": "red dog", "cat": "", "x": "old", "the": " the "}
    texts = ["the dog", "a cat", "", "no dog"]
    found = glossary.phrases_of_texts(texts, [pairs] * 4, tokenizer)
    phrases = [
        [tokenizer.tokens(row[row > 0]) for row in rows if row.any()] for rows in found
    ]
    of_sentence = tokenizer.tokens(tokenizer.tokenize(["a red dog"]).numpy()[0])
    red_dog = of_sentence[-len(phrases[3][0]) :]
    assert phrases[0] == [red_dog, tokenizer.tokens(tokenizer.tokenize(["the"])[0])]
    assert phrases[1:] == [[], [], [red_dog]]


def test_large_glossaries_and_many_texts(tokenizer):
    pairs = {f"word{i}": "dog" for i in range(2000)} | {"cat": "a cat"}
    texts = ["a cat"] * 300 + ["word7 and word8"]
    found = glossary.phrases_of_texts(texts, [pairs] * len(texts), tokenizer)
    assert (found[:300] == found[0]).all() and found[0].any()
    assert np.count_nonzero(found[300].any(-1)) == 2
