"""Each layer alone, inside an ordinary Keras text classifier.

    python examples/classify_text.py

The task needs order: does the word "not" come before the word "good"? Sentences hold
both, so a bag of words can only guess. Every classifier is the same ten lines but for
the one layer of ours in it.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_transformer import layers

WORDS = ["not", "good", *"a the film plot cast is was very quite and".split()]
LENGTH = 8


def sentences(count, seed):
    """Ids of sentences' words, and whether "not" comes before "good"."""
    generator = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        words = list(generator.choice(WORDS[2:], LENGTH - 2))
        for word in generator.permutation(WORDS[:2]):
            words.insert(generator.integers(len(words) + 1), str(word))
        texts.append(" ".join(words))
        labels.append(float(words.index("not") < words.index("good")))
    lookup = keras.layers.StringLookup(vocabulary=WORDS)
    ids = lookup(tf.strings.split(texts).to_tensor())
    return ids.numpy(), np.array(labels)[:, None]


def with_position(x):
    x = layers.PositionalEncoding()(x)
    x = keras.layers.Dense(64, activation="relu")(x)
    return keras.layers.Dense(64, activation="relu")(x)


def with_attention(x):
    # What a row may attend to, the words before it, tells the order.
    return layers.MultiHeadAttention(num_heads=2)(x, use_causal_mask=True)


def with_feed_forward(x):
    x = keras.layers.Conv1D(32, LENGTH, padding="causal")(x)
    return layers.FeedForward(intermediate_dim=64)(x)


def with_encoder(x):
    return layers.EncoderBlock(num_heads=2, intermediate_dim=64)(
        x, use_causal_mask=True
    )


def with_decoder(x):
    return layers.DecoderBlock(num_heads=2, intermediate_dim=64)(x)


def with_embedding_alone(x):
    return keras.layers.GRU(32, return_sequences=True)(x)


CLASSIFIERS = {
    "TokenEmbedding": with_embedding_alone,
    "PositionalEncoding": with_position,
    "MultiHeadAttention": with_attention,
    "FeedForward": with_feed_forward,
    "EncoderBlock": with_encoder,
    "DecoderBlock": with_decoder,
}


def accuracy(name, epochs=8):
    """Trains the classifier around one layer; its accuracy on unseen sentences."""
    keras.utils.set_random_seed(1)
    ids, labels = sentences(4000, seed=0)
    embedding = keras.layers.Embedding
    if name == "TokenEmbedding":
        embedding = layers.TokenEmbedding
    inputs = keras.Input((LENGTH,), dtype="int64")
    x = embedding(len(WORDS) + 1, 32)(inputs)
    x = CLASSIFIERS[name](x)
    x = layers.MaskedPooling("max")(x)
    outputs = keras.layers.Dense(1, activation="sigmoid")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(0.003), "binary_crossentropy", metrics=["accuracy"]
    )
    model.fit(ids, labels, batch_size=64, epochs=epochs, verbose=0)
    ids, labels = sentences(1000, seed=1)
    return model.evaluate(ids, labels, verbose=0)[1]


def main():
    for name in CLASSIFIERS:
        print(f"{name:<20} {accuracy(name):.1%}   (a bag of words guesses: 50%)")


if __name__ == "__main__":
    main()
