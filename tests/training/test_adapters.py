"""LoRA: updates are trained, all else stays; files hold both, or the updates alone."""

import math
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_transformer as kt
from keras_transformer import layers, training
from keras_transformer.layers import core
from keras_transformer.layers.lora import base_weights, lora_layers, without_lora

MARIAN = pathlib.Path(__file__).parents[1] / "interop" / "tiny-marian"
SIZES = {"num_layers": 1, "hidden_dim": 32, "num_heads": 2, "intermediate_dim": 64}
IDS = np.random.default_rng(0).integers(4, 60, (4, 7))
INPUTS = {"source_ids": IDS, "target_ids": IDS}
KINDS = {
    "tied": {},
    "two vocabularies": {"target_vocabulary_size": 50},
    "relative, gelu, bias": {
        "position_encoding": "relative",
        "activation": "gelu",
        "logits_bias": True,
    },
    "learned, pre-norm": {"position_encoding": "learned", "norm_first": True},
}


def numbers(tensor):
    tensor = tensor.detach() if hasattr(tensor, "detach") else tensor
    return ops.convert_to_numpy(tensor)


def new_model(**changes):
    keras.utils.set_random_seed(1)
    return kt.Transformer(60, **{**SIZES, "dropout": 0.0, **changes})


def randomized(model, seed=0):
    """The model, whose updates aren't zeros."""
    generator = np.random.default_rng(seed)
    for layer in lora_layers(model):
        for weight in layer.lora_weights[1:]:
            weight.assign(generator.normal(0, 0.1, weight.shape))
    return model


def trained(model, steps=3):
    model.compile(training.Adam(0.01), training.MaskedCrossentropy())
    model.fit(INPUTS, IDS % 49 + 1, epochs=steps, verbose=0)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_training_changes_the_updates_and_nothing_else(kind):
    model = new_model(**KINDS[kind])
    inputs = {**INPUTS, "target_ids": IDS % 49 + 1}
    plain = numbers(model(inputs))
    training.enable_lora(model, 4)
    # B is zero at the start.
    np.testing.assert_allclose(numbers(model(inputs)), plain, atol=1e-6)
    before = [numbers(weight) for weight in base_weights(model)]
    model.compile(training.Adam(0.01), training.MaskedCrossentropy())
    model.fit(inputs, IDS % 49 + 1, epochs=3, verbose=0)
    for old, new in zip(before, base_weights(model), strict=True):
        np.testing.assert_array_equal(numbers(new), old)
    for layer in lora_layers(model):
        for weight in layer.lora_weights[1:]:
            assert np.abs(numbers(weight)).max() > 0
    # Adam's two moments of each update, its count and its rate.
    updates = 2 * len(lora_layers(model))
    assert len(model.trainable_weights) == updates
    assert len(model.optimizer.variables) == 2 + 2 * updates


@pytest.mark.parametrize("kind", KINDS)
def test_merged_is_the_model_with_its_updates(kind):
    model = new_model(**KINDS[kind])
    inputs = {**INPUTS, "target_ids": IDS % 49 + 1}
    training.enable_lora(model, 4, alpha=6)
    randomized(model)
    expected = numbers(model(inputs))
    copy = without_lora(model)
    assert not lora_layers(copy) and lora_layers(model)
    np.testing.assert_allclose(numbers(copy(inputs)), expected, atol=1e-5)
    training.merge_lora(model)
    np.testing.assert_allclose(numbers(model(inputs)), expected, atol=1e-5)
    assert len(model.weights) == len(copy.weights) == len(model.trainable_weights)


