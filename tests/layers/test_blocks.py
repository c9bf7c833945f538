import numpy as np
import pytest

from keras_transformer.layers import DecoderBlock, EncoderBlock, TokenEmbedding

rng = np.random.default_rng(0)
B, T, S, D = 2, 5, 7, 8


def tensor(*shape):
    return rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("cross", [False, True])
def test_decoder_steps_with_a_cache_equal_the_full_pass(norm_first, cross):
    x, memory = tensor(B, T, D), tensor(B, S, D) if cross else None
    mask = np.arange(S) < [[S], [S - 3]] if cross else None
    block = DecoderBlock(2, 16, norm_first=norm_first)
    full = block(x, memory, encoder_sequence_mask=mask)
    cache = block.empty_cache(B, encoder_sequence=memory, encoder_sequence_mask=mask)
    for i in range(T):
        step, cache = block(
            x[:, i : i + 1],
            cache=cache,
        )
        np.testing.assert_allclose(step[:, 0], full[:, i], atol=1e-5)


@pytest.mark.parametrize("scores", [False, True])
def test_decoder_never_sees_what_comes_after_even_with_dropout(scores):
    x, memory = tensor(1, T, D), tensor(1, S, D)
    changed = x.copy()
    changed[:, 3:] += 10.0

    def first_rows(x):
        block = DecoderBlock(2, 16, dropout=0.5, seed=7, name="block")
        block.build(x.shape, memory.shape)
        for i, weight in enumerate(block.trainable_weights):
            values = np.random.default_rng(i).normal(size=weight.shape)
            weight.assign(values)
        found = block(x, memory, training=True, return_attention_scores=scores)
        return (found[0] if scores else found)[:, :3]

    np.testing.assert_allclose(first_rows(x), first_rows(changed), atol=1e-6)


def test_encoder_row_depends_on_rows_on_both_sides():
    x, block = tensor(1, T, D), EncoderBlock(2, 16)
    before = block(x)
    x[:, -1] += 1.0
    assert np.abs(block(x)[:, 0] - before[:, 0]).max() > 1e-4


def test_scores_of_every_attention_are_returned():
    x, memory = tensor(B, T, D), tensor(B, S, D)
    output, own, cross = DecoderBlock(2, 16)(x, memory, return_attention_scores=True)
    assert output.shape == (B, T, D)
    np.testing.assert_allclose(np.sum(own, -1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.sum(cross, -1), 1.0, atol=1e-6)
    assert np.triu(own[0, 0], 1).max() == 0.0


def test_decoder_says_when_the_encoder_s_output_is_missing():
    block = DecoderBlock(2, 16)
    block(tensor(B, T, D), tensor(B, S, D))
    with pytest.raises(ValueError, match="encoder_sequence"):
        block(tensor(B, T, D))


def test_embedding_is_tied_with_the_output_projection():
    layer = TokenEmbedding(11, D)
    vectors = layer(np.array([[3, 4]]))
    matrix = layer.embeddings.numpy()
    np.testing.assert_allclose(vectors[0], matrix[[3, 4]] * np.sqrt(D), atol=1e-5)
    logits = layer(vectors, reverse=True)
    np.testing.assert_allclose(logits, vectors @ matrix.T, atol=1e-4)
    assert len(layer.weights) == 1
