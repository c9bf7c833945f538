"""`document` gives a translator's answers to whole texts."""

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.serving import documents, export_saved_model
from tests.serving.conftest import SIZES, Export

TEXTS = [
    "The dog runs. A cat sleeps.\n\n  The woman sees.",
    "the house",
    "",
    " \n",
    "One. Two. " * 9,
    "cat " * 100,
]


def own(translator, texts=TEXTS, **options):
    answers = translator.translate(texts, split=True, **options)
    return [answer.encode() for answer in answers]


def test_documents_are_the_translator_s(signatures, small_translator):
    expected = own(small_translator, beam_size=3, max_length=6)
    for name in ("document", "document_with_options"):
        found = signatures(name, text=TEXTS)
        assert found["translation"].tolist() == expected
        assert found["num_sentences"].tolist()[:5] == [3, 1, 0, 0, 18]
        assert found["num_sentences"][5] > 1
        assert not any(found["truncated"]) and not any(found["error"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"length_penalty": 2.0},
        {"max_length": 3},
        {"min_length": 5},
        {"target_prefix": "dog"},
    ],
)
def test_a_sentence_alone_has_its_options(signatures, small_translator, options):
    text = ["the small dog"]
    given = " ".join(f"{name}={value}" for name, value in options.items())
    found = signatures("document_with_options", text=text, options=[given])
    expected = own(
        small_translator, text, **{"beam_size": 3, "max_length": 6, **options}
    )
    assert found["translation"].tolist() == expected


def test_each_text_has_options_of_its_own(signatures, small_translator):
    penalties, lengths = [0.0, 2.0, 0.6], [4, 0, 9]
    prefixes = ["dog", "", "the cat"]
    texts = [TEXTS[0], TEXTS[4], TEXTS[3]]
    inputs = {"length_penalty": penalties, "max_length": lengths}
    found = signatures("document", text=texts, target_prefix=prefixes, **inputs)
    options = [
        f"length_penalty={p} max_length={n} target_prefix={t}"
        for p, n, t in zip(penalties, lengths, prefixes)
    ]
    again = signatures("document_with_options", text=texts, options=options)
    assert found["translation"].tolist() == again["translation"].tolist()
    for row, text in enumerate(texts):
        (expected,) = own(
            small_translator,
            [text],
            beam_size=3,
            length_penalty=penalties[row],
            # The export's own most; 0 is by the source's length.
            max_length=lengths[row] or None,
            target_prefix=prefixes[row],
        )
        assert found["translation"][row] == expected


def test_a_sampled_document_is_the_translator_s(signatures, small_translator):
    options = "sample=1 seed=5 temperature=3"
    found = signatures("document_with_options", text=TEXTS[:2], options=[options])
    given = {"beam_size": 3, "max_length": 6, "sample": True, "temperature": 3.0}
    expected = own(small_translator, TEXTS[:2], seed=[5, 5], **given)
    assert found["translation"].tolist() == expected


@pytest.mark.parametrize("searches", [1, 2])
@pytest.mark.long
def test_many_sentences_are_searched_in_parts(
    tokenizer, tmp_path, monkeypatch, searches
):
    monkeypatch.setattr(documents, "_TOKENS_PER_SEARCH", 100)
    translator = kt.Translator(
        kt.Transformer(320, **SIZES),
        tokenizer,
        max_source_length=32,
        search_options={"extra_length": 3},
    )
    path = export_saved_model(
        translator,
        tmp_path,
        signatures=["document"],
        parallel_searches=searches,
        warmup_batch_sizes=(),
    )
    generator = np.random.default_rng(0)
    words = ["dog", "cat", "the old house", "woman", "sees"]
    texts = [
        " ".join(
            " ".join(generator.choice(words, generator.integers(1, 6))) + "."
            for _ in range(generator.integers(1, 40))
        )
        for _ in range(5)
    ]
    found = Export(path)("document", text=texts)
    assert found["translation"].tolist() == own(translator, texts)


def test_only_what_is_left_out_is_truncated(tokenizer, tmp_path):
    translator = kt.Translator(
        kt.Transformer(320, **SIZES),
        tokenizer,
        max_source_length=3,
        search_options={"extra_length": 3},
    )
    path = export_saved_model(
        translator, tmp_path, signatures=["document"], warmup_batch_sizes=()
    )
    # A character outside of the vocabulary is four bytes, each a token.
    texts = ["the dog sees the cat", "a \U0001f600", "a", " "]
    found = Export(path)("document", text=texts)
    assert found["truncated"].tolist() == [False, True, False, False]
    with pytest.warns(UserWarning, match="1 of"):
        translator.translate(texts[1], split=True)