def test_a_search_follows_updates_and_merging():
    model = new_model(logits_bias=True)
    search = {"beam_size": 2, "max_length": 4}
    before = model.generate(IDS, **search)
    training.enable_lora(model, 4)
    randomized(model)
    found = model.generate(IDS, **search)
    assert np.abs(numbers(found["scores"]) - numbers(before["scores"])).max() > 1e-3
    training.merge_lora(model)
    merged = model.generate(IDS, **search)
    np.testing.assert_array_equal(numbers(merged["ids"]), numbers(found["ids"]))
    np.testing.assert_allclose(
        numbers(merged["scores"]), numbers(found["scores"]), atol=1e-4
    )


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("name", ["dense", "embedding", "logits"])
def test_values_and_gradients_are_those_of_the_merged_matrix(name, is_training):
    """With the fast forms of `kernels` as with the plain ones."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients by TensorFlow's tape")
    generator = np.random.default_rng(0)
    if name == "dense":
        layer = core.Dense(12, activation="tanh")
        inputs = tf.constant(generator.normal(size=(5, 3, 8)), "float32")
        layer.build(inputs.shape)
    else:
        layer = layers.TokenEmbedding(12, 8, use_bias=True)
        layer.build()
        inputs = tf.constant(generator.integers(1, 12, (5, 3)))
        if name == "logits":
            inputs = tf.constant(generator.normal(size=(5, 3, 8)), "float32")
    layer.enable_lora(2, lora_alpha=3)
    weight, a, b = layer.lora_weights
    b.assign(generator.normal(size=b.shape))
    more = {"reverse": True} if name == "logits" else {}
    if name == "dense":
        more = {"training": is_training}
    factors = None

    def run(w, a, b, x):
        if name == "embedding":
            return tf.gather(w + 1.5 * a @ b, x) * 8**0.5
        if name == "logits":
            return x @ tf.transpose(w + 1.5 * a @ b) + layer.bias
        return tf.tanh(x @ (w + 1.5 * a @ b) + layer.bias)

    for call in ("layer", "formula"):
        with tf.GradientTape() as tape:
            tape.watch([each.value for each in (a, b)])
            if call == "layer":
                outputs = layer(inputs, **more)
            else:
                outputs = run(weight.value, a.value, b.value, inputs)
            if factors is None:
                factors = tf.constant(generator.normal(size=outputs.shape), "float32")
            loss = tf.reduce_sum(outputs * factors)
        gradients = tape.gradient(loss, [a.value, b.value])
        gradients = [tf.convert_to_tensor(each).numpy() for each in gradients]
        if call == "layer":
            found = outputs.numpy(), *gradients
        else:
            expected = outputs.numpy(), *gradients
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_training_goes_on_from_a_file_to_the_last_bit(tmp_path):
    """With the frozen weights frozen, and no moments for them."""
    model = new_model(dropout=0.1)
    training.freeze(model, ["decoder_0"])
    training.enable_lora(model, 4, alpha=6)
    trained(model, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(lora_layers(loaded)) == len(lora_layers(model)) > 0
    assert [v.trainable for v in loaded.weights] == [v.trainable for v in model.weights]
    for each in (model, loaded):
        keras.utils.set_random_seed(5)
        each.fit(INPUTS, IDS % 49 + 1, epochs=2, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_without_compilation_has_its_updates(tmp_path):
    model = new_model()
    training.enable_lora(model, 4)
    randomized(model).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numbers(loaded(INPUTS)), numbers(model(INPUTS)))


def test_an_adapter_alone_makes_of_the_base_the_trained_model(tmp_path):
    base = new_model(target_vocabulary_size=50)
    before = base.get_weights()
    training.enable_lora(base, 4, alpha=2)
    randomized(base)
    inputs = {**INPUTS, "target_ids": IDS % 49 + 1}
    expected = numbers(base(inputs))
    training.save_adapter(base, tmp_path / "a.safetensors")
    size = (tmp_path / "a.safetensors").stat().st_size
    updates = sum(math.prod(v.shape) for v in base.trainable_weights)
    assert 4 * updates < size < 4 * updates + 10_000
    again = new_model(target_vocabulary_size=50)
    again.set_weights(before)
    training.load_adapter(again, tmp_path / "a.safetensors")
    np.testing.assert_allclose(numbers(again(inputs)), expected, atol=1e-6)
    assert len(again.trainable_weights) == len(base.trainable_weights)


def test_an_adapter_of_other_weights_warns_and_of_another_size_is_refused(tmp_path):
    model = new_model()
    training.enable_lora(model, 4)
    path = tmp_path / "a.safetensors"
    training.save_adapter(model, path)
    other = new_model()
    other.decoder_blocks[0].feed_forward.outer.bias.assign(np.ones(32))
    with pytest.warns(UserWarning, match="trained on other weights"):
        training.load_adapter(other, path)
    for changes in ({"hidden_dim": 16}, {"target_vocabulary_size": 60}):
        with pytest.raises(ValueError, match="another model"):
            training.load_adapter(new_model(**changes), path)
    with pytest.raises(ValueError, match="has LoRA already"):
        training.load_adapter(model, path)
    with pytest.raises(FileNotFoundError, match="nothing"):
        training.load_adapter(new_model(), tmp_path / "nothing")
    content = path.read_bytes()
    for broken in (b"", b"{}", content[:-9], content[:50]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="a.safetensors"):
            training.load_adapter(new_model(), path)


def test_what_lora_cannot_be_given_to_is_refused():
    model = new_model()
    for rank, error in ((0, ValueError), (-1, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="rank"):
            training.enable_lora(model, rank)
    with pytest.raises(ValueError, match="no LoRA to save"):
        training.save_adapter(model, "never.safetensors")
    training.enable_lora(model, 2)
    with pytest.raises(ValueError, match="has LoRA already"):
        training.enable_lora(model, 2)
    in_int8 = new_model()
    in_int8.source_embedding.quantize("int8")
    with pytest.raises(ValueError, match="int8"):
        training.enable_lora(in_int8, 2)
    with pytest.raises(ValueError, match="int8"):
        in_int8.source_embedding.enable_lora(2)


def test_quantizing_takes_the_updates_with_it():
    model = new_model()
    training.enable_lora(model, 4)
    expected = numbers(randomized(model)(INPUTS))
    for layer in (model.source_embedding, model.decoder_blocks[0].feed_forward.inner):
        layer.quantize("int8")
        assert layer not in lora_layers(model)
    found = numbers(model(INPUTS))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_positions_of_a_model_with_lora_are_interpolated():
    model = new_model(position_encoding="learned")
    training.enable_lora(model, 4)
    longer = randomized(model).with_max_length(600)
    assert longer.max_length == 600 and not lora_layers(longer)


def test_mixed_precision_trains_updates_in_float32():
    model = new_model(dtype="mixed_bfloat16")
    training.enable_lora(model, 4)
    trained(model)
    assert all(v.dtype == "float32" for v in model.trainable_weights)
    assert np.isfinite(numbers(ops.cast(model(INPUTS), "float32"))).all()


def test_exports_and_other_formats_get_updates_merged(tmp_path):
    pytest.importorskip("tensorflow")
    from keras_transformer.serving.exported_weights import ExportedWeights

    translator = kt.interop.load_marian(MARIAN)
    model = translator.model
    training.enable_lora(model, 2)
    randomized(model)
    ids = IDS % 20 + 1
    inputs = {"source_ids": ids, "target_ids": ids}
    expected = numbers(model(inputs))
    with ExportedWeights(model).in_use() as exported:
        assert not lora_layers(exported)
        np.testing.assert_allclose(numbers(exported(inputs)), expected, atol=1e-4)
    kt.interop.save_marian(translator, tmp_path / "marian")
    again = kt.interop.load_marian(tmp_path / "marian").model
    np.testing.assert_allclose(
        numbers(again(inputs))[..., 1:], expected[..., 1:], atol=1e-4
    )
    assert lora_layers(model)
