"""Text <-> ids; sentences and documents."""

import importlib

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


def __getattr__(name):
    # When it is asked for: `data` imports tokenizers from here.
    if name in _OF_DATA:
        return getattr(importlib.import_module("keras_transformer.data"), name)
    return _own_name(name)


def __dir__():
    return sorted({*_own_names(), *_OF_DATA})
