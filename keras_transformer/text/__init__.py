"""Text <-> ids inside the graph, and parallel text -> batches."""

from keras_transformer.text.batches import CorpusReport, make_batches
from keras_transformer.text.corpus import read_lines, read_pairs
from keras_transformer.text.tokenizer import Tokenizer, train_tokenizer
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

__all__ = [
    "CorpusReport",
    "Tokenizer",
    "VocabularyTokenizer",
    "make_batches",
    "read_lines",
    "read_pairs",
    "train_tokenizer",
]
