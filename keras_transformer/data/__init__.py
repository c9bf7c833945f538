"""Parallel text in files -> pairs -> batches."""

from keras_transformer.data.batches import CorpusReport, make_batches
from keras_transformer.data.corpus import read_pairs
from keras_transformer.reading import read_lines

__all__ = ["CorpusReport", "make_batches", "read_lines", "read_pairs"]
