"""A text without a visible character is its own answer in every signature."""

import pathlib

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.serving import export_saved_model
from tests.serving.conftest import SIZES, Export

MARIAN = pathlib.Path(__file__).parents[1] / "interop" / "tiny-marian"
BLANK = ["", " ", "\n\t\n", "\u3000", "\u200b\ufeff", "\xad", "\x00", " " * 3000]
TEXTS = ["the dog", *BLANK, "a cat"]
ALL_BLANK = [b.encode() for b in BLANK]


@pytest.fixture(scope="module")
def compiled(tokenizer, tmp_path_factory):
    """An export of a greedy search with XLA's signatures."""
    translator = kt.Translator(
        kt.Transformer(320, **SIZES),
        tokenizer,
        max_source_length=8,
        search_options={"extra_length": 2, "beam_size": 1},
    )
    return Export(
        export_saved_model(
            translator,
            tmp_path_factory.mktemp("compiled"),
            signatures=["serving_default_xla", "with_options"],
            xla_buckets=[(16, 8)],
            warmup_batch_sizes=(),
        )
    )


@pytest.mark.parametrize(
    "name", ["serving_default", "document", "explain", "serving_default_xla"]
)
@pytest.mark.parametrize("texts", [TEXTS, BLANK])
def test_blank_texts_are_answered_with_themselves(signatures, compiled, name, texts):
    export = compiled if name.endswith("xla") else signatures
    found = export(name, text=texts)
    first = texts.index(BLANK[0])
    rows = slice(first, first + len(BLANK))
    assert found["translation"][rows].tolist() == ALL_BLANK
    assert not found["truncated"].any()
    for scores in ("score", "log_probs", "num_tokens", "num_sentences"):
        assert not np.any(found.get(scores, np.zeros(99))[rows])
    if texts is TEXTS:
        alone = export(name, text=TEXTS[:1])
        assert found["translation"][0] == alone["translation"][0] != b""


def test_blank_texts_have_as_many_answers_as_were_asked_for(signatures):
    found = signatures("n_best", text=TEXTS)
    for row, text in enumerate(ALL_BLANK, 1):
        assert found["translations"][row].tolist() == [text] * 3
    assert not found["scores"][1:-1].any() and found["scores"][[0, -1]].all()
    count = len(BLANK)
    found = signatures("translate", text=BLANK, num_hypotheses=[2] * count)
    assert found["num_hypotheses"].tolist() == [2] * count
    assert found["translations"].tolist() == [[text] * 2 for text in ALL_BLANK]
    assert found["scores"].tolist() == [[0.0] * 2] * count


@pytest.mark.parametrize("options", ["", "sample=1 seed=3", "num_hypotheses=1"])
def test_blank_texts_come_after_a_prefix(signatures, compiled, options):
    for export in (signatures, compiled):
        text = f"{options} target_prefix=the dog"
        found = export("with_options", text=TEXTS, options=[text])
        expected = [b"the dog" + text for text in ALL_BLANK]
        assert found["translations"][1:-1, 0].tolist() == expected
        assert found["scores"][1:-1, 0].tolist() == [0.0] * len(BLANK)


def test_a_blank_row_with_a_wrong_option_still_says_so(signatures):
    found = signatures("with_options", text=["", " "], options=["x=1", ""])
    assert found["error"][0] and not found["error"][1]
    assert found["translations"].tolist() == [[b""], [b" "]]
    assert found["scores"].tolist() == [[pytest.approx(-1e9)], [0.0]]


def test_a_blank_source_has_one_answer_that_is_certain(signatures):
    references = ["", " ", "the dog", "\u200b"]
    found = signatures("score", text=BLANK[:4], reference=references)
    assert found["log_prob"].tolist() == [0.0, 0.0, pytest.approx(-1e9), 0.0]
    assert found["num_tokens"].tolist()[:2] == [0, 0]


def test_blank_texts_have_the_vector_of_an_empty_one(signatures):
    found = signatures("encode", text=BLANK)
    assert np.all(np.isfinite(found["embedding"])) and not found["truncated"].any()
    np.testing.assert_allclose(
        found["embedding"], found["embedding"][:1].repeat(len(BLANK), 0), atol=1e-6
    )


def test_token_ids_ask_the_model_whatever_they_say(signatures):
    found = signatures("token_ids", source_ids=[[3]], source_length=[1])
    assert found["output_length"][0] > 0 and found["error"] == [b""]


@pytest.mark.long
def test_white_space_after_a_language_token_is_its_own_answer(tmp_path):
    translator = kt.interop.load_marian(MARIAN)
    names = ["n_best", "document", "with_options"]
    export = Export(
        export_saved_model(
            translator, tmp_path, signatures=names, warmup_batch_sizes=()
        )
    )
    texts = [f">>fra<<{blank}" for blank in ("", " \t", "\n", "\u3000", "\u200b \n")]
    expected = [b"", b"", b"\n", "\u3000".encode(), "\u200b \n".encode()]
    for name in ("serving_default", "document"):
        assert export(name, text=texts)["translation"].tolist() == expected
    for name, more in (("n_best", {}), ("with_options", {"options": [""]})):
        found = export(name, text=texts, **more)["translations"]
        assert found[:, 0].tolist() == found[:, -1].tolist() == expected
