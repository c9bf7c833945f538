"""Rotary, Shaw's, T5's and ALiBi positions, against their formulas and other code."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import layers
from keras_transformer.layers.distance_bias import alibi_slopes

B, H, T, S, K = 2, 4, 6, 9, 8
NAMES = ["rotary", "relative", "t5", "alibi"]
rng = np.random.default_rng(0)


def tensor(*shape):
    return rng.normal(size=shape).astype("float32")


def softmax(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_rotary_is_the_paper_s_rotation_of_each_pair():
    x, start = tensor(B, H, T, K), 11
    found = layers.RotaryEmbedding()(x, start_index=start)
    for t in range(T):
        for i in range(K // 2):
            angle = (start + t) * 10_000.0 ** (-2 * i / K)
            turn = np.array(
                [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            )
            expected = x[:, :, t, 2 * i : 2 * i + 2] @ turn.T
            np.testing.assert_allclose(
                found[:, :, t, 2 * i : 2 * i + 2], expected, atol=1e-5
            )


def test_rotary_equals_keras_hub_s():
    keras_hub = pytest.importorskip("keras_hub")
    x = tensor(B, T, H, K)
    expected = keras_hub.layers.RotaryEmbedding()(x, start_index=3)
    found = layers.RotaryEmbedding(layout="concatenated")(
        x.transpose(0, 2, 1, 3), start_index=3
    )
    np.testing.assert_allclose(ops.transpose(found, (0, 2, 1, 3)), expected, atol=1e-5)


def test_rotary_equals_transformers_llama():
    torch = pytest.importorskip("torch")
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = llama.LlamaConfig(hidden_size=H * K, num_attention_heads=H)
    x = tensor(B, H, T, K)
    positions = torch.arange(T)[None]
    cos, sin = llama.LlamaRotaryEmbedding(config)(torch.tensor(x), positions)
    expected, _ = llama.apply_rotary_pos_emb(torch.tensor(x), torch.tensor(x), cos, sin)
    found = layers.RotaryEmbedding(layout="concatenated")(x)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_rotary_keeps_far_positions_apart_in_bfloat16():
    layer = layers.RotaryEmbedding(dtype="mixed_bfloat16")
    x = np.ones((1, 1, 1, 64), "float32")
    near, next_to_it = (layer(x, start_index=i) for i in (9_998, 9_999))
    exact = layers.RotaryEmbedding()(x, start_index=9_999)
    distance = np.abs(ops.convert_to_numpy(ops.cast(near - next_to_it, "float32")))
    assert distance.max() > 0.1
    error = ops.convert_to_numpy(ops.cast(next_to_it, "float32")) - exact
    assert np.abs(error).max() < 2.0**-6


def test_rotary_scores_depend_on_the_distance_only():
    q, k = tensor(1, 1, 1, K), tensor(1, 1, 1, K)
    layer = layers.RotaryEmbedding()
    scores = [
        float(np.sum(layer(q, start_index=i) * layer(k, start_index=i + 7)))
        for i in (0, 50, 3000)
    ]
    np.testing.assert_allclose(scores, scores[0], atol=1e-4)


def test_relative_attention_is_shaw_s_equations_3_and_4():
    limit = 2
    attention = layers.MultiHeadAttention(
        H, position_encoding=layers.RelativePositionEmbedding(limit)
    )
    x, memory = tensor(B, T, H * K), tensor(B, S, H * K)
    found, weights = attention(x, memory, return_attention_scores=True)
    keys = ops.convert_to_numpy(attention.position_encoding.key_embeddings)
    values = ops.convert_to_numpy(attention.position_encoding.value_embeddings)
    (q,) = attention._project(x, "query")
    k, v = attention._project(memory, "key", "value")
    q, k, v = (ops.convert_to_numpy(heads) for heads in (q, k, v))
    scores, context = np.zeros((B, H, T, S)), np.zeros((B, H, T, K))
    for i in range(T):
        for j in range(S):
            row = min(max(j - i, -limit), limit) + limit
            scores[:, :, i, j] = (q[:, :, i] * (k[:, :, j] + keys[row])).sum(-1)
    expected = softmax(scores / np.sqrt(K))
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    for i in range(T):
        for j in range(S):
            row = min(max(j - i, -limit), limit) + limit
            context[:, :, i] += expected[:, :, i, j, None] * (v[:, :, j] + values[row])
    joined = context.transpose(0, 2, 1, 3).reshape(B, T, H * K)
    expected = attention.output_projection(joined.astype("float32"))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_relative_scores_alone_are_those_inside_attention():
    layer = layers.RelativePositionEmbedding(3)
    q, k = tensor(B, H, T, K), tensor(B, H, S, K)
    scores = ops.convert_to_numpy(layer(q, k))
    keys = ops.convert_to_numpy(layer.key_embeddings)
    expected = (q[0, 1, 2] * (k[0, 1, 8] + keys[6])).sum() / np.sqrt(K)
    assert scores[0, 1, 2, 8] == pytest.approx(expected, abs=1e-5)
    moved = layer(q[:, :, 4:], k, start_index=4)
    np.testing.assert_allclose(moved, scores[:, :, 4:], atol=1e-5)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_buckets, max_distance", [(32, 128), (8, 20), (16, 100)])
def test_t5_buckets_equal_transformers(bidirectional, num_buckets, max_distance):
    torch = pytest.importorskip("torch")
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distances = np.arange(-600, 601)
    expected = t5.T5Attention._relative_position_bucket(
        torch.tensor(distances),
        bidirectional=bidirectional,
        num_buckets=num_buckets,
        max_distance=max_distance,
    )
    layer = layers.T5PositionBias(
        num_buckets, max_distance, bidirectional=bidirectional
    )
    np.testing.assert_array_equal(layer.buckets(distances), expected.numpy())


def test_t5_bias_is_the_table_s_row_of_the_bucket():
    layer = layers.T5PositionBias(num_buckets=8, max_distance=20)
    found = ops.convert_to_numpy(layer(np.zeros((1, H, T, 40), "float32")))
    table = ops.convert_to_numpy(layer.embeddings)
    for i in range(T):
        for j in range(40):
            bucket = layer.buckets(np.array(j - i))
            np.testing.assert_allclose(found[0, :, i, j], table[bucket], atol=1e-6)


@pytest.mark.parametrize("num_heads", [1, 4, 6, 8, 12])
def test_alibi_equals_keras_hub_s(num_heads):
    keras_hub = pytest.importorskip("keras_hub")
    scores = tensor(B, num_heads, T, T)
    found = layers.AlibiBias()(scores)
    expected = keras_hub.layers.AlibiBias()(scores)
    # Theirs counts from the last key: each row differs by a constant, as far as
    # a causal query sees.
    for i in range(T):
        row = softmax(ops.convert_to_numpy(found)[:, :, i, : i + 1])
        other = softmax(ops.convert_to_numpy(expected)[:, :, i, : i + 1])
        np.testing.assert_allclose(row, other, atol=1e-5)


def alibi(num_heads, length=4, **options):
    scores = np.zeros((1, num_heads, length, length), "float32")
    return ops.convert_to_numpy(layers.AlibiBias(**options)(scores))[0]


def test_alibi_slopes_are_the_paper_s():
    np.testing.assert_allclose(alibi_slopes(8), 2.0 ** -np.arange(1, 9))
    assert len(set(alibi_slopes(12))) == 12
    distances = np.arange(4)[:, None] - np.arange(4)
    np.testing.assert_allclose(
        alibi(8, symmetric=True)[1], -0.25 * np.abs(distances), atol=1e-7
    )
    np.testing.assert_allclose(
        np.tril(alibi(8)[1]), np.tril(-0.25 * distances), atol=1e-7
    )


@pytest.mark.parametrize("num_heads", range(1, 33))
def test_alibi_has_a_slope_of_its_own_for_later_keys_in_every_head(num_heads):
    left, right = -alibi(num_heads)[:, 3, 0] / 3, -alibi(num_heads)[:, 0, 3] / 3
    np.testing.assert_allclose(left, alibi_slopes(num_heads), rtol=1e-5)
    steeper = [4.0 if head % 2 == 0 else 0.25 for head in range(num_heads)]
    np.testing.assert_allclose(right, left * steeper, rtol=1e-5)


def test_alibi_of_files_that_know_one_form_is_the_symmetric_one():
    for symmetric in (False, True):
        config = layers.AlibiBias(symmetric=symmetric).get_config()
        assert layers.AlibiBias.from_config(config).symmetric is symmetric
        del config["symmetric"]
        assert layers.AlibiBias.from_config(config).symmetric is True


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    x, layer = tensor(1, T, H * K), layers.MultiHeadAttention(H, position_encoding=name)
    padded = np.concatenate([x, tensor(1, 3, H * K)], axis=1)
    mask = np.arange(T + 3)[None] < T
    found = layer(padded, query_mask=mask)
    np.testing.assert_allclose(found[:, :T], layer(x), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_later_rows_never_change_earlier_ones_of_causal_attention(name):
    x, layer = tensor(1, T, H * K), layers.MultiHeadAttention(H, position_encoding=name)
    before = layer(x, use_causal_mask=True)
    x[:, -1] += 1.0
    after = layer(x, use_causal_mask=True)
    np.testing.assert_allclose(before[:, :-1], after[:, :-1], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_row_with_everything_masked_gives_zeros_in_half_precision(name):
    for dtype in ("mixed_bfloat16", "mixed_float16"):
        layer = layers.MultiHeadAttention(H, position_encoding=name, dtype=dtype)
        mask = np.ones((1, T, T), bool)
        mask[0, 2] = False
        found = layer(tensor(1, T, H * K), attention_mask=mask)
        found = ops.convert_to_numpy(ops.cast(found, "float32"))
        assert np.isfinite(found).all() and np.abs(found[0, 1]).max() > 0
        np.testing.assert_array_equal(found[0, 2], 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_attention_knows_order_by_the_encoding_alone(name):
    x, order = tensor(1, T, H * K), rng.permutation(T)
    layer = layers.MultiHeadAttention(H, position_encoding=name)
    shuffled = ops.take(layer(x), order, axis=1)
    assert np.abs(shuffled - layer(x[:, order])).max() > 1e-3
    layer = layers.MultiHeadAttention(H)
    np.testing.assert_allclose(
        ops.take(layer(x), order, axis=1), layer(x[:, order]), atol=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_file_gives_blocks_back_in_which_two_share_a_layer(name, tmp_path):
    inputs = keras.Input((None, H * K))
    shared = {
        "rotary": layers.RotaryEmbedding(layout="concatenated"),
        "relative": layers.RelativePositionEmbedding(3),
        "t5": layers.T5PositionBias(8, 20, bidirectional=False),
        "alibi": layers.AlibiBias(4.0),
    }[name]
    x = layers.EncoderBlock(H, 16, position_encoding=shared)(inputs)
    x = layers.DecoderBlock(H, 16, position_encoding=shared)(x)
    model = keras.Model(inputs, x)
    for number, weight in enumerate(model.trainable_weights):
        values = np.random.default_rng(number).normal(size=weight.shape)
        weight.assign(values.astype("float32"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    positions = [block.position_encoding for block in loaded.layers[1:]]
    assert positions[0] is positions[1]
    assert positions[0].get_config() == shared.get_config()
    x = tensor(1, T, H * K)
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: layers.MultiHeadAttention(2, position_encoding="spiral"), "spiral"),
        (lambda: layers.EncoderBlock(2, 8, position_encoding="learned"), "embeddings"),
        (lambda: layers.RotaryEmbedding()(np.zeros((1, 1, 2, 3))), "head_dim=3"),
        (lambda: layers.RotaryEmbedding(layout="round"), "layout='round'"),
        (lambda: layers.RelativePositionEmbedding(0), "max_distance=0"),
        (lambda: layers.T5PositionBias(2), "num_buckets=2"),
        (lambda: layers.T5PositionBias(32, 16), "max_distance=16"),
        (lambda: layers.AlibiBias(0), "max_bias=0"),
        (lambda: layers.AlibiBias("8"), "max_bias='8'"),
        (lambda: layers.AlibiBias(symmetric=None), "symmetric=None"),
    ],
)
def test_bad_arguments_are_named_with_their_value(make, words):
    with pytest.raises(ValueError, match=words):
        make()
