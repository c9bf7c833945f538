import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_transformer.layers import MultiHeadAttention

rng = np.random.default_rng(0)
B, T, S, D, H = 2, 5, 7, 8, 2


def tensor(*shape):
    return rng.normal(size=shape).astype("float32")


def reference(layer, query, value, mask):
    """Section 3.2 in numpy."""

    def project(x, name, part, parts):
        kernel, bias = (ops.convert_to_numpy(w) for w in getattr(layer, name).weights)
        heads = (x @ kernel + bias).reshape(*x.shape[:2], parts, H, D // H)
        return heads[:, :, part].transpose(0, 2, 1, 3)

    if hasattr(layer, "query_key_value"):
        q, k, v = (project(query, "query_key_value", i, 3) for i in range(3))
    else:
        q = project(query, "query", 0, 1)
        k, v = (project(value, "key_value", i, 2) for i in range(2))
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(D // H)
    scores = np.exp(scores - scores.max(-1, keepdims=True)) * mask
    scores /= np.maximum(scores.sum(-1, keepdims=True), 1e-30)
    heads = (scores @ v).transpose(0, 2, 1, 3).reshape(*query.shape[:2], D)
    kernel, bias = (ops.convert_to_numpy(w) for w in layer.output_projection.weights)
    return heads @ kernel + bias, scores


def test_equals_the_formula_of_section_3_2():
    x, layer = tensor(B, T, D), MultiHeadAttention(H, bias_initializer="uniform")
    output, scores = layer(x, return_attention_scores=True)
    expected = reference(layer, x, x, np.ones((T, T), bool))
    np.testing.assert_allclose(output, expected[0], atol=1e-5)
    np.testing.assert_allclose(scores, expected[1], atol=1e-6)
    np.testing.assert_allclose(layer(x), expected[0], atol=1e-5)


def test_joins_causal_padding_explicit_and_implicit_masks():
    x, layer = tensor(B, T, D), MultiHeadAttention(H, bias_initializer="uniform")
    causal = np.tri(T, dtype=bool)
    padding = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]], bool)
    arbitrary = rng.random((B, T, T)) > 0.3
    everything = causal & padding[:, None, None, :] & arbitrary[:, None]
    layer.build(x.shape)
    expected, _ = reference(layer, x, x, everything)
    masked = tf.identity(x)
    masked._keras_mask = tf.constant(padding)
    implicit = layer(masked, attention_mask=arbitrary, use_causal_mask=True)
    np.testing.assert_allclose(implicit, expected, atol=1e-5)
    explicit = layer(
        x, query_mask=padding, attention_mask=arbitrary, use_causal_mask=True
    )
    np.testing.assert_allclose(explicit, expected, atol=1e-5)


def test_cross_attention_ignores_padding_of_the_value():
    query, value = tensor(B, T, D), tensor(B, S, D)
    layer = MultiHeadAttention(H)
    mask = np.ones((B, S), bool)
    mask[:, 4:] = False
    other = value.copy()
    other[:, 4:] = 100.0
    np.testing.assert_allclose(
        layer(query, value, value_mask=mask),
        layer(query, other, value_mask=mask),
        atol=1e-6,
    )
    expected, _ = reference(layer, query, value, mask[:, None, None, :])
    found = layer(query, value, value_mask=mask)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("scores", [False, True])
def test_row_with_everything_masked_gives_zeros_in_values_and_gradients(dtype, scores):
    layer = MultiHeadAttention(H, dtype=dtype)
    x = tf.Variable(tensor(1, T, D))
    mask = np.ones((1, T, T), bool)
    mask[0, 2] = False
    with tf.GradientTape() as tape:
        output = layer(x, attention_mask=mask, return_attention_scores=scores)
        output = output[0] if scores else output
        loss = tf.reduce_sum(output[0, 2])
    assert np.all(np.isfinite(output.numpy().astype("float32")))
    np.testing.assert_array_equal(output[0, 2].numpy().astype("float32"), 0.0)
    assert np.abs(output[0, 1].numpy().astype("float32")).max() > 0
    variables = [x, *(v.value for v in layer.query_key_value.trainable_variables)]
    for gradient in tape.gradient(loss, variables):
        np.testing.assert_array_equal(tf.cast(gradient, "float32"), 0.0)


def test_leaves_the_caller_s_masks_alone():
    mask = np.ones((B, T), bool)
    mask[0, 3:] = False
    before = mask.copy()
    MultiHeadAttention(H)(tensor(B, T, D), query_mask=mask, use_causal_mask=True)
    np.testing.assert_array_equal(mask, before)


