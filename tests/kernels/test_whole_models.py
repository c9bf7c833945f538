"""A model trains and answers alike with plain and with fast kernels."""

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer import kernels

GENERATOR = np.random.default_rng(0)
SIZE = 600
TARGETS = GENERATOR.integers(4, SIZE, (8, 5), dtype="int32")
SOURCES = GENERATOR.integers(4, SIZE, (8, 6), dtype="int32")
SOURCES[1, 3:] = 0
TARGETS[2, 4:] = 0


def run(make_model, inputs, is_plain):
    """The losses of a few steps, the weights after them, and answers."""
    with kernels.plain_only(is_plain):
        model = make_model()
        generator = np.random.default_rng(1)
        shapes = [weight.shape for weight in model.weights]
        model.set_weights(
            [generator.normal(len(shape) == 1, 0.1, shape) for shape in shapes]
        )
        # With a small epsilon, a gradient of 0 that is rounded takes a whole step.
        model.compile(
            kt.training.Adam(0.01, epsilon=1e-3, global_clipnorm=1.0),
            kt.training.MaskedCrossentropy(0.1),
        )
        losses = [model.train_on_batch(inputs, TARGETS) for _ in range(3)]
        answers = [
            model.generate(SOURCES[:3], max_length=9, **options)
            for options in (
                {"beam_size": 1},
                {"beam_size": 3},
                {"sample": True, "seed": 3, "temperature": 0.7},
                {"sample": True, "seed": 3, "top_k": 5},
            )
        ]
        return np.array(losses), model.get_weights(), answers


def transformer(**options):
    sizes = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
    return kt.Transformer(SIZE, **sizes, dropout=0.0, **options)


def language_model():
    return kt.LanguageModel(
        SIZE,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        dropout=0.0,
        position_encoding="rotary",
    )


PAIRS = {"source_ids": SOURCES, "target_ids": TARGETS}
MODELS = {
    "transformer": (transformer, PAIRS),
    "pre-norm, relative": (
        lambda: transformer(norm_first=True, position_encoding="relative"),
        PAIRS,
    ),
    "language model": (language_model, TARGETS),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_and_answers_alike(name):
    fast, plain = (run(*MODELS[name], is_plain) for is_plain in (False, True))
    assert plain[0][-1] < plain[0][0]
    np.testing.assert_allclose(fast[0], plain[0], rtol=1e-4)
    for one, other in zip(fast[1], plain[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    for one, other in zip(fast[2], plain[2], strict=True):
        np.testing.assert_array_equal(one["ids"], other["ids"])
        np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-3)
