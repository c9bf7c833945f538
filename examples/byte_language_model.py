"""A language model of bytes, beside gzip and an n-gram model.

    python examples/byte_language_model.py

It learns the docstrings of the Keras that is installed, file by file; every tenth file
is held out. The figure is bits per byte of the held-out text, what an ideal coder would
need with the model's probabilities: gzip's is that of the held-out text packed with its
best level, the n-gram model's that of five bytes of context with Witten-Bell smoothing.
"""

import argparse
import ast
import collections
import gzip
import math
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

import keras_transformer as kt

PADDING, START, FIRST = 0, 2, 4
VOCABULARY = FIRST + 256
LENGTH = 256
CONTEXT = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--prompt", default="Args:\n    ")
    parser.add_argument("--verbose", type=int, default=1)
    arguments = parser.parse_args()
    train, test = docstrings()
    print(f"{len(train):,} bytes to learn from, {len(test):,} held out")
    start = time.time()
    model = train_model(train, arguments.steps, arguments.verbose)
    minutes = (time.time() - start) / 60
    print("\n| model | bits per byte |\n| --- | --- |")
    packed = 8 * len(gzip.compress(test, 9)) / len(test)
    print(f"| gzip | {packed:.3f} |")
    print(f"| {CONTEXT + 1}-grams | {ngram_bits(train, test):.3f} |")
    bits = model_bits(model, test)
    print(f"| LanguageModel, {minutes:.0f} minutes | {bits:.3f} |")
    prompt = np.frombuffer(arguments.prompt.encode(), "uint8").astype("int32") + FIRST
    found = model.generate(prompt[None], sample=True, top_p=0.9, extra_length=150)
    ids = keras.ops.convert_to_numpy(found["ids"])[0, 0]
    print("\n" + bytes((ids[ids >= FIRST] - FIRST).tolist()).decode("utf-8", "replace"))


def docstrings():
    """The docstrings of Keras: bytes to learn from, and bytes held out."""
    parts = [], []
    folder = pathlib.Path(keras.__file__).parent
    files = [path for path in sorted(folder.rglob("*.py")) if "_test" not in path.name]
    for number, path in enumerate(files):
        tree = ast.parse(path.read_text("utf-8"))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        for node in ast.walk(tree):
            text = isinstance(node, documented) and ast.get_docstring(node)
            if text:
                parts[number % 10 == 9].append(text)
    return tuple("\n\n".join(part).encode() for part in parts)


def train_model(text, steps, verbose):
    keras.utils.set_random_seed(1)
    model = kt.LanguageModel.from_preset(
        "mini", VOCABULARY, position_encoding="rotary", dropout=0.0
    )
    schedule = kt.training.WarmupInverseSqrt.from_peak(0.003, 128, warmup_steps=300)
    model.compile(kt.training.Adam(schedule), kt.training.MaskedCrossentropy(0.0))
    ids = np.frombuffer(text, "uint8").astype("int32") + FIRST
    starts = np.random.default_rng(1).integers(0, len(ids) - LENGTH, (steps, 16))
    batches = (shifted(ids[rows[:, None] + np.arange(LENGTH)]) for rows in starts)
    signature = (tf.TensorSpec((None, None), tf.int32),) * 2
    data = tf.data.Dataset.from_generator(lambda: batches, output_signature=signature)
    model.fit(data.prefetch(4), steps_per_epoch=steps // 5, epochs=5, verbose=verbose)
    return model


def shifted(ids):
    """What the model reads, and what it is to predict."""
    inputs = np.roll(ids, 1, axis=1)
    inputs[:, 0] = START
    return inputs, ids


def model_bits(model, text):
    """Bits per byte; half of each window but the first is context only."""
    ids = np.frombuffer(text, "uint8").astype("int32") + FIRST
    loss = kt.training.MaskedCrossentropy(0.0, reduction="none")
    half = LENGTH // 2
    total = 0.0
    starts = np.arange(0, len(ids), half)
    for some in np.array_split(starts, len(starts) // 16 + 1):
        windows = np.zeros((len(some), LENGTH), "int32")
        for row, start in zip(windows, some):
            part = ids[max(0, start - half) : start + half]
            row[: len(part)] = part
        inputs, labels = shifted(windows)
        losses = keras.ops.convert_to_numpy(loss(labels, model(inputs)))
        for row, start, real in zip(losses, some, labels > 0):
            first = half if start else 0
            total += row[first:][real[first:]].sum()
    return total / math.log(2) / len(ids)


def ngram_bits(train, test):
    """Bits per byte of n-grams, shorter contexts mixed in by Witten and Bell's rule."""
    counts = [collections.defaultdict(collections.Counter) for _ in range(CONTEXT + 1)]
    for i, byte in enumerate(train):
        for order in range(min(i, CONTEXT) + 1):
            counts[order][train[i - order : i]][byte] += 1
    sums = [{c: sum(n.values()) for c, n in table.items()} for table in counts]
    bits = 0.0
    for i, byte in enumerate(test):
        probability = 1 / 256
        for order in range(min(i, CONTEXT) + 1):
            context = test[i - order : i]
            found = counts[order].get(context)
            if found is None:
                break
            # As many unseen continuations are expected as there are kinds of seen.
            kinds, seen = len(found), sums[order][context]
            probability = (found[byte] + kinds * probability) / (seen + kinds)
        bits -= math.log2(probability)
    return bits / len(test)


if __name__ == "__main__":
    main()
