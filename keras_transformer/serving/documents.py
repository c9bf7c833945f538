"""The signatures of a translator's export for whole documents."""

import tensorflow as tf

from keras_transformer.serving.request_options import given_options
from keras_transformer.serving.signatures import TEXT, graph
from keras_transformer.serving.sources import valid_utf8
from keras_transformer.serving.translator_searches import TranslatorSearches
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

    def __init__(self, translator, *args, **options):
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
    def split(self, text):
        sentences, pieces = self._split(text)
        return {
            "pieces": valid_utf8(pieces.to_tensor()),
            "num_pieces": tf.cast(pieces.row_lengths(), tf.int32),
            "sentences": valid_utf8(sentences.to_tensor()),
            "num_sentences": tf.cast(sentences.row_lengths(), tf.int32),
        }

    def _document(self, known):
        """The signature with an input for each option."""
        named = {option.name: option for option in known}
        specs = [
            TEXT,
            *(
                tf.TensorSpec([None], named[name].dtype, name=name)
                for name in INPUTS_OF_DOCUMENTS
            ),
            tf.TensorSpec([None], tf.string, name="target_prefix"),
        ]
        defaults = [*(named[name].default_tensor() for name in INPUTS_OF_DOCUMENTS)]
        defaults.append(tf.constant([""]))

        @graph(input_signature=specs)
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
        values = {
            name: tf.gather(value, row)
            for name, value in given.values.items()
            if name != "sample"
        }
        values["num_hypotheses"] = tf.ones_like(row, tf.int32)
        if not isinstance(sampled, bool):
            sampled = tf.gather(sampled, row)
        is_first = tf.concat([row[:1] >= 0, row[1:] != row[:-1]], 0)
        prefix = tf.where(is_first, tf.gather(given.prefix, row), "")
        chosen = tf.gather(given.answered, row)
        as_exported = self._is_as_exported(given)

        def search(source_ids, values, prefix, chosen, sampled):
            def by_rows():
                given = dict(values)
                given["max_length"] = self._most_tokens(
                    source_ids, values["max_length"]
                )
                given["target_prefix"] = self._prefix_ids(prefix)
                return self._search_of_some(chosen, source_ids, given, sampled)

            best = tf.cond(as_exported, lambda: self._best(source_ids), by_rows)
            return self._texts(tf.ensure_shape(best["ids"], [None, 1, None]))[:, 0]

        found = self._in_order(search, ids, values, prefix, chosen, sampled)
        documents = self._join(found, pieces)
        has_sentences = sentences.row_lengths() > 0
        _, blank = split_language(text, self._text_model.source_tokenizer)
        prefix = self._text_model.target_tokenizer.detokenize(
            self._prefix_ids(given.prefix)
        )
        blank = tf.strings.join([prefix, blank])
        documents = tf.where(has_sentences, documents, blank)
        cut = tf.math.unsorted_segment_sum(
            tf.cast(truncated, tf.int32), row, tf.shape(text)[0]
        )
        return {
            "translation": tf.where(given.answered, valid_utf8(documents), ""),
            "num_sentences": tf.cast(sentences.row_lengths(), tf.int32),
            "truncated": cut > 0,
            "bounded": given.bounded,
            "error": given.error,
        }

    def _is_as_exported(self, given):
        """Whether no row asks for anything of its own: a bool tensor."""
        same = [
            tf.reduce_all(tf.equal(value, option.default_tensor()))
            for option in self._options
            if (value := given.values.get(option.name)) is not None
        ]
        same.append(tf.reduce_all(tf.equal(given.prefix, "")))
        same.append(tf.reduce_all(given.answered))
        return tf.reduce_all(tf.stack(same))

    def _in_order(self, search, ids, *options):
        """Strings `(N,)`: the answers to sentences, the longest searched first.

        Sentences of like length are searched together, as many as
        `_TOKENS_PER_SEARCH` allows.

        Args:
            search: Function of ids `(n, S)` and a part of each of `options`, that gives
                strings `(n,)`.
            ids: Ragged ids `(N, None)`.
            *options: Tensors with a row for each sentence, dicts of them, or bools.
        """
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        order = tf.argsort(lengths, direction="DESCENDING", stable=True)
        lengths = tf.gather(lengths, order)
        count = tf.size(order)

        def part(value, rows):
            if isinstance(value, bool):
                return value
            if isinstance(value, dict):
                return {name: tf.gather(each, rows) for name, each in value.items()}
            return tf.gather(value, rows)

        def step(start, found):
            most = tf.maximum(_TOKENS_PER_SEARCH // lengths[start], 1)
            rows = order[start : start + most]
            source_ids = tf.gather(ids, rows).to_tensor()
            texts = search(source_ids, *(part(each, rows) for each in options))
            found = tf.tensor_scatter_nd_update(found, rows[:, None], texts)
            return start + tf.size(rows), found

        _, found = tf.while_loop(
            lambda start, found: start < count,
            step,
            (0, tf.fill([count], "")),
            parallel_iterations=1,
        )
        return found
