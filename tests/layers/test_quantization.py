"""Models and layers in int8."""

import types
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_transformer as kt
from keras_transformer import layers
from keras_transformer.serving.signatures import Signatures

IDS = np.random.default_rng(0).integers(4, 60, (3, 7))


def numbers(tensor):
    tensor = tensor.detach() if hasattr(tensor, "detach") else tensor
    return ops.convert_to_numpy(tensor)


def in_int8(model):
    return [v for v in model.variables if "int8" in str(v.dtype)]


@pytest.mark.slow
def test_a_model_answers_as_before_and_its_file_loads_again(tmp_path):
    model = kt.Transformer(
        60, num_layers=1, hidden_dim=32, num_heads=2, intermediate_dim=64
    )
    inputs = {"source_ids": IDS, "target_ids": IDS}
    before = numbers(model(inputs))
    search = {"beam_size": 2, "max_length": 6}
    model.generate(IDS, **search)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.quantize("int8")
    # The table; two kernels a self-attention, three a cross-attention, two an FFN.
    assert len(in_int8(model)) == 1 + 2 * 2 + 3 + 2 * 2
    after = numbers(model(inputs))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.999
    assert np.abs(before - after).max() < 0.1 * np.abs(before).max()
    answers = model.generate(IDS, **search)
    # A score is that of the model's own logits.
    found = numbers(answers["ids"])[:, 0]
    starts = np.full((3, 1), 2)
    target = np.concatenate([starts, found[:, :-1]], axis=1)
    logits = numbers(model({"source_ids": IDS, "target_ids": target}))
    logs = numbers(ops.log_softmax(logits))
    chosen = np.take_along_axis(logs, found[..., None], axis=2)[..., 0]
    lengths = (found != 0).sum(axis=1)
    scores = (chosen * (found != 0)).sum(axis=1) / ((5 + lengths) / 6) ** 0.6
    np.testing.assert_allclose(numbers(answers["scores"])[:, 0], scores, atol=0.05)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(in_int8(loaded)) == len(in_int8(model))
    np.testing.assert_allclose(numbers(loaded(inputs)), after, atol=1e-5)
    again = numbers(loaded.generate(IDS, **search)["ids"])
    np.testing.assert_array_equal(again, numbers(answers["ids"]))


@pytest.mark.slow
def test_layers_in_people_s_own_models(tmp_path):
    model = keras.Sequential(
        [
            layers.TokenEmbedding(60, 16, use_bias=True),
            layers.PositionalEncoding(),
            layers.EncoderBlock(2, 32, position_encoding="relative"),
            layers.DecoderBlock(2, 32, position_encoding="t5"),
            layers.MaskedPooling(),
            keras.layers.Dense(3),
        ]
    )
    before = numbers(model(IDS))
    with warnings.catch_warnings(record=True) as caught:
        model.quantize("int8")
    # Keras warns of its own input layer.
    assert all("Layer InputLayer" in str(warning.message) for warning in caught)
    after = numbers(model(IDS))
    assert np.abs(before - after).max() < 0.1 * np.abs(before).max()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numbers(loaded(IDS)), after, atol=1e-5)
    found = loaded.predict(IDS, verbose=0)
    np.testing.assert_allclose(found, after, atol=1e-5)


def test_logits_of_a_quantized_table_are_those_of_its_floats():
    layer = layers.TokenEmbedding(60, 16, scale=False)
    layer.build()
    table = numbers(layer.embeddings)
    layer.quantize("int8")
    np.testing.assert_allclose(numbers(layer(np.arange(60))), table, atol=0.01)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 16)).astype("float32")
    expected = x @ table.T
    for projection in (None, layer.output_projection()):
        found = numbers(layer(x, reverse=True, projection=projection))
        assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


@pytest.mark.parametrize("mode", ["int4", "float8"])
def test_other_modes_than_int8_leave_a_model_as_it_was(mode):
    model = kt.LanguageModel(9, 1, 8, 2, 16)
    with pytest.raises(ValueError, match=mode):
        model.quantize(mode)
    assert not in_int8(model)


def test_quantizers_of_one_s_own_are_refused():
    config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    model = kt.LanguageModel(9, 1, 8, 2, 16)
    with pytest.raises(ValueError, match="config"):
        model.quantize(config=config)
    assert not in_int8(model)


def test_what_copies_floats_refuses_a_quantized_model(tmp_path):
    model = kt.Transformer(9, num_layers=1, hidden_dim=8, num_heads=2)
    translator = types.SimpleNamespace(model=model)
    model.quantize("int8")
    for copy in (
        lambda: kt.interop.save_marian(translator, tmp_path),
        lambda: kt.interop.save_ctranslate2(translator, tmp_path),
        lambda: Signatures(translator),
    ):
        with pytest.raises(ValueError, match="int8"):
            copy()
