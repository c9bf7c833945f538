"""Writes what the layers and the model compute, on whichever backend Keras has.

Run as a program by test_backends.py: python backend_numbers.py OUTPUT.npz
"""

import sys

import keras
import numpy as np
from keras import ops

from keras_transformer import EncoderModel, LanguageModel, Transformer, layers
from keras_transformer.decoding import generate
from keras_transformer.kernels import TransposedWeights, best_tokens, log_normalizer
from keras_transformer.training import MaskedCrossentropy

rng = np.random.default_rng(0)


def with_fixed_weights(thing):
    for i, weight in enumerate(thing.trainable_weights):
        values = np.random.default_rng(i).normal(size=weight.shape)
        weight.assign(0.3 * values.astype("float32"))
    return thing


def tensor(*shape):
    return ops.convert_to_tensor(rng.normal(size=shape).astype("float32"))


def numbers():
    x, memory = tensor(2, 5, 8), tensor(2, 7, 8)
    padding = ops.convert_to_tensor(np.arange(5) < [[5], [3]])
    found = {"position": layers.PositionalEncoding()(x, start_index=9_000)}
    for name, call in {
        "causal": {"use_causal_mask": True},
        "padded": {"query_mask": padding},
        "nothing": {"attention_mask": ops.zeros((5, 5), "bool")},
    }.items():
        layer = layers.MultiHeadAttention(2)
        layer.build(x.shape)
        found[f"attention_{name}"] = with_fixed_weights(layer)(x, **call)
    for norm_first in (False, True):
        encoder = layers.EncoderBlock(2, 16, norm_first=norm_first)
        encoder.build(x.shape)
        found[f"encoder_{norm_first}"] = with_fixed_weights(encoder)(x, mask=padding)
        decoder = layers.DecoderBlock(2, 16, norm_first=norm_first)
        decoder.build(x.shape, memory.shape)
        found[f"decoder_{norm_first}"] = with_fixed_weights(decoder)(x, memory)
    for name in ("learned", "rotary", "relative", "t5", "alibi"):
        model = Transformer(
            12,
            num_layers=1,
            hidden_dim=8,
            num_heads=2,
            intermediate_dim=16,
            position_encoding=name,
        )
        ids = np.random.default_rng(1).integers(4, 12, (2, 6))
        model = with_fixed_weights(model)
        found[f"{name}_logits"] = model({"source_ids": ids, "target_ids": ids})
        answers = generate(model, ids, beam_size=2, max_length=4)
        for part, value in answers.items():
            found[f"{name}_{part}"] = value
    matrix = np.random.default_rng(2).integers(-127, 128, (7, 24), dtype="int8")
    kernel = TransposedWeights(matrix, np.arange(7, dtype="float32") / 1000)
    found["row"] = kernel.linear(tensor(1, 24))
    half = TransposedWeights(keras.ops.cast(matrix, "bfloat16"))
    found["row_of_bfloat16"] = half.linear(tensor(1, 24))
    # A vocabulary of many pieces.
    logits, scores = tensor(3, 2, 2000), tensor(3, 2, 1)
    found["normalizer"] = log_normalizer(logits)
    best = best_tokens(logits, 4, scores=scores, banned_ids=(0, 70, 1999))
    found |= dict(zip(("best_values", "best_hypotheses", "best_tokens"), best))
    sizes = {"num_layers": 1, "hidden_dim": 8, "num_heads": 2, "intermediate_dim": 16}
    ids = np.array([[5, 6, 7, 8], [9, 4, 0, 0]])
    for pooling in ("mean", "max", "first"):
        half = with_fixed_weights(EncoderModel(12, pooling=pooling, **sizes))
        found[f"pooled_{pooling}"] = half(ids)
    half = with_fixed_weights(LanguageModel(12, position_encoding="rotary", **sizes))
    for part, value in half.generate(ids, beam_size=2, max_length=7).items():
        found[f"generated_{part}"] = value
    options = {"sample": True, "num_hypotheses": 2, "top_p": 0.9, "seed": 3}
    for part, value in half.generate(ids, max_length=7, **options).items():
        found[f"sampled_{part}"] = value
    model = with_fixed_weights(
        Transformer(
            12, num_layers=2, hidden_dim=8, num_heads=2, intermediate_dim=16, dropout=0
        )
    )
    source, target = rng.integers(4, 12, (3, 6)), rng.integers(4, 12, (3, 5))
    source[1, 4:] = 0
    inputs = {"source_ids": source, "target_ids": target}
    found["logits"] = model(inputs)
    answers = generate(model, source, beam_size=3, num_hypotheses=2, max_length=5)
    found["ids"], found["scores"] = answers["ids"], answers["scores"]
    model.compile(keras.optimizers.SGD(0.1), MaskedCrossentropy(0.1))
    losses = model.fit(inputs, target, batch_size=3, epochs=3, verbose=0, shuffle=False)
    found["losses"] = np.array(losses.history["loss"])
    return {name: ops.convert_to_numpy(value) for name, value in found.items()}


if __name__ == "__main__":
    np.savez(sys.argv[1], **numbers())
