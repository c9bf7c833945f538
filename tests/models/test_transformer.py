import keras
import numpy as np
import pytest

import keras_transformer as kt


def small(**kwargs):
    sizes = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
    return kt.Transformer(20, **{**sizes, **kwargs})


def ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(4, 20, shape)


def logits(model, source, target):
    inputs = {"source_ids": np.asarray(source), "target_ids": np.asarray(target)}
    return np.asarray(model(inputs, training=False))


@pytest.mark.parametrize("preset, millions", [("base", 63.1), ("big", 214.3)])
def test_presets_have_the_paper_s_number_of_parameters(preset, millions):
    model = kt.Transformer.from_preset(preset, 37_000)
    assert model.count_params() / 1e6 == pytest.approx(millions, abs=0.5)


def test_is_a_functional_model_whose_parts_can_be_extracted():
    model = small()
    assert isinstance(model, keras.src.models.functional.Functional)
    layer = next(x for x in model.layers if isinstance(x, kt.layers.EncoderBlock))
    part = keras.Model(model.inputs, layer.output)
    source, target = ids(2, 5), ids(2, 4)
    vectors = part({"source_ids": source, "target_ids": target})
    assert vectors.shape == (2, 5, 16)
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert "Total params" in "".join(lines)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("target_size", [None, 13])
def test_keras_file_gives_the_model_back(tmp_path, norm_first, target_size):
    model = small(norm_first=norm_first, target_vocabulary_size=target_size)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, kt.Transformer)
    source, target = ids(2, 5), ids(2, 4) % 13
    np.testing.assert_array_equal(
        logits(model, source, target), logits(loaded, source, target)
    )


POSITIONS = ["sinusoidal", "learned", "rotary", "relative", "t5", "alibi", None]


@pytest.mark.parametrize("position_encoding", POSITIONS)
def test_keras_file_gives_every_position_encoding_back(tmp_path, position_encoding):
    model = small(position_encoding=position_encoding)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.config["position_encoding"] == position_encoding
    source, target = ids(2, 5), ids(2, 4)
    np.testing.assert_array_equal(
        logits(model, source, target), logits(loaded, source, target)
    )


def test_keras_file_gives_a_layer_of_positions_back(tmp_path):
    layer = kt.layers.T5PositionBias(num_buckets=8, max_distance=20)
    model = small(position_encoding=layer)
    blocks = model.encoder_blocks + model.decoder_blocks
    assert all(block.position_encoding is layer for block in blocks)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.encoder_blocks[0].position_encoding.num_buckets == 8
    source, target = ids(2, 5), ids(2, 4)
    np.testing.assert_array_equal(
        logits(model, source, target), logits(loaded, source, target)
    )


def test_numbers_of_parameters_of_positions():
    """What each kind adds to a model without positions, by its paper."""
    without = small(position_encoding=None).count_params()
    blocks, head_dim, heads = 4, 8, 2
    expected = {
        "sinusoidal": 0,
        "rotary": 0,
        "alibi": 0,
        "learned": 512 * 16,
        "relative": blocks * 2 * (2 * 16 + 1) * head_dim,
        "t5": 2 * 32 * heads,
    }
    for name, count in expected.items():
        found = small(position_encoding=name).count_params() - without
        assert found == count, name


@pytest.mark.parametrize("position_encoding", POSITIONS)
@pytest.mark.parametrize("norm_first", [False, True])
def test_padding_and_the_rest_of_the_batch_never_change_a_sentence(
    norm_first, position_encoding
):
    model = small(norm_first=norm_first, position_encoding=position_encoding)
    source, target = ids(1, 5), ids(1, 4)
    alone = logits(model, source, target)
    sources, targets = ids(3, 9, seed=1), ids(3, 7, seed=2)
    sources[1] = np.pad(source[0], (0, 4))
    targets[1] = np.pad(target[0], (0, 3))
    together = logits(model, sources, targets)
    np.testing.assert_allclose(together[1, :4], alone[0], atol=1e-5)


@pytest.mark.parametrize("position_encoding", POSITIONS)
def test_later_target_tokens_never_change_earlier_logits(position_encoding):
    model = small(position_encoding=position_encoding)
    source, target = ids(1, 5), ids(1, 6)
    before = logits(model, source, target)
    target[0, 3:] = ids(3, seed=5)
    after = logits(model, source, target)
    np.testing.assert_allclose(after[0, :3], before[0, :3], atol=1e-6)
    assert np.abs(after[0, 3:] - before[0, 3:]).max() > 1e-3


@pytest.mark.parametrize("position_encoding", POSITIONS[:-1])
def test_order_of_the_source_matters_by_position_encoding_alone(position_encoding):
    source, target = ids(1, 6), ids(1, 3)
    order = np.random.default_rng(1).permutation(6)
    model = small(position_encoding=position_encoding)
    change = logits(model, source, target) - logits(model, source[:, order], target)
    assert np.abs(change).max() > 1e-4
    without = small(position_encoding=None)
    np.testing.assert_allclose(
        logits(without, source, target),
        logits(without, source[:, order], target),
        atol=1e-5,
    )


def test_encoder_without_positions_is_equivariant_to_permutations():
    source, order = ids(1, 6), np.random.default_rng(1).permutation(6)
    without = small(position_encoding=None)
    vectors = np.asarray(without.encode(source))
    permuted = np.asarray(without.encode(source[:, order]))
    np.testing.assert_allclose(permuted, vectors[:, order], atol=1e-5)


