"""Whether input keeps up: epochs over the real pipeline and over batches made before.

    python benchmarks/input_pipeline.py train.en train.de

The same batches in the same order, once streamed by `kt.text.make_batches` (read,
tokenized, shuffled, put in buckets while the model trains) and once held in memory.
Epochs of both are interleaved; medians count.
"""

import statistics
import tempfile
import time

import tensorflow as tf
from corpus import corpus_parser, read_corpus
from turns import use_threads

import keras_transformer as kt


def main():
    parser = corpus_parser(__doc__.split("\n")[0], preset="tiny", steps=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    use_threads()
    tokenizer, streamed = read_corpus(arguments)
    model = kt.Transformer.from_preset(arguments.preset, tokenizer.vocabulary_size)
    model.compile(kt.training.Adam(1e-4), kt.training.MaskedCrossentropy())
    with tempfile.TemporaryDirectory() as folder:
        # Saved and read again: tensors of all shapes, nothing left to compute.
        streamed.take(arguments.steps).save(folder)
        held = tf.data.Dataset.load(folder).cache()
        contenders = {
            "streamed": lambda: streamed.from_step(0).take(arguments.steps),
            "held in memory": lambda: held,
        }
        seconds = {name: [] for name in contenders}
        for number in range(arguments.rounds + 1):
            for name, batches in contenders.items():
                began = time.perf_counter()
                model.fit(batches(), verbose=0)
                # The first round traces the step.
                if number:
                    seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"\n| {arguments.preset}, {arguments.steps} steps | seconds | ratio |")
    print("| --- | --- | --- |")
    for name, value in medians.items():
        print(f"| {name} | {value:.2f} | {value / medians['held in memory']:.3f} |")


if __name__ == "__main__":
    main()
