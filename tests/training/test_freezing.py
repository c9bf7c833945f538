"""Frozen parts stay as they are, to the last bit, also after saving and loading."""

import keras
import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer import training
from keras_transformer.training.freezing import PARTS, trainable_count

SIZES = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
IDS = np.random.default_rng(0).integers(4, 40, (4, 7))


def new_model(**changes):
    keras.utils.set_random_seed(1)
    return kt.Transformer(40, 40, **{**SIZES, "norm_first": True, **changes})


# What the paths of a part's weights have in them, where it isn't the part's name.
PATHS = {
    "embeddings": ("/source_embedding/", "/target_embedding/", "/position/"),
    "encoder": ("/encoder_",),
    "decoder": ("/decoder_",),
}


def values(model):
    return {v.path: keras.ops.convert_to_numpy(v) for v in model.weights}


def paths_of(model, part):
    words = PATHS.get(part, (f"/{part}/",))
    return {p for p in values(model) if any(word in f"/{p}" for word in words)}


@pytest.mark.parametrize("part", [*PARTS, "encoder_1", "decoder_0"])
def test_what_a_name_means_is_frozen_and_nothing_else(part):
    model = new_model(position_encoding="learned")
    expected = paths_of(model, part)
    training.freeze(model, [part])
    assert expected == {v.path for v in model.weights if not v.trainable}
    count = sum(values(model)[path].size for path in expected)
    assert 0 < count == model.count_params() - trainable_count(model)


def test_a_frozen_part_stays_to_the_last_bit_and_has_no_moments(tmp_path):
    """Also after the model was saved and loaded."""
    model = new_model(position_encoding="learned")
    frozen = paths_of(model, "encoder") | paths_of(model, "cross_attention")
    training.freeze(model, ["encoder", "cross_attention"])
    model.compile(training.Adam(0.01), training.MaskedCrossentropy())
    model.optimizer.build(model.trainable_weights)
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    before = values(model)
    model.fit({"source_ids": IDS, "target_ids": IDS}, IDS, epochs=2, verbose=0)
    after = values(model)
    assert frozen == {p for p in before if (after[p] == before[p]).all()}
    # Adam's count and rate, and two moments of the others.
    assert len(model.optimizer.variables) == 2 + 2 * (len(before) - len(frozen))


@pytest.mark.parametrize(
    "parts, words",
    [
        (["encodr"], "did you mean 'encoder'"),
        (["embedding"], "did you mean 'embeddings'"),
        (["decoder_9"], "encoder_0, encoder_1, decoder_0, decoder_1"),
        (["encoder_"], "did you mean"),
        ("encoder", "must be a list"),
        ([3], "must hold strings"),
        (
            ["encoder", "decoder", "embeddings"],
            "freeze has all parts that the model trains",
        ),
    ],
)
def test_a_wrong_name_is_told_and_freezes_nothing(parts, words):
    model = new_model()
    with pytest.raises((ValueError, TypeError), match=words):
        training.freeze(model, parts)
    assert len(model.trainable_weights) == len(model.weights)


def test_one_shared_embedding_is_no_side_s():
    model = kt.Transformer(40, **SIZES)
    with pytest.raises(ValueError, match="freeze 'embeddings'"):
        training.freeze(model, ["source_embedding"])


def test_models_of_one_side_have_the_parts_they_have():
    model = kt.LanguageModel(40, **SIZES)
    training.freeze(model, ["embeddings"])
    assert not model.target_embedding.embeddings.trainable
    with pytest.raises(ValueError, match="doesn't have"):
        training.freeze(model, ["encoder"])
