import io
import random
import sys

import pytest

import keras_transformer as kt


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    """A folder that holds a translator, and its model's file."""
    random.seed(0)
    model = kt.Transformer(tokenizer.vocabulary_size, None, 1, 32, 2, 64)
    translator = kt.Translator(model, tokenizer)
    folder = tmp_path_factory.mktemp("saved")
    translator.save(folder / "translator")
    return str(folder), translator


@pytest.fixture
def folder(saved):
    return saved[0]


@pytest.fixture
def type_in(monkeypatch):
    """Gives bytes to standard input; None closes it."""

    def give(content):
        stream = content if content is None else io.TextIOWrapper(io.BytesIO(content))
        monkeypatch.setattr(sys, "stdin", stream)

    return give
