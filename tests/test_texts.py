"""A string is one text everywhere; whatever else holds strings is a list of them."""

import random

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.evaluation import bleu, exact_match
from keras_transformer.texts import as_texts

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
TEXTS = ["the dog", "a small cat", "woman"]
WRONG = {
    "bytes": (b"the dog", "bytes"),
    "bytes within": ([b"the dog"], "decode"),
    "a number": (7, "7"),
    "None": (None, "NoneType"),
    "a number within": (["a", 7], "7 of type int at index 1"),
    "None within": (["a", None], "index 1"),
    "lists within": ([["a"]], "list"),
    "numbers of an array": (np.arange(2), "int64"),
    "a dict": ({"a": "b"}, "dict"),
}


def kinds_of(texts):
    """The same texts as people may have them."""
    return {
        "tuple": tuple(texts),
        "generator": (text for text in texts),
        "array": np.array(texts),
        "array of objects": np.array(texts, object),
        "keys": dict.fromkeys(texts).keys(),
        "map": map(str, texts),
    }


@pytest.fixture(scope="module")
def functions(tokenizer):
    """Everything that takes texts, as a function of them; a list of answers."""
    random.seed(0)
    translator = kt.Translator(kt.Transformer(320, **SIZES), tokenizer)
    generator = kt.TextGenerator(kt.LanguageModel(320, **SIZES), tokenizer)
    model = kt.EncoderModel(320, num_classes=3, **SIZES)
    encoder = kt.TextEncoder(model, tokenizer, labels=["a", "b", "c"])

    def embed(texts):
        found = encoder.embed(texts)
        return found.tolist()

    return {
        "translate": lambda texts: translator.translate(texts, max_length=4),
        "generate": lambda texts: generator.generate(texts, max_new_tokens=2),
        "classify": encoder.classify,
        "embed": embed,
    }


NAMES = ("translate", "generate", "classify", "embed")


@pytest.mark.parametrize("name", NAMES)
def test_a_string_is_one_text(functions, name):
    function = functions[name]
    alone = function(TEXTS[0])
    (of_list,) = function(TEXTS[:1])
    assert alone == pytest.approx(of_list) if name == "embed" else alone == of_list
    assert function(np.str_(TEXTS[0])) == alone
    assert function(np.array(TEXTS[0])) == alone


@pytest.mark.parametrize("name", NAMES)
def test_whatever_holds_strings_is_a_list_of_them(functions, name):
    expected = functions[name](TEXTS)
    assert len(expected) == 3
    for kind, texts in kinds_of(TEXTS).items():
        assert functions[name](texts) == expected, kind
    assert functions[name]([]) == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_text_is_named(functions, name):
    argument = "prompts" if name == "generate" else "texts"
    for texts, words in WRONG.values():
        with pytest.raises(TypeError, match=argument) as error:
            functions[name](texts)
        assert words in str(error.value)


def test_classes_of_one_string_come_with_its_scores(functions):
    label, scores = functions["classify"]("the dog", return_scores=True)
    assert isinstance(label, str) and scores.shape == (3,)
    assert scores.sum() == pytest.approx(1)


def test_scores_of_a_string_are_those_of_one_text():
    assert exact_match("a cat", "a cat") == 1
    assert exact_match((t for t in TEXTS), np.array(TEXTS)) == 1
    text = "the small dog sees the house"
    assert bleu(text, text)[0] == pytest.approx(100)
    with pytest.raises(ValueError, match="received 1 and 5"):
        exact_match("a cat", list("a cat"))
    for score in (bleu, exact_match):
        for texts, _ in WRONG.values():
            with pytest.raises(TypeError, match="hypotheses"):
                score(texts, ["a"])
            with pytest.raises(TypeError, match="references"):
                score(["a"], texts)


def test_prefixes_are_texts_too(functions, tokenizer):
    translator = kt.Translator(kt.Transformer(320, **SIZES), tokenizer)
    answers = translator.translate(TEXTS, max_length=6, target_prefix=iter(["a"] * 3))
    assert answers == translator.translate(TEXTS, max_length=6, target_prefix="a")
    with pytest.raises(TypeError, match="target_prefix.*decode"):
        translator.translate(TEXTS, target_prefix=b"a")


def test_labels_and_texts_of_a_warm_up_are_no_letters(tokenizer, tmp_path):
    model = kt.EncoderModel(320, num_classes=3, **SIZES)
    with pytest.raises(ValueError, match="1 labels for num_classes=3"):
        kt.TextEncoder(model, tokenizer, labels="abc")
    encoder = kt.TextEncoder(model, tokenizer)
    with pytest.raises(TypeError, match="warmup_texts.*7"):
        kt.serving.export_saved_model(encoder, tmp_path, warmup_texts=["a", 7])


def test_strings_of_other_types_become_strings():
    found, is_one = as_texts(np.array(["a", "b"]))
    assert [type(text) for text in found] == [str, str] and not is_one
