"""The blocks equal PyTorch's own encoder and decoder layers, weight by weight."""

import numpy as np
import pytest

from keras_transformer.layers import DecoderBlock, EncoderBlock

torch = pytest.importorskip("torch", reason="pip install -e '.[parity]'")

B, T, S, D, H, F = 2, 5, 7, 16, 4, 32
rng = np.random.default_rng(0)


def values(tensor):
    return tensor.detach().numpy()


def copy_attention(layer, theirs):
    kernel, bias = values(theirs.in_proj_weight).T, values(theirs.in_proj_bias)
    if hasattr(layer, "query_key_value"):
        layer.query_key_value.set_weights([kernel, bias])
    else:
        layer.query.set_weights([kernel[:, :D], bias[:D]])
        layer.key_value.set_weights([kernel[:, D:], bias[D:]])
    out = theirs.out_proj
    layer.output_projection.set_weights([values(out.weight).T, values(out.bias)])


def copy_norm(layer, theirs):
    layer.set_weights([values(theirs.weight), values(theirs.bias)])


def copy_feed_forward(layer, theirs):
    weights = []
    for linear in (theirs.linear1, theirs.linear2):
        weights += [values(linear.weight).T, values(linear.bias)]
    layer.set_weights(weights)


def options(norm_first):
    ours = {"norm_first": norm_first, "layer_norm_epsilon": 1e-5, "dropout": 0.0}
    theirs = {"norm_first": norm_first, "batch_first": True, "dropout": 0.0}
    return ours, theirs


def random_weights(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


def tensor(*shape):
    return rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_encoder_block_equals_pytorch(norm_first, causal):
    ours, theirs = options(norm_first)
    layer = torch.nn.TransformerEncoderLayer(D, H, F, **theirs)
    layer = random_weights(layer)
    block = EncoderBlock(H, F, **ours)
    block.build((B, T, D))
    copy_attention(block.self_attention, layer.self_attn)
    copy_norm(block.self_attention_norm, layer.norm1)
    copy_feed_forward(block.feed_forward, layer)
    copy_norm(block.feed_forward_norm, layer.norm2)
    x, real = tensor(B, T, D), np.arange(T) < [[T], [3]]
    mask = np.tri(T, dtype=bool) if causal else np.ones((T, T), bool)
    found = block(x, mask=real, attention_mask=mask)
    expected = layer(
        torch.tensor(x),
        src_mask=torch.tensor(~mask),
        src_key_padding_mask=torch.tensor(~real),
    )
    # PyTorch's fast path leaves zeros in padding rows; nobody reads them.
    np.testing.assert_allclose(
        found.numpy()[real], values(expected)[real], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_block_equals_pytorch(norm_first):
    ours, theirs = options(norm_first)
    layer = random_weights(torch.nn.TransformerDecoderLayer(D, H, F, **theirs))
    block = DecoderBlock(H, F, **ours)
    block.build((B, T, D), (B, S, D))
    copy_attention(block.self_attention, layer.self_attn)
    copy_norm(block.self_attention_norm, layer.norm1)
    copy_attention(block.cross_attention, layer.multihead_attn)
    copy_norm(block.cross_attention_norm, layer.norm2)
    copy_feed_forward(block.feed_forward, layer)
    copy_norm(block.feed_forward_norm, layer.norm3)
    x, memory = tensor(B, T, D), tensor(B, S, D)
    real_target, real_source = np.arange(T) < [[T], [4]], np.arange(S) < [[3], [S]]
    found = block(
        x,
        memory,
        decoder_sequence_mask=real_target,
        encoder_sequence_mask=real_source,
    )
    expected = layer(
        torch.tensor(x),
        torch.tensor(memory),
        tgt_mask=torch.tensor(~np.tri(T, dtype=bool)),
        tgt_key_padding_mask=torch.tensor(~real_target),
        memory_key_padding_mask=torch.tensor(~real_source),
    )
    np.testing.assert_allclose(
        found.numpy()[real_target],
        values(expected)[real_target],
        atol=1e-5,
        rtol=1e-5,
    )
