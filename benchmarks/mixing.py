"""Several corpora and BPE dropout: padding, and how fast batches are made.

    python benchmarks/mixing.py --pairs 100000

Two corpora are generated, the second with a tenth of the pairs. The first table says
the share of padding and the ids made in a CPU second, padding included. The second one
says what finding duplicates takes.
"""

import argparse
import itertools
import pathlib
import tempfile
import time
import tracemalloc

import numpy as np
from input_pipeline import generate, train_tokenizer

import keras_transformer as kt
from keras_transformer.data.filters import SeenHashes

BATCHES = 100
KINDS = {
    "one corpus": (1, {}),
    "two, by size": (2, {}),
    "two, weights 1 and 1": (2, {"weights": [1, 1]}),
    "one, bpe_dropout=0.1": (1, {"bpe_dropout": 0.1}),
    "two, weights and bpe_dropout": (2, {"weights": [1, 1], "bpe_dropout": 0.1}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--hashes", type=int, default=4_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        corpora = prepared(folder, options.pairs)
        print("| batches of 4,096 tokens | padding | ids a CPU second |")
        print("| --- | --- | --- |")
        for name, (number, given) in KINDS.items():
            padding, speed = measure(corpora[:number], given)
            print(f"| {name} | {padding:.1%} | {speed:,.0f} |", flush=True)
    memory, seconds = measure_duplicates(options.hashes)
    print("\n| duplicates | most memory, MB a million pairs | CPU s a million pairs |")
    print("| --- | --- | --- |")
    print(f"| {options.hashes:,} pairs | {memory:.1f} | {seconds:.2f} |")


def prepared(folder, pairs):
    """Two corpora with one tokenizer."""
    texts = [generate(folder, pairs), generate(folder, pairs // 10)]
    train_tokenizer(texts[0], folder / "spm")
    tokenizer = kt.text.Tokenizer.load(folder / "spm")
    return [
        kt.data.prepare(*paths, folder / f"{i}", tokenizer, verbose=0)
        for i, paths in enumerate(texts)
    ]


def measure(corpora, options):
    """The share of padding, and ids a second."""
    batches = kt.data.make_batches(corpora, **options)
    began, real, ids = time.process_time(), 0, 0
    for inputs, labels in itertools.islice(batches, BATCHES):
        for side in (inputs["source_ids"], labels):
            real += np.count_nonzero(side)
            ids += np.size(side)
    return 1 - real / ids, ids / (time.process_time() - began)


def measure_duplicates(number):
    """Memory and time for each million of pairs."""
    random = np.random.default_rng(0)
    chunks = [
        random.integers(0, 2**63, 2048, np.uint64) for _ in range(-(-number // 2048))
    ]
    seen, began = SeenHashes(), time.process_time()
    tracemalloc.start()
    for chunk in chunks:
        seen.add(chunk)
    memory = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    millions = number / 1e6
    return memory / millions, (time.process_time() - began) / millions


if __name__ == "__main__":
    main()
