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


@pytest.mark.parametrize("norm_first", [False, True])
def test_padding_and_the_rest_of_the_batch_never_change_a_sentence(norm_first):
    model = small(norm_first=norm_first)
    source, target = ids(1, 5), ids(1, 4)
    alone = logits(model, source, target)
    sources, targets = ids(3, 9, seed=1), ids(3, 7, seed=2)
    sources[1] = np.pad(source[0], (0, 4))
    targets[1] = np.pad(target[0], (0, 3))
    together = logits(model, sources, targets)
    np.testing.assert_allclose(together[1, :4], alone[0], atol=1e-5)


def test_later_target_tokens_never_change_earlier_logits():
    model, source, target = small(), ids(1, 5), ids(1, 6)
    before = logits(model, source, target)
    target[0, 3:] = ids(3, seed=5)
    after = logits(model, source, target)
    np.testing.assert_allclose(after[0, :3], before[0, :3], atol=1e-6)
    assert np.abs(after[0, 3:] - before[0, 3:]).max() > 1e-3


def test_order_of_the_source_matters_by_position_encoding_alone():
    source, target = ids(1, 6), ids(1, 3)
    shuffled = source[:, ::-1]
    with_positions = small()
    assert (
        np.abs(
            logits(with_positions, source, target)
            - logits(with_positions, shuffled, target)
        ).max()
        > 1e-3
    )
    without = small(position_encoding=None)
    np.testing.assert_allclose(
        logits(without, source, target), logits(without, shuffled, target), atol=1e-5
    )


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
