"""Arguments, copies and files of models; inputs without rows or columns."""

import functools
import json
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_transformer as kt
from keras_transformer.layers.attention_position import AttentionPosition

SIZES = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 16}
IDS = np.array([[5, 6, 7], [8, 9, 0]])
MODELS = [kt.Transformer, kt.EncoderModel, kt.LanguageModel]


def inputs(model_class, source=IDS, target=IDS):
    if model_class is kt.Transformer:
        return {"source_ids": source, "target_ids": target}
    return source


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize(
    "wrong, near",
    [
        ("num_layer", "num_layers"),
        ("hidden_size", "hidden_dim"),
        ("heads", "num_heads"),
        ("drop_out", "dropout"),
        ("trainabel", "trainable"),
    ],
)
def test_a_misspelled_argument_is_an_error(model_class, wrong, near):
    words = f"{model_class.__name__}.* '{wrong}' .did you mean '{near}'"
    with pytest.raises(TypeError, match=words):
        model_class(30, **{wrong: 2})
    with pytest.raises(TypeError, match=words):
        model_class.from_preset("mini", 30, **{wrong: 2})


def test_a_name_unlike_any_is_answered_with_all_names():
    with pytest.raises(TypeError, match="'width'.*It takes: activation, .* num_layers"):
        kt.Transformer(30, width=2)


def test_a_run_s_model_is_checked_when_its_configuration_is_made():
    with pytest.raises(ValueError, match="'num_layer'.*did you mean 'num_layers'"):
        kt.RunConfig("source.txt", model={"num_layer": 2})


@pytest.mark.parametrize("position_encoding", ["sinusoidal", "t5", "alibi"])
@pytest.mark.parametrize("model_class", MODELS)
def test_a_clone_is_a_model_of_its_kind(model_class, position_encoding):
    model = model_class(30, position_encoding=position_encoding, name="mine", **SIZES)
    model.compile("adam", "mse")
    clone = keras.models.clone_model(model)
    assert type(clone) is model_class
    assert clone.name == "mine" and clone.compiled
    assert clone.get_config() == model.get_config()
    # T5's tables stay shared, and nothing is shared with the model.
    assert len(clone.weights) == len(model.weights)
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
    clone.set_weights(model.get_weights())
    x = inputs(model_class)
    np.testing.assert_allclose(
        ops.convert_to_numpy(clone(x)), ops.convert_to_numpy(model(x)), atol=1e-5
    )


def test_a_clone_layer_by_layer_is_refused():
    model = kt.LanguageModel(30, **SIZES)
    with pytest.raises(ValueError, match="clone_model copies a LanguageModel as a who"):
        keras.models.clone_model(model, clone_function=lambda layer: layer)


def test_a_model_of_the_user_s_around_one_is_cloned():
    ids = keras.Input((None,), dtype="int32")
    vectors = kt.EncoderModel(30, pooling="mean", **SIZES)(ids)
    clone = keras.models.clone_model(keras.Model(ids, keras.layers.Dense(2)(vectors)))
    assert isinstance(clone.layers[1], kt.EncoderModel)
    assert clone(IDS).shape == (2, 2)


def test_files_that_could_not_be_loaded_are_not_written(tmp_path):
    model = kt.EncoderModel(30, **SIZES)
    for name in ("model.h5", "model.hdf5"):
        with pytest.raises(ValueError, match=r"name must end in \.keras"):
            model.save(tmp_path / name)
        assert not (tmp_path / name).exists()
        with pytest.raises(ValueError, match=r"name must end in \.keras"):
            keras.saving.save_model(model, tmp_path / name)


def test_files_of_weights_are_loaded(tmp_path):
    model, other = kt.EncoderModel(30, **SIZES), kt.EncoderModel(30, **SIZES)
    model.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(other(IDS)), ops.convert_to_numpy(model(IDS))
    )


@pytest.mark.parametrize("shape", [(3, 0), (0, 4), (0, 0)])
def test_inputs_without_rows_or_columns_give_outputs_without(shape):
    ids = np.ones(shape, "int32")
    assert kt.LanguageModel(30, **SIZES)(ids).shape == (*shape, 30)
    assert kt.EncoderModel(30, **SIZES)(ids).shape == (*shape, 16)
    model = kt.Transformer(30, **SIZES)
    source = np.ones((shape[0], 6), "int32")
    logits = model({"source_ids": source, "target_ids": ids})
    assert logits.shape == (*shape, 30)
    assert model({"source_ids": ids, "target_ids": source}).shape == (shape[0], 6, 30)


@pytest.mark.parametrize("pooling", ["mean", "max", "first"])
@pytest.mark.parametrize("shape", [(3, 0), (0, 4), (0, 0)])
def test_vectors_of_nothing_are_zeros(pooling, shape):
    model = kt.EncoderModel(30, pooling=pooling, **SIZES)
    found = ops.convert_to_numpy(model(np.ones(shape, "int32")))
    assert found.shape == (shape[0], 16)
    assert (found == 0).all()


