"""What exports that search share: the search in its graph, for all rows or for each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transformer.decoding import SearchOptions
from keras_transformer.kernels import with_matmuls_in_parts
from keras_transformer.serving.parts import (
    answered_by,
    answers_to_some,
    shared_out,
)
from keras_transformer.serving.request_options import Option, read_options
from keras_transformer.serving.signatures import NO_SCORE, TEXT, Signatures, graph

# Fewer sentences than this don't keep a thread busy enough to share them out.
SENTENCES_PER_SEARCH = 16
# Far above any temperature of use.
_HOTTEST = 100.0
_LEAST_TOP_P = 1e-6
_IDS = tf.TensorSpec([None, None], tf.int32)
_OPTIONS = tf.TensorSpec([None], tf.string, name="options")


class SearchSignatures(Signatures):
    """Signatures that search: of a translator, and of a text generator.

    Args:
        text_model: A `kt.Translator` or `kt.TextGenerator`.
        weights: See `Signatures`.
        parallel_searches: Number of searches that a batch is shared out to.
        search: A `kt.decoding.SearchOptions`; by default the text model's own.
    """

    def __init__(
        self,
        text_model: Any,
        weights: str = "float32",
        parallel_searches: int = 1,
        search: SearchOptions | None = None,
    ) -> None:
        super().__init__(text_model, weights)
        self._parallel_searches = parallel_searches
        self._search = text_model.options() if search is None else search
        self._searches_of_rows: dict[bool, Callable[..., Any]] = {}
        self._options = self._row_options()

    def _row_options(self):
        """What a row of a request may ask for: a list of `Option`."""
        raise NotImplementedError

    def _with_options(self, answer, known, **reading):
        """A signature whose options are one string a row.

        Args:
            answer: Function of texts `(B,)`, their `RowOptions`, and whether tokens are
                drawn, bool `(B,)`, that gives the signature's outputs.
            known: List of `Option`.
            **reading: Arguments of `read_options`.
        """
        # A tensor as a default becomes the signature's, which the server fills in.
        none = tf.constant([""])
        if not self._search.sample:
            reading["with_sample"] = "temperature", "top_p", "seed"

        @graph(input_signature=[TEXT, _OPTIONS])
        def with_options(text, options=none):
            given = read_options(known, options, tf.shape(text), **reading)
            return answer(text, given, given.values["sample"])

        return with_options

    def _sampling_options(self):
        """What a row may say about drawing, with the export's defaults."""
        temperature, top_p = self._search.temperature, self._search.top_p
        hottest = max(temperature, _HOTTEST)
        seeds = tf.int32.min, tf.int32.max
        return [
            Option("temperature", temperature, 0.0, hottest, tf.float32),
            Option("top_p", top_p, min(top_p, _LEAST_TOP_P), 1.0, tf.float32),
            Option("seed", self._search.seed, *seeds),
        ]

    def _option_requests(self, texts, name, inputs):
        """Requests to signatures with options: without any, and with them.

        Args:
            texts: List of B strings.
            name: A signature with an input for each option.
            inputs: Names of these options.
        """
        named = {option.name: option for option in self._options}
        defaults = {n: named[n].default_tensor().numpy() for n in inputs}
        given = {n: np.repeat(value, len(texts)) for n, value in defaults.items()}
        yield name, {"text": texts, **given}
        for options in ("", "sample=1"):
            rows = [options] * len(texts)
            yield "with_options", {"text": texts, "options": rows}

    def _find(self, source_ids, *, by_xla=False, **options):
        options = self._search.changed(**options)
        weights = self._weights
        scope = weights.in_use_by_xla() if by_xla else weights.in_use()
        with scope as model:
            return self._text_model.search(source_ids, model, options)

    def _best_searches(self, **options):
        """Three functions of source ids `(B, S)`: the search for one answer each.

        They may be called several times, and share their copies of the search. The
        first is faster for a single row; the second loads faster; the third is for a
        single row.
        """

        def find(source_ids):
            return self._find(source_ids, num_hypotheses=1, **options)

        many, one = self._many(find, [_IDS]), self._one(find, [_IDS])
        searches = self._one_or_many(find, [_IDS], many, one), many, one

        def best_by(search):
            def best(source_ids):
                found = search(source_ids)
                return {
                    "ids": tf.ensure_shape(found["ids"], [None, 1, None]),
                    "scores": tf.ensure_shape(found["scores"], [None, 1]),
                }

            return best

        return tuple(best_by(search) for search in searches)

    def _one(self, find, specs):
        """A search in a graph for a single row, for which attention is faster."""
        scalars = _count_scalars(specs)
        alone = [
            tf.TensorSpec([1, *spec.shape[1:]], spec.dtype) for spec in specs[scalars:]
        ]

        @graph(input_signature=[*specs[:scalars], *alone])
        def of_one(*inputs):
            # Too little to be shared out, but what it reads isn't.
            with with_matmuls_in_parts(self._parallel_searches):
                return find(*inputs)

        def search(*inputs):
            return of_one(*inputs[:scalars], *(each[:1] for each in inputs[scalars:]))

        return search

    def _one_or_many(self, find, specs, many=None, one=None):
        """`_many`, and `_one` where there is a single row."""
        many, one = many or self._many(find, specs), one or self._one(find, specs)
        scalars = _count_scalars(specs)

        def search(*inputs):
            return tf.cond(
                tf.shape(inputs[scalars])[0] == 1,
                lambda: one(*inputs),
                lambda: many(*inputs),
            )

        return search

    def _many(self, find, specs):
        """A search in a graph of its own, to which a batch's parts are shared out.

        Args:
            find: Function of tensors.
            specs: Their `tf.TensorSpec`s: scalars, and then what has a row for each
                sentence.
        """
        of_many, scalars = graph(find, input_signature=specs), _count_scalars(specs)

        def search(*inputs):
            shared, rows = inputs[:scalars], inputs[scalars:]
            return self._in_parts(lambda *part: of_many(*shared, *part), *rows)

        return search

    def _in_parts(self, search, *inputs):
        """As many searches side by side as keep their threads busy."""
        count = tf.shape(inputs[0])[0] // SENTENCES_PER_SEARCH
        count = tf.clip_by_value(count, 1, self._parallel_searches)
        return shared_out(search, inputs, count, self._parallel_searches)

    def _search_of_some(self, chosen, source_ids, values, sampled):
        """A search whose rows have options of their own, for some of a batch.

        Args:
            chosen: bool `(B,)`: which rows are searched.
            source_ids: int32 `(B, S)`.
            values: Dict of options by name, each a tensor with a row for each sentence.
            sampled: Whether tokens are drawn: a bool, or a bool tensor `(B,)`.

        Returns:
            A dict of `"ids"` `(B, n, L)` and `"scores"` `(B, n)`, where n is the
            greatest `num_hypotheses` of all rows. Rows that aren't chosen have zeros.
        """
        is_fixed = isinstance(sampled, bool)
        rows = [source_ids, *values.values(), *(() if is_fixed else (sampled,))]

        def search(source_ids, *rest):
            given = dict(zip(values, rest))
            drawn = sampled if is_fixed else rest[-1]
            return self._search_of_rows(source_ids, given, drawn)

        found = answers_to_some(search, chosen, rows)
        most = tf.maximum(tf.reduce_max(values["num_hypotheses"]), 0)
        missing = [[0, 0], [0, tf.maximum(most - tf.shape(found["ids"])[1], 0)]]
        return {
            "ids": tf.pad(found["ids"], [*missing, [0, 0]]),
            "scores": tf.pad(found["scores"], missing),
        }

    def _search_of_rows(self, source_ids, values, sampled):
        """As `_search_of_some`, for all rows of a batch."""
        shared = [
            tf.reduce_max(values[n], axis=0) for n in ("num_hypotheses", "max_length")
        ]
        count, longest = (tf.maximum(value, 1) for value in shared)
        if self._search.beam_size == 1:
            # Greedy search is drawing at the temperature 0.
            if sampled is not True:
                hot = values["temperature"]
                values = {**values, "temperature": tf.where(sampled, hot, 0.0)}
            sampled = True
        names = list(values)
        rows = [source_ids, *values.values()]

        def answered(sample):
            def search(*rows):
                given = dict(zip(names, rows[1:]))
                return self._searched_by_rows(sample, count, longest, rows[0], given)

            def search_any(*rows):
                nothing = {
                    "ids": tf.zeros([0, count, 0], tf.int32),
                    "scores": tf.zeros([0, count]),
                }
                some = tf.shape(rows[0])[0] > 0
                return tf.cond(some, lambda: search(*rows), lambda: nothing)

            return search, search_any

        if isinstance(sampled, bool):
            return answered(sampled)[0](*rows)
        searches = [answered(sample)[1] for sample in (False, True)]
        return answered_by(searches, rows, tf.cast(sampled, tf.int32))

    def _searched_by_rows(self, sample, count, longest, source_ids, values):
        """The answers of a search with or without drawing, one copy of it in all."""
        needless = () if sample else ("num_hypotheses", "temperature", "top_p", "seed")
        # In one order, as all signatures share the search.
        values = {n: values[n] for n in sorted(values) if n not in needless}
        if sample not in self._searches_of_rows:
            names = list(values)

            def find(count, longest, source_ids, *given):
                options = dict(zip(names, given))
                # Of those drawn each row takes as many as it asked for.
                options.setdefault("num_hypotheses", count)
                if self._model.decoder_only:
                    options["num_hypotheses"] = 1
                found = self._find(
                    source_ids, longest=longest, sample=sample, **options
                )
                return {name: value[:, :count] for name, value in found.items()}

            specs = [tf.TensorSpec([], tf.int32)] * 2 + [_IDS]
            specs += [
                tf.TensorSpec([None] * value.shape.rank, value.dtype)
                for value in values.values()
            ]
            # A beam search gains less by a graph of single rows than loading it takes.
            kinds = self._one_or_many if self._model.decoder_only else self._many
            self._searches_of_rows[sample] = kinds(find, specs)
        search = self._searches_of_rows[sample]
        return search(count, longest, source_ids, *values.values())

    def _texts(self, ids):
        """Ids `(B, n, L)` -> strings `(B, n)`."""
        batch, count, length = tf.unstack(tf.shape(ids))
        flat = tf.reshape(ids, [batch * count, length])
        texts = self._text_model.target_tokenizer.detokenize(flat)
        # REST takes valid UTF-8 only; byte fallback can spell other bytes.
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        return tf.reshape(texts, [batch, count])

    def _columns(self, texts, scores, counts):
        """Texts `(B, n)` and their scores, of each row its own number of columns.

        Columns past it, all of a row that can't be answered, have no text and the
        score `NO_SCORE`.
        """
        is_own = tf.range(tf.shape(texts)[1]) < counts[:, None]
        return tf.where(is_own, texts, ""), tf.where(is_own, scores, NO_SCORE)


def _count_scalars(specs):
    return sum(spec.shape.rank == 0 for spec in specs)
