"""What Keras asks of every layer: round trips, masks, specs, other layers around."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras.src.testing import TestCase

from keras_transformer import layers

WIDTH = 8
LAYERS = {
    "PositionalEncoding": {},
    "LearnedPositionalEncoding": {"max_length": 9},
    "RotaryEmbedding": {},
    "MultiHeadAttention": {"num_heads": 2},
    "FeedForward": {"intermediate_dim": 16},
    "EncoderBlock": {"num_heads": 2, "intermediate_dim": 16},
    "DecoderBlock": {"num_heads": 2, "intermediate_dim": 16},
}
NUM_WEIGHTS = {
    "PositionalEncoding": 0,
    "LearnedPositionalEncoding": 1,
    "RotaryEmbedding": 0,
    "MultiHeadAttention": 4,
    "FeedForward": 4,
    "EncoderBlock": 12,
    "DecoderBlock": 12,
}


@pytest.mark.parametrize("name", LAYERS)
def test_passes_keras_own_layer_test(name):
    TestCase().run_layer_test(
        getattr(layers, name),
        init_kwargs=LAYERS[name],
        input_shape=(2, 5, WIDTH),
        expected_output_shape=(2, 5, WIDTH),
        expected_num_trainable_weights=NUM_WEIGHTS[name],
        supports_masking=True,
    )


@pytest.mark.parametrize("name, weights", [("T5PositionBias", 1), ("AlibiBias", 0)])
def test_biases_of_scores_pass_keras_own_layer_test(name, weights):
    TestCase().run_layer_test(
        getattr(layers, name),
        init_kwargs={},
        input_shape=(2, 4, 5, 5),
        expected_output_shape=(2, 4, 5, 5),
        expected_num_trainable_weights=weights,
        supports_masking=True,
    )


@pytest.mark.parametrize("name", ["rotary", "relative", "t5", "alibi"])
def test_blocks_with_positions_pass_keras_own_layer_test(name):
    weights = {"rotary": 0, "relative": 2, "t5": 1, "alibi": 0}[name]
    for block in (layers.EncoderBlock, layers.DecoderBlock):
        TestCase().run_layer_test(
            block,
            init_kwargs={
                "num_heads": 2,
                "intermediate_dim": 16,
                "position_encoding": name,
            },
            input_shape=(2, 5, WIDTH),
            expected_output_shape=(2, 5, WIDTH),
            expected_num_trainable_weights=12 + weights,
            supports_masking=True,
        )


def test_token_embedding_passes_keras_own_layer_test():
    TestCase().run_layer_test(
        layers.TokenEmbedding,
        init_kwargs={"vocabulary_size": 10, "hidden_dim": WIDTH},
        input_shape=(2, 5),
        input_dtype="int32",
        expected_output_shape=(2, 5, WIDTH),
        expected_num_trainable_weights=1,
        expected_num_seed_generators=0,
        supports_masking=True,
        run_training_check=False,
    )


def network():
    """All the layers between ordinary ones of Keras."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.TokenEmbedding(11, WIDTH)(ids)
    x = layers.PositionalEncoding()(x)
    x = keras.layers.Dense(WIDTH)(x)
    x = layers.EncoderBlock(2, 16, activation="gelu", norm_first=True)(x)
    attended = layers.MultiHeadAttention(2)(x, use_causal_mask=True)
    x = keras.layers.Add()([x, attended])
    x = layers.FeedForward(16)(x)
    memory = keras.layers.LayerNormalization()(x)
    x = layers.DecoderBlock(2, 16)(x, memory)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(ids, keras.layers.Dense(3)(x))


@pytest.mark.process
def test_saved_model_loads_in_a_fresh_process_without_custom_objects(tmp_path):
    model, ids = network(), np.array([[1, 2, 3, 0], [4, 5, 0, 0]])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "ids.npy", ids)
    code = (
        "import keras, numpy, keras_transformer\n"
        f"model = keras.models.load_model({str(tmp_path / 'model.keras')!r})\n"
        f"ids = numpy.load({str(tmp_path / 'ids.npy')!r})\n"
        f"numpy.save({str(tmp_path / 'out.npy')!r}, model.predict(ids, verbose=0))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found, model.predict(ids, verbose=0), atol=1e-6)


def test_padding_changes_nothing_in_a_network_of_keras_layers():
    model = network()
    short = model.predict(np.array([[1, 2, 3]]), verbose=0)
    padded = model.predict(np.array([[1, 2, 3, 0, 0, 0]]), verbose=0)
    np.testing.assert_allclose(short, padded, atol=1e-5)


def test_sequential_model_of_blocks_trains_compiled_by_xla():
    model = keras.Sequential(
        [
            layers.TokenEmbedding(11, WIDTH),
            layers.PositionalEncoding(),
            layers.EncoderBlock(2, 16),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(1),
        ]
    )
    ids = np.random.default_rng(0).integers(1, 11, (64, 6))
    labels = (ids == 3).any(axis=1).astype("float32")[:, None]
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=True)
    losses = model.fit(ids, labels, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_computes_in_the_policy_s_dtype(name, policy):
    layer = getattr(layers, name)(**LAYERS[name], dtype=policy)
    output = layer(np.ones((2, 3, WIDTH), "float32"))
    assert keras.backend.standardize_dtype(output.dtype) == policy.split("_")[1]
    assert all(weight.dtype == "float32" for weight in layer.weights)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: layers.MultiHeadAttention(0), ["num_heads", "0"]),
        (lambda: layers.MultiHeadAttention(2, dropout=1.5), ["dropout", "1.5"]),
        (lambda: layers.FeedForward(-1), ["intermediate_dim", "-1"]),
        (lambda: layers.EncoderBlock(2, 16, dropout=-0.1), ["dropout", "-0.1"]),
        (lambda: layers.PositionalEncoding(layout="spiral"), ["layout", "spiral"]),
        (lambda: layers.EncoderBlock(3, 16)(np.ones((1, 2, 8))), ["num_heads=3"]),
    ],
)
def test_bad_arguments_are_named_with_their_value(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    "layer",
    [
        layers.MultiHeadAttention(2),
        layers.EncoderBlock(2, 16),
        layers.DecoderBlock(2, 16),
        layers.FeedForward(16),
        layers.PositionalEncoding(),
        layers.LearnedPositionalEncoding(9),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_tensor_s_own_shape_builds_a_layer(layer):
    """Each backend has a class of its own for shapes."""
    x = keras.ops.ones((2, 5, 8))
    layer.build(x.shape)
    assert layer.built and tuple(layer(x).shape) == (2, 5, 8)
