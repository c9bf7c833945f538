"""Gradients of several batches make the update of one large batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.training import Adam, MaskedCrossentropy, WarmupInverseSqrt


def trained(tokenizer, batches, updates, steps):
    keras.utils.set_random_seed(3)
    model = kt.Transformer(
        tokenizer.vocabulary_size,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        dropout=0.0,
    )
    optimizer = Adam(
        WarmupInverseSqrt(16, 10, accumulation_steps=steps),
        # Large, so that rounding doesn't decide where gradients are zero.
        epsilon=1e-3,
        global_clipnorm=0.5,
        gradient_accumulation_steps=steps if steps > 1 else None,
    )
    model.compile(optimizer, MaskedCrossentropy(0.1))
    history = model.fit(batches, steps_per_epoch=updates * steps, verbose=0)
    return model.get_weights()[:-1], history.history["loss"][0]


def joined(parts):
    """One batch of several, each side padded to its longest."""

    def rows(arrays):
        longest = max(array.shape[1] for array in arrays)
        return np.concatenate(
            [np.pad(a, ((0, 0), (0, longest - a.shape[1]))) for a in arrays]
        )

    inputs = {name: rows([p[0][name] for p in parts]) for name in parts[0][0]}
    return inputs, rows([labels for _, labels, _ in parts])


def of_any_shape(batches):
    """A dataset: of a generator Keras takes the first batches' shapes for all."""
    spec = tf.nest.map_structure(
        lambda ids: tf.TensorSpec((None, None), ids.dtype), batches[0]
    )
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)


def test_four_batches_train_as_one_large_batch(corpus, tokenizer):
    updates, steps = 15, 4
    small = kt.text.make_batches(
        *corpus,
        source_tokenizer=tokenizer,
        tokens_per_batch=128,
        accumulation_steps=steps,
    )
    parts = list(small.take(updates * steps).as_numpy_iterator())
    large = [joined(parts[i : i + steps]) for i in range(0, len(parts), steps)]
    tokens = [np.count_nonzero(labels) for _, labels, _ in parts[:steps]]
    assert len(set(tokens)) > 1, "batches alike would show nothing"
    one, one_loss = trained(tokenizer, of_any_shape(large), updates, 1)
    four, four_loss = trained(tokenizer, small, updates, steps)
    for found, expected in zip(four, one):
        scale = max(np.abs(expected).max(), 1e-2)
        np.testing.assert_allclose(found, expected, atol=1e-5 * scale)
    assert four_loss == pytest.approx(one_loss, rel=0.05)


def test_accumulation_is_for_batches_that_repeat(corpus, tokenizer):
    with pytest.raises(ValueError, match="accumulation_steps=2, repeat=False"):
        kt.text.make_batches(
            *corpus, source_tokenizer=tokenizer, accumulation_steps=2, repeat=False
        )
