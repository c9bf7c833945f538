"""Text <-> ids inside the graph; sentences and documents."""

import importlib

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

# Names of `kt.data` that are found here too.
_OF_DATA = ("CorpusReport", "make_batches", "read_lines", "read_pairs")

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


def __getattr__(name):
    # When it is asked for: `data` imports tokenizers from here.
    if name in _OF_DATA:
        return getattr(importlib.import_module("keras_transformer.data"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
