"""Text <-> ids inside the graph, and parallel text -> batches."""

from keras_transformer.text.batches import CorpusReport, make_batches
from keras_transformer.text.corpus import read_lines, read_pairs
from keras_transformer.text.documents import (
    cut_long,
    is_blank,
    join_document,
    split_document,
)
from keras_transformer.text.hub_tokenizer import HubTokenizer
from keras_transformer.text.sentences import split_sentences
from keras_transformer.text.tokenizer import Tokenizer, train_tokenizer
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

__all__ = [
    "CorpusReport",
    "HubTokenizer",
    "Tokenizer",
    "VocabularyTokenizer",
    "cut_long",
    "is_blank",
    "join_document",
    "make_batches",
    "read_lines",
    "read_pairs",
    "split_document",
    "split_sentences",
    "train_tokenizer",
]