@pytest.mark.parametrize("position_encoding", POSITIONS)
def test_half_precision_is_close_to_single(position_encoding):
    exact = small(position_encoding=position_encoding)
    half = small(position_encoding=position_encoding, dtype="mixed_bfloat16")
    half.set_weights(exact.get_weights())
    source, target = ids(2, 5), ids(2, 4)
    found = logits(half, source, target)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, logits(exact, source, target), atol=0.15)


def test_learned_table_of_a_trained_model_can_be_resized():
    model = small(position_encoding=kt.layers.LearnedPositionalEncoding(8))
    longer = model.with_max_length(15)
    assert (model.max_length, longer.max_length) == (8, 15)
    source, target = ids(1, 12), ids(1, 10)
    with pytest.raises(ValueError, match="max_length=8"):
        model.encode(source)
    assert logits(longer, source, target).shape == (1, 10, 20)
    old, new = (np.asarray(m.position.embeddings) for m in (model, longer))
    np.testing.assert_allclose(new[::2], old, atol=1e-6)
    for before, after in zip(model.weights, longer.weights):
        if before.shape == after.shape:
            np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
    with pytest.raises(ValueError, match="sinusoidal"):
        small().with_max_length(15)


def test_attention_scores_name_every_head_of_every_layer():
    model = small()
    scores = model.attention_scores(ids(1, 5), ids(1, 4))
    for name, columns in (("encoder", 5), ("decoder", 4), ("cross", 5)):
        assert len(scores[name]) == 2
        for layer in scores[name]:
            assert layer.shape[1] == 2 and layer.shape[3] == columns
            np.testing.assert_allclose(np.sum(layer, -1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"num_heads": 3}, ["num_heads=3", "hidden_dim=16"]),
        ({"num_layers": 0}, ["num_layers", "0"]),
        ({"dropout": 2.0}, ["dropout", "2.0"]),
        ({"position_encoding": "spiral"}, ["position_encoding", "spiral"]),
    ],
)
def test_bad_arguments_are_named_with_their_value(arguments, words):
    with pytest.raises(ValueError) as error:
        small(**arguments)
    assert all(word in str(error.value) for word in words)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match="base"):
        kt.Transformer.from_preset("huge", 100)


def test_unequal_depths_norms_and_biases_survive_a_keras_file(tmp_path):
    options = {
        "num_decoder_layers": 1,
        "scale_embedding": False,
        "norm_embedding": True,
        "logits_bias": True,
    }
    model = small(**options)
    assert len(model.encoder_blocks) == 2 and len(model.decoder_blocks) == 1
    for weight in model.trainable_weights:
        weight.assign(weight + 0.1 * keras.random.normal(weight.shape, seed=1))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {name: loaded.config[name] for name in options} == options
    source, target = ids(2, 5), ids(2, 4)
    before = logits(model, source, target)
    np.testing.assert_array_equal(before, logits(loaded, source, target))
    bias = np.zeros(20, "float32")
    bias[7] = 3.0
    model.target_embedding.bias.assign(model.target_embedding.bias + bias)
    change = logits(model, source, target) - before
    np.testing.assert_allclose(change, np.tile(bias, (2, 4, 1)), atol=1e-5)


def test_unscaled_embeddings_are_the_matrix_s_rows():
    model = small(scale_embedding=False, position_encoding=None)
    rows = np.asarray(model.source_embedding.embeddings)[[5, 6]]
    np.testing.assert_array_equal(model.source_embedding(np.array([[5, 6]]))[0], rows)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="others trace steps in other ways"
)
@pytest.mark.parametrize("optimizer", ["adam", "sgd", kt.training.Adam()])
def test_a_step_is_traced_once(optimizer):
    model = small(num_layers=1)
    model.compile(optimizer, kt.training.MaskedCrossentropy())
    traced = []
    train_step = model.train_step
    model.train_step = lambda data: traced.append(data) or train_step(data)
    inputs = {"source_ids": ids(2, 5), "target_ids": ids(2, 4)}
    for _ in range(2):
        model.fit(inputs, ids(2, 4), verbose=0)
    assert len(traced) == 1


def test_the_optimizer_has_what_was_trainable_when_training_began():
    model = small(num_layers=1)
    model.compile("adam", kt.training.MaskedCrossentropy())
    embedding = next(x for x in model.layers if isinstance(x, kt.layers.TokenEmbedding))
    embedding.trainable = False
    before = [keras.ops.convert_to_numpy(x) for x in embedding.weights]
    inputs = {"source_ids": ids(2, 5), "target_ids": ids(2, 4)}
    model.fit(inputs, ids(2, 4), verbose=0)
    trained = {id(x) for x in model.optimizer._trainable_variables}
    assert trained == {id(x) for x in model.trainable_variables}
    for old, new in zip(before, embedding.weights, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


def test_a_seed_repeats_dropouts_that_differ_from_each_other():
    def dropouts():
        model = small(dropout=0.5, attention_dropout=0.5, seed=1)
        decoder = model.decoder_blocks[0]
        layers = [
            model.embedding_dropout,
            *(block.residual_dropout for block in model.encoder_blocks),
            decoder.residual_dropout,
            decoder.self_attention.attention_dropout,
            decoder.cross_attention.attention_dropout,
        ]
        ones = np.ones((1, 1, 64), "float32")
        return np.array([layer(ones, training=True) for layer in layers])

    first, again = dropouts(), dropouts()
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first, axis=0)) == len(first)
