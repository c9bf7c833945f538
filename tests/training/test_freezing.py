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


def prefixes(model, part):
    """What the paths of a part's weights begin with, or have in them."""
    return {
        "embeddings": ("/source_embedding/", "/target_embedding/", "/position/"),
        "self_attention": ("/self_attention/",),
        "cross_attention": ("/cross_attention/",),
        "feed_forward": ("/feed_forward/",),
    }.get(part, (f"/{part}/", f"/{part}_"))


@pytest.mark.parametrize("part", [*PARTS, "encoder_1", "decoder_0"])
def test_a_frozen_part_stays_to_the_last_bit_and_has_no_moments(part, tmp_path):
    model = new_model(position_encoding="learned")
    training.freeze(model, [part])
    model.compile(training.Adam(0.01), training.MaskedCrossentropy())
    model.optimizer.build(model.trainable_weights)
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.weights}
    inputs = {"source_ids": IDS, "target_ids": IDS}
    model.fit(inputs, IDS, epochs=2, verbose=0)
    changed = {
        v.path
        for v in model.weights
        if (keras.ops.convert_to_numpy(v) != before[v.path]).any()
    }
    begins = prefixes(model, part)
    expected = {
        path
        for path in before
        if any(
            word in path if word[0] == "/" else path.startswith(word) for word in begins
        )
    }
    assert expected and set(before) - changed == expected
    assert len(model.optimizer.variables) == 2 + 2 * len(changed)
    assert trainable_count(model) == sum(before[path].size for path in changed)


@pytest.mark.parametrize(
    "parts, words",
    [
        (["encodr"], "did you mean 'encoder'"),
        (["embedding"], "did you mean 'embeddings'"),
        (["decoder_9"], "encoder_0, encoder_1, decoder_0, decoder_1"),
        (["encoder_"], "did you mean"),
        ("encoder", "must be a list"),
        ([3], "must hold strings"),
        (["encoder", "decoder", "embeddings"], "all that the model trains"),
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