POSITIONS = [None, "rotary", "relative", "t5", "alibi"]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("max_length", [None, T + 2])
def test_steps_with_a_cache_equal_the_full_pass(position, max_length):
    x, layer = tensor(B, T, D), MultiHeadAttention(H, position_encoding=position)
    full = layer(x, use_causal_mask=True)
    cache = layer.empty_cache(B, max_length)
    for i in range(T):
        index = None if max_length is None else i
        step, cache = layer(x[:, i : i + 1], cache=cache, cache_index=index)
        np.testing.assert_allclose(step[:, 0], full[:, i], atol=1e-5)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("max_length", [None, T + 2])
def test_a_first_part_then_the_rest_equal_the_full_pass(position, max_length):
    x, layer = tensor(B, T, D), MultiHeadAttention(H, position_encoding=position)
    full = layer(x, use_causal_mask=True)
    starts = (None, None) if max_length is None else (0, 3)
    cache = layer.empty_cache(B, max_length)
    first, cache = layer(x[:, :3], cache=cache, cache_index=starts[0])
    rest, _ = layer(x[:, 3:], cache=cache, cache_index=starts[1])
    np.testing.assert_allclose(ops.concatenate([first, rest], 1), full, atol=1e-5)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("max_length", [None, T])
def test_hypotheses_that_share_a_cache_equal_the_full_pass(position, max_length):
    """Each step, every hypothesis goes on from one drawn at random."""
    width, layer = 3, MultiHeadAttention(H, position_encoding=position)
    layer.build((None, None, D))
    cache = layer.empty_cache(B, max_length and max_length * width)
    rng = np.random.default_rng(1)
    histories = np.zeros((B, width, 0, D), "float32")
    paths = np.zeros((B, width, 0), int)
    for i in range(T):
        parents = rng.integers(0, width, (B, width))
        x = tensor(B, width, 1, D)
        batch = np.arange(B)[:, None]
        histories = np.concatenate([histories[batch, parents], x], axis=2)
        own = np.broadcast_to(np.arange(width)[None, :, None], (B, width, 1))
        paths = np.concatenate([paths[batch, parents], own], axis=2)
        mask = np.zeros((B, width, max_length or i + 1, width), bool)
        mask[:, :, : i + 1] = paths[..., None] == np.arange(width)
        step, cache = layer(
            x.reshape(B * width, 1, D),
            cache=cache,
            cache_index=None if max_length is None else i,
            attention_mask=mask.reshape(B, width, -1),
            num_hypotheses=width,
        )
        full = layer(histories.reshape(B * width, i + 1, D), use_causal_mask=True)
        np.testing.assert_allclose(step[:, 0], full[:, i], atol=1e-5)


def test_several_new_rows_of_several_hypotheses_are_refused():
    layer = MultiHeadAttention(H)
    layer.build((None, None, D))
    with pytest.raises(ValueError, match="num_hypotheses=2"):
        layer(tensor(2 * B, 2, D), cache=layer.empty_cache(B), num_hypotheses=2)


def test_projected_values_stand_for_the_value():
    query, value = tensor(2 * B, 1, D), tensor(B, S, D)
    layer = MultiHeadAttention(H)
    layer(query[:B], value)
    projected = layer.project_value(value)
    cached = layer(query, projected_value=projected, num_hypotheses=2)
    expected = layer(query, np.repeat(value, 2, axis=0))
    np.testing.assert_allclose(cached, expected, atol=1e-5)


def test_projected_values_keep_their_mask():
    query, value = tensor(B, T, D), tensor(B, S, D)
    mask = np.ones((B, S), bool)
    mask[0, 2:] = False
    mask[1] = False
    layer = MultiHeadAttention(H)
    expected = layer(query, value, value_mask=mask)
    projected = layer.project_value(value, value_mask=ops.convert_to_tensor(mask))
    found = layer(query, projected_value=projected)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(expected[1], 0.0)


def test_dropout_on_the_weights_acts_in_training_only():
    x, layer = tensor(B, T, D), MultiHeadAttention(H, dropout=0.5, seed=0)
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert np.abs(layer(x, training=True) - layer(x)).max() > 1e-3


def test_widths_of_query_key_and_value_may_differ():
    layer = MultiHeadAttention(H, head_dim=3)
    output = layer(tensor(B, T, 4), tensor(B, S, 6), tensor(B, S, 5))
    assert output.shape == (B, T, 4)


def test_symbolic_outputs_have_the_shapes_of_real_ones():
    query, value = keras.Input((None, D)), keras.Input((S, D))
    output, scores = MultiHeadAttention(H)(query, value, return_attention_scores=True)
    assert output.shape == (None, None, D)
    assert scores.shape == (None, H, None, S)
