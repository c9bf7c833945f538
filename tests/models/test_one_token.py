"""A sentence of one token is no reason for a warning of Keras's."""

import warnings

import numpy as np
import pytest

import keras_transformer as kt

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
ONE = np.array([[5]])


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.mark.parametrize("encoding", ["sinusoidal", "relative", "alibi"])
def test_a_transformer_reads_writes_and_learns_it(encoding):
    model = kt.Transformer(40, position_encoding=encoding, **SIZES)
    inputs = {"source_ids": ONE, "target_ids": ONE}
    assert model(inputs).shape == (1, 1, 40)
    scores = model.attention_scores(ONE, ONE)
    for kind in ("encoder", "decoder", "cross"):
        np.testing.assert_array_equal(scores[kind][0], np.ones((1, 2, 1, 1)))
    assert model.generate(ONE, max_length=2)["ids"].shape[:2] == (1, 1)
    model.compile(kt.training.Adam(1e-3), kt.training.MaskedCrossentropy())
    assert np.isfinite(model.train_on_batch(inputs, ONE))


def test_so_do_its_halves():
    encoder = kt.EncoderModel(40, num_classes=1, **SIZES)
    assert encoder.embed(ONE).shape == (1, 16)
    assert kt.LanguageModel(40, **SIZES)(ONE).shape == (1, 1, 40)


def test_one_class_has_the_probability_1(tokenizer):
    model = kt.EncoderModel(tokenizer.vocabulary_size, num_classes=1, **SIZES)
    _, scores = kt.TextEncoder(model, tokenizer).classify(["dog"], return_scores=True)
    np.testing.assert_array_equal(scores, [[1.0]])
