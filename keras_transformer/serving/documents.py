"""The signatures of a translator's export for whole documents."""

from typing import Any

import tensorflow as tf

from keras_transformer.serving.request_options import given_options, option_inputs
from keras_transformer.serving.signatures import TEXT, graph
from keras_transformer.serving.sources import valid_utf8
from keras_transformer.serving.translator_searches import TranslatorSearches
from keras_transformer.tasks.translator import Translator
from keras_transformer.text.documents import (
    join_document,
    split_document,
    split_language,
)

# Most source tokens of a search, padding included: it bounds the memory of a long text.
_TOKENS_PER_SEARCH = 4096
# Options that `document` has an input for, beside the prefix.
INPUTS_OF_DOCUMENTS = "length_penalty", "max_length"
_STRING = tf.TensorSpec([None], tf.string)


class DocumentSignatures(TranslatorSearches):
    """Texts of any number of sentences in, their translations out."""

    def __init__(self, translator: Translator, *args: Any, **options: Any) -> None:
        super().__init__(translator, *args, **options)
        # One translation of a document, with as many hypotheses as any sentence.
        known = [each for each in self._options if each.name != "num_hypotheses"]
        self._split = graph(self._pieces, input_signature=[TEXT])
        pieces = tf.RaggedTensorSpec([None, None], tf.string, 1, tf.int64)
        self._join = graph(join_document, input_signature=[_STRING, pieces])
        self.document = self._document(known)
        self.document_with_options = self._with_options(
            self._answer_documents, known, prefix="target_prefix"
        )

    def _pieces(self, text):
        translator = self._text_model
        return split_document(
            text, translator.source_tokenizer, translator.longest_source
        )

    @graph(input_signature=[TEXT])
    def split(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        sentences, pieces = self._split(text)
        return {
            "pieces": valid_utf8(pieces.to_tensor()),
            "num_pieces": tf.cast(pieces.row_lengths(), tf.int32),
            "sentences": valid_utf8(sentences.to_tensor()),
            "num_sentences": tf.cast(sentences.row_lengths(), tf.int32),
        }

    def _document(self, known):
        """The signature with an input for each option."""
        specs, defaults = option_inputs(known, INPUTS_OF_DOCUMENTS)

        @graph(input_signature=[TEXT, *specs])
        def document(
            text,
            length_penalty=defaults[0],
            max_length=defaults[1],
            target_prefix=defaults[2],
        ):
            rows = tf.shape(text)
            values = dict(zip(INPUTS_OF_DOCUMENTS, (length_penalty, max_length)))
            given = given_options(known, values, rows)
            given.prefix = tf.broadcast_to(target_prefix, rows)
            return self._answer_documents(text, given, self._search.sample)

        return document

    def _answer_documents(self, text, given, sampled):
        """Answers to documents `(B,)` whose options, of each sentence, are given."""
        sentences, pieces = self._split(text)
        row = sentences.value_rowids()
        ids, truncated = self._text_model.encode(sentences.flat_values)
        is_first = tf.concat([row[:1] >= 0, row[1:] != row[:-1]], 0)
        rows = {
            **{name: tf.gather(value, row) for name, value in given.values.items()},
            "num_hypotheses": tf.ones_like(row, tf.int32),
            "answered": tf.gather(given.answered, row),
            "prefix": tf.where(is_first, tf.gather(given.prefix, row), ""),
        }
        found = tf.cond(
            (tf.size(row) == 1) & self._ask_for_nothing(rows),
            lambda: self._first_texts(self._best_of_one(ids.to_tensor())),
            lambda: _in_order(self._sentence_search(sampled), ids, rows),
        )
        documents = self._join(found, pieces)
        _, blank = split_language(text, self._text_model.source_tokenizer)
        prefix = self._prefix_ids(given.prefix)
        prefix = self._text_model.target_tokenizer.detokenize(prefix)
        count = tf.cast(sentences.row_lengths(), tf.int32)
        documents = tf.where(count > 0, documents, tf.strings.join([prefix, blank]))
        cut = tf.cast(truncated, tf.int32)
        return {
            "translation": tf.where(given.answered, valid_utf8(documents), ""),
            "num_sentences": count,
            "truncated": tf.math.unsorted_segment_sum(cut, row, tf.size(text)) > 0,
            "bounded": given.bounded,
            "error": given.error,
        }

    def _sentence_search(self, sampled):
        """The search of `_in_order`; `sampled` is whether all rows draw, or a tensor.

        It is that of `translate`: one of its own would double the memory.
        """
        is_fixed = isinstance(sampled, bool)

        def search(source_ids, rows):
            rows = dict(rows)
            chosen, drawn = rows.pop("answered"), rows.pop("sample")
            rows["target_prefix"] = self._prefix_ids(rows.pop("prefix"))
            rows["max_length"] = self._most_tokens(source_ids, rows["max_length"])
            drawn = sampled if is_fixed else drawn
            return self._first_texts(
                self._search_of_some(chosen, source_ids, rows, drawn)
            )

        return search

    def _first_texts(self, found):
        """Strings `(B,)` of the only answers that a search found."""
        return self._texts(tf.ensure_shape(found["ids"], [None, 1, None]))[:, 0]

    def _ask_for_nothing(self, rows):
        """Whether all rows have the export's own options, a bool scalar.

        A single sentence of that kind, the usual short text, is then searched as by
        `serving_default`, which is faster.
        """
        own = {each.name: each.default_tensor() for each in self._options}
        asked = [rows["sample"], ~rows["answered"], tf.not_equal(rows["prefix"], "")]
        for name in ("length_penalty", "max_length", "min_length"):
            asked.append(tf.not_equal(rows[name], own[name]))
        return ~tf.reduce_any(tf.stack(asked))


def _in_order(search, ids, rows):
    """Strings `(N,)`: the answers to sentences, the longest searched first.

    Sentences of like length are searched together, as many as `_TOKENS_PER_SEARCH`
    allows.

    Args:
        search: Function of ids `(n, S)` and a part of `rows`: strings `(n,)`.
        ids: Ragged ids `(N, None)`.
        rows: Dict of tensors with a row for each sentence.
    """
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    lengths = tf.gather(lengths, order)
    count = tf.size(order)

    def step(start, found):
        most = tf.maximum(_TOKENS_PER_SEARCH // lengths[start], 1)
        part = order[start : start + most]
        texts = search(
            tf.gather(ids, part).to_tensor(),
            {name: tf.gather(value, part) for name, value in rows.items()},
        )
        found = tf.tensor_scatter_nd_update(found, part[:, None], texts)
        return start + tf.size(part), found

    _, found = tf.while_loop(
        lambda start, found: start < count,
        step,
        (0, tf.fill([count], "")),
        parallel_iterations=1,
    )
    return found
