"""The corpus of a benchmark that trains: its arguments, tokenizer and batches."""

import argparse

import keras_transformer as kt


def corpus_parser(description, preset, steps):
    """A parser of the arguments that such benchmarks share, with these defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("source", help="a text file")
    parser.add_argument("target", help="its translation")
    parser.add_argument("--preset", default=preset)
    parser.add_argument("--vocabulary-size", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=steps)
    return parser


def read_corpus(arguments, **options):
    """A tokenizer trained on the corpus, and the batches of `kt.text.make_batches`."""
    paths = arguments.source, arguments.target
    tokenizer = kt.text.train_tokenizer(paths, arguments.vocabulary_size)
    batches = kt.text.make_batches(*paths, source_tokenizer=tokenizer, **options)
    return tokenizer, batches
