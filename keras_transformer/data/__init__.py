"""Parallel text in files -> pairs -> ids -> batches."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    # As type checkers see the names.
    from keras_transformer.data.batches import make_batches as make_batches
    from keras_transformer.data.corpus import read_lines as read_lines
    from keras_transformer.data.corpus import read_pairs as read_pairs
    from keras_transformer.data.filters import Filters as Filters
    from keras_transformer.data.preparation import prepare as prepare
    from keras_transformer.data.prepared import PreparedCorpus as PreparedCorpus
    from keras_transformer.data.prepared import load as load
    from keras_transformer.data.report import CorpusReport as CorpusReport
