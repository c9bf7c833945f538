"""The lines of save_ctranslate2's docstring give the answers that ours are."""

import pathlib
import random
import re

import pytest

import keras_transformer as kt
from tests.conftest import WORDS
from tests.interop.marian_models import sentences

pytest.importorskip("ctranslate2")
TESTS = pathlib.Path(__file__).parents[1]
TRAINED = TESTS / "fixtures" / "version_0_1" / "run" / "translator"


def written_lines():
    """The example's lines, as a user would paste them."""
    example = kt.interop.save_ctranslate2.__doc__.split("Example:")[1]
    lines = re.findall(r"^ *(?:>>>|\.\.\.) (.*)$", example, re.M)
    return "\n".join(lines)


def both(translator, texts, folder, max_length=256):
    """Our answers and CTranslate2's, each by the written lines."""
    documented = kt.interop.save_ctranslate2.__doc__
    ours = re.search(r"`(translator\.translate\(.*?\))`", documented, re.S)[1]
    names = {"kt": kt, "translator": translator, "texts": texts}
    lines = written_lines().replace("ct2/en-de", str(folder))
    exec(lines.replace("256", str(max_length)), names)
    call = " ".join(ours.split()).replace("256", str(max_length))
    return eval(call, names), names["answers"]


def test_the_trained_translator_answers_alike(tmp_path):
    generator = random.Random(5)
    texts = [
        " ".join(generator.choices(WORDS, k=generator.randrange(1, 7)))
        for _ in range(120)
    ]
    texts += [
        "  the dog ",
        "the\u2581dog",
        "\x1a cat",
        "na\u00efve \U0001f600",
        "old  old",
    ]
    ours, theirs = both(kt.Translator.load(TRAINED), texts, tmp_path / "ct2")
    assert [pair for pair in zip(ours, theirs) if pair[0] != pair[1]] == []
    assert len(set(ours)) > 50


def test_pieces_of_any_text_are_ours(tokenizer):
    import sentencepiece

    from keras_transformer.interop.plain_sentencepiece import plain_model

    plain = sentencepiece.SentencePieceProcessor(model_proto=plain_model(tokenizer))
    generator = random.Random(0)
    parts = [
        "a",
        "the",
        "\u2581",
        "\x1a",
        "0",
        "1",
        " ",
        "\u00e9",
        "\n",
        "\u4e2d",
        "\ufb01",
    ]
    texts = [
        "".join(generator.choices(parts, k=generator.randrange(8))) for _ in range(500)
    ]
    assert plain.encode(texts) == tokenizer.tokenize(texts).to_list()
    assert plain.decode(plain.encode(texts)) == texts


def test_a_marian_translator_answers_alike(tmp_path):
    translator = kt.interop.load_marian(TESTS / "interop" / "tiny-marian")
    texts = [text for text, _ in sentences(100, seed=3)]
    # Random weights repeat a word up to the limit.
    ours, theirs = both(translator, texts, tmp_path / "ct2", max_length=16)
    assert [pair for pair in zip(ours, theirs) if pair[0] != pair[1]] == []