def test_weights_that_are_not_numbers_are_said():
    for model_class in (kt.Transformer, kt.LanguageModel):
        model = model_class(30, **SIZES)
        model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
        for options in ({"beam_size": 1}, {"beam_size": 3}, {"sample": True}):
            with pytest.raises(FloatingPointError, match="weights aren't finite"):
                model.generate(IDS, max_length=4, **options)
            # In a graph the score says so.
            found = kt.decoding.generate(model, IDS, max_length=4, **options)
            assert np.isnan(ops.convert_to_numpy(found["scores"])).all()


@keras.saving.register_keras_serializable("tests")
class Ramp(keras.layers.Layer):
    """A position layer of a user's own."""

    def call(self, x, start_index=0):
        positions = ops.arange(ops.shape(x)[1]) + start_index
        return x + ops.cast(positions, x.dtype)[:, None] * ops.cast([1, 0] * 8, x.dtype)


@keras.saving.register_keras_serializable("tests")
class Turn(AttentionPosition):
    """A position of a user's own inside of attention: later keys score higher."""

    def score_bias(self, queries, query_positions, key_positions):
        distances = key_positions[None, :] - query_positions[:, None]
        return ops.cast(distances, "float32")[None, None]


ENCODINGS = ["sinusoidal", "learned", "rotary", "relative", "t5", "alibi"]
ENCODINGS += [kt.layers.AlibiBias, kt.layers.RelativePositionEmbedding, Ramp, Turn]
ORDER = np.array([[5, 6, 7, 8, 9]])
OTHERS = {
    "reversed": ORDER[:, ::-1],
    "rotated": np.roll(ORDER, 1, axis=1),
    "swapped": ORDER[:, [0, 3, 2, 1, 4]],
}


def changes(position_encoding, model_class, order):
    """The largest change of a model's outputs when its source is in another order."""
    if callable(position_encoding):
        position_encoding = position_encoding()
    keras.utils.set_random_seed(1)
    options = {"pooling": "mean"} if model_class is kt.EncoderModel else {}
    model = model_class(30, position_encoding=position_encoding, **options, **SIZES)
    found = [
        ops.convert_to_numpy(model(inputs(model_class, source, IDS[:1])))
        for source in (ORDER, OTHERS[order])
    ]
    return abs(found[0] - found[1]).max()


@pytest.mark.parametrize("order", OTHERS)
@pytest.mark.parametrize("model_class", [kt.Transformer, kt.EncoderModel])
@pytest.mark.parametrize("position_encoding", ENCODINGS)
def test_every_encoding_tells_sources_in_another_order_apart(
    position_encoding, model_class, order
):
    assert changes(position_encoding, model_class, order) > 1e-3


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("position_encoding", [Ramp, Turn])
def test_padding_changes_nothing_with_positions_of_a_user_s_own(
    position_encoding, model_class
):
    """A layer that loses Keras's mask loses no padding."""
    options = {"pooling": "mean"} if model_class is kt.EncoderModel else {}
    model = model_class(30, position_encoding=position_encoding(), **options, **SIZES)
    padded = np.pad(ORDER, ((0, 0), (0, 3)))
    found = ops.convert_to_numpy(model(inputs(model_class, padded, padded)))
    alone = ops.convert_to_numpy(model(inputs(model_class, ORDER, ORDER)))
    length = 5 if alone.ndim == 3 else None
    np.testing.assert_allclose(found[:, :length], alone, atol=1e-5)


@pytest.mark.parametrize("model_class", [kt.Transformer, kt.EncoderModel])
def test_none_and_the_symmetric_form_of_alibi_are_blind_to_a_reversed_source(
    model_class,
):
    assert changes(None, model_class, "swapped") < 1e-5
    symmetric = functools.partial(kt.layers.AlibiBias, symmetric=True)
    assert changes(symmetric, model_class, "reversed") < 1e-5


@pytest.mark.parametrize("model_class", MODELS)
def test_alibi_of_version_0_1_is_the_symmetric_form(model_class):
    model = model_class(30, position_encoding="alibi", **SIZES)
    config = model.get_config()
    json.dumps(config)

    def is_symmetric(config):
        found = model_class.from_config(config)
        blocks = [
            *getattr(found, "encoder_blocks", ()),
            *getattr(found, "decoder_blocks", ()),
        ]
        return {block.position_encoding.symmetric for block in blocks}

    assert is_symmetric(config) == {False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert is_symmetric({**config, "position_encoding": "alibi"}) == {True}
    # A causal decoder loses nothing.
    said = any("reversed" in str(each.message) for each in caught)
    assert said is (model_class is not kt.LanguageModel)
    # What is read back is written again as it was.
    loaded = model_class.from_config(config)
    assert loaded.config["position_encoding"] == "alibi"
    assert loaded.get_config() == config
