"""Pictures show the numbers that they claim to show."""

import numpy as np
import pytest
from keras import ops

from keras_transformer import plotting
from keras_transformer.layers.position import sinusoidal_encoding


def test_heat_map_holds_the_encoding():
    axes = plotting.plot_position_encoding(20, 16).axes[0]
    expected = sinusoidal_encoding(np.arange(20), 16)
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("dimension", "position")


def test_curves_are_columns_of_the_encoding():
    axes = plotting.plot_position_curves(10, 16, dimensions=(2, 3)).axes[0]
    positions, values = axes.lines[1].get_data()
    expected = ops.convert_to_numpy(sinusoidal_encoding(positions, 16))
    np.testing.assert_allclose(values, expected[:, 3])
    assert axes.lines[1].get_label() == "dimension 3 (cosine)"


def test_distance_profiles_are_highest_at_zero():
    products, slopes, buckets = plotting.plot_position_distances(16).axes
    for line in products.lines:
        profile = line.get_ydata()
        np.testing.assert_allclose(profile, profile[::-1], atol=1e-4)
        assert profile.argmax() == 16 and profile[16] == 1
    # The first of eight heads: half a unit for each position before, two after.
    np.testing.assert_allclose(slopes.lines[0].get_ydata()[[0, 16, 20]], [-8, 0, -8])
    assert buckets.lines[0].get_ydata()[16] == 0


@pytest.mark.parametrize("kind", ["cross", "encoder", "decoder"])
def test_attention_maps_are_the_model_s_weights(translator, kind):
    source, answer = "the red dog runs", "runs dog"
    figure = plotting.plot_attention(translator, source, answer, kind)
    tokenizer = translator.source_tokenizer
    source_ids = [*tokenizer.tokenize([source])[0].numpy(), tokenizer.end_id]
    answer_ids = tokenizer.tokenize([answer])[0].numpy()
    scores = translator.model.attention_scores(
        np.array([source_ids]), np.array([[tokenizer.start_id, *answer_ids]])
    )[kind][-1]
    for axes, expected in zip(figure.axes, ops.convert_to_numpy(scores)[0]):
        np.testing.assert_allclose(axes.images[0].get_array(), expected)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    read, written = source_ids, [*answer_ids, tokenizer.end_id]
    assert rows == tokenizer.tokens(read if kind == "encoder" else written)


def test_unknown_kind_of_attention_is_named(translator):
    with pytest.raises(ValueError, match="kind='self'"):
        plotting.plot_attention(translator, "a dog", "dog a", kind="self")


def test_training_is_drawn_by_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss,val_bleu,val_loss\n0,5.0,1.5,4.0\n1,3.0,9.0,2.5\n")
    losses, bleu = plotting.plot_training(path).axes
    assert [list(line.get_ydata()) for line in losses.lines] == [[5, 3], [4, 2.5]]
    np.testing.assert_array_equal(bleu.lines[0].get_data(), [[1, 2], [1.5, 9]])
    path.write_text("epoch,loss\n")
    with pytest.raises(ValueError, match="holds no epoch"):
        plotting.plot_training(path)


def test_tree_s_parents_stand_above_their_children():
    tree = ("S", [("NP", ["old", "boats"]), ("VP", ["drift", ("ADVP", ["away"])])])
    (axes,) = plotting.plot_tree(tree).axes
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert [places[word][0] for word in ("old", "boats", "drift", "away")] == [
        0,
        1,
        2,
        3,
    ]
    assert len({places[word][1] for word in ("old", "boats", "drift", "away")}) == 1
    assert places["NP"] == (0.5, 1) and places["VP"] == (2.5, 1)
    assert places["S"] == (1.5, 0) and places["ADVP"] == (3, 2)
