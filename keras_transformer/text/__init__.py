"""Text <-> ids; sentences and documents."""

import importlib
from typing import TYPE_CHECKING

from keras_transformer.lazy_names import lazy_names

_MODULES = {
    "HubTokenizer": "hub_tokenizer",
    "Tokenizer": "tokenizer",
    "VocabularyTokenizer": "vocabulary_tokenizer",
    "cut_long": "documents",
    "is_blank": "documents",
    "join_document": "documents",
    "load_tokenizer": "loading",
    "split_document": "documents",
    "split_sentences": "sentences",
    "train_tokenizer": "tokenizer",
}
# Names of `kt.data` that are found here too.
_OF_DATA = ("CorpusReport", "make_batches", "read_lines", "read_pairs")

_own_name, _own_names, _ = lazy_names(__name__, _MODULES)
__all__ = sorted([*_MODULES, *_OF_DATA])

if TYPE_CHECKING:
    # As type checkers see the names.
    from keras_transformer.data import CorpusReport as CorpusReport
    from keras_transformer.data import make_batches as make_batches
    from keras_transformer.data import read_lines as read_lines
    from keras_transformer.data import read_pairs as read_pairs
    from keras_transformer.text.documents import cut_long as cut_long
    from keras_transformer.text.documents import is_blank as is_blank
    from keras_transformer.text.documents import join_document as join_document
    from keras_transformer.text.documents import split_document as split_document
    from keras_transformer.text.hub_tokenizer import HubTokenizer as HubTokenizer
    from keras_transformer.text.loading import load_tokenizer as load_tokenizer
    from keras_transformer.text.sentences import split_sentences as split_sentences
    from keras_transformer.text.tokenizer import Tokenizer as Tokenizer
    from keras_transformer.text.tokenizer import train_tokenizer as train_tokenizer
    from keras_transformer.text.vocabulary_tokenizer import (
        VocabularyTokenizer as VocabularyTokenizer,
    )


def __getattr__(name):
    # When it is asked for: `data` imports tokenizers from here.
    if name in _OF_DATA:
        return getattr(importlib.import_module("keras_transformer.data"), name)
    return _own_name(name)


def __dir__():
    return sorted({*_own_names(), *_OF_DATA})
