"""Parallel text in files -> pairs -> ids -> batches."""

from keras_transformer.lazy_names import lazy_names

_MODULES = {
    "CorpusReport": "report",
    "Filters": "filters",
    "PreparedCorpus": "prepared",
    "load": "prepared",
    "make_batches": "batches",
    "prepare": "preparation",
    "read_lines": "corpus",
    "read_pairs": "corpus",
}

__getattr__, __dir__, _ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
