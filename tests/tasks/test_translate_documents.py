import pathlib

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.tasks.text_to_text import TextToText

MARIAN = pathlib.Path(__file__).parents[1] / "interop" / "tiny-marian"
BLANK = ["", " ", "\n\t\n", "\u3000", "\u200b\ufeff", "\xad"]


@pytest.fixture
def echo(translator, monkeypatch):
    """A translator that answers in capitals, and keeps what the search is given."""

    def answer(self, texts, options, prefixes, *_):
        self.asked, self.prefixes = texts, prefixes
        count = options.num_hypotheses
        return [[text.upper()] * count for text in texts], [[-1.0] * count] * len(texts)

    monkeypatch.setattr(TextToText, "_answers_and_scores", answer)
    return translator


@pytest.mark.parametrize("split", [False, True])
def test_a_text_without_a_visible_character_is_its_own_answer(echo, split):
    texts = ["dog", *BLANK, "cat"]
    assert echo.translate(texts, split=split) == ["DOG", *BLANK, "CAT"]
    assert echo.asked == ["dog", "cat"]
    assert echo.translate(BLANK, split=split) == BLANK
    assert echo.translate(BLANK[2], split=split) == BLANK[2]
    assert echo.asked == []
    prefixes = ["the", "a", "old", "red", "the", "a"]
    expected = [prefix + text for prefix, text in zip(prefixes, BLANK)]
    assert echo.translate(BLANK, target_prefix=prefixes, split=split) == expected


def test_blank_texts_have_as_many_hypotheses_and_a_score_of_zero(echo):
    answers, scores = echo.translate(
        ["dog", *BLANK], num_hypotheses=2, return_scores=True
    )
    assert answers == [["DOG"] * 2, *([text] * 2 for text in BLANK)]
    assert scores == [[-1.0] * 2, *([0.0] * 2 for _ in BLANK)]


@pytest.mark.parametrize("split", [False, True])
def test_options_of_each_text_hold_beside_blank_ones(translator, split):
    texts = ["the dog. a cat.", " ", "old man"]
    options = {"sample": True, "temperature": [0.5, 9.0, 3.0], "seed": [3, 4, 5]}
    found = translator.translate(texts, max_length=5, split=split, **options)
    for row, text in enumerate(texts):
        own = {**options, "temperature": options["temperature"][row]}
        own["seed"] = options["seed"][row]
        alone = translator.translate(text, max_length=5, split=split, **own)
        assert found[row] == alone


@pytest.mark.parametrize("split", [False, True])
def test_white_space_after_a_language_token_is_its_own_answer(split):
    translator = kt.interop.load_marian(MARIAN)
    texts = [f">>fra<<{blank}" for blank in BLANK]
    expected = ["" if text.strip(" \t") == "" else text for text in BLANK]
    assert translator.translate(texts, split=split) == expected


def test_documents_keep_their_white_space_and_lose_no_sentence(echo):
    texts = [" the dog.  A cat?\r\n\r\n\t- one\n\t- two.\n", "", "\n", "Dr. Who. He."]
    assert echo.translate(texts, split=True) == [text.upper() for text in texts]
    assert echo.asked == ["the dog.", "A cat?", "- one", "- two.", "Dr. Who.", "He."]
    assert echo.translate("One. Two.", split=True) == "ONE. TWO."
    assert echo.translate([], split=True) == []


def test_sentences_of_documents_are_translated_as_if_alone(translator):
    texts = ["The dog runs. A cat sleeps.\n\nThe woman sees.", "the house"]
    answers = translator.translate(texts, max_length=6, split=True, tokens_per_batch=30)
    first = [
        translator.translate(sentence, max_length=6).strip()
        for sentence in ("The dog runs.", "A cat sleeps.", "The woman sees.")
    ]
    second = translator.translate("the house", max_length=6).strip()
    assert answers == ["{} {}\n\n{}".format(*first), second]


def test_documents_longer_than_the_model_takes_are_cut_and_not_cut_off(echo):
    echo.max_source_length = 8
    text = "the old dog sees a small cat, " * 20
    assert echo.translate(text, split=True) == text.upper()
    assert len(echo.asked) > 20
    _, truncated = echo.encode(echo.asked)
    assert not truncated.numpy().any()


def test_the_prefix_of_a_document_is_its_first_sentence_s(echo, tokenizer):
    echo.translate(["One. Two.", " ", "Three."], split=True, target_prefix="the dog")
    ids = tokenizer.tokenize(["the dog"])[0].numpy()
    expected = np.stack([ids, 0 * ids, ids])
    np.testing.assert_array_equal(echo.prefixes, expected)
    with pytest.raises(ValueError, match="received 1 for 2 texts"):
        echo.translate(["One.", "Two."], split=True, target_prefix=["a"])


@pytest.mark.parametrize(
    "options", [{"num_hypotheses": 2}, {"return_scores": True}], ids=str
)
def test_documents_have_one_translation_and_no_score(translator, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be .* with split=True"):
        translator.translate("One. Two.", split=True, **options)
    with pytest.raises(TypeError, match="7"):
        translator.translate(["a", 7], split=True)
