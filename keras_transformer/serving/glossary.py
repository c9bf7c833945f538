"""The signature of a translator's export for terms and their translations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_transformer.serving.parts import answered_by, answers_to_some
from keras_transformer.serving.request_options import Option, read_options
from keras_transformer.serving.signatures import TEXT, graph
from keras_transformer.serving.sources import read_sources
from keras_transformer.serving.translator_searches import TranslatorSearches
from keras_transformer.tasks.translator import Translator
from keras_transformer.text.glossary import find_phrases

_SOURCES = tf.TensorSpec([None, None], tf.string, name="glossary_source")
_TARGETS = tf.TensorSpec([None, None], tf.string, name="glossary_target")
_OPTIONS = tf.TensorSpec([None], tf.string, name="options")
# Above this the model has no say.
_MOST_BONUS = 100.0
# Options of rows that any search takes, in the order of its inputs.
_OF_ROWS = "length_penalty", "max_length", "min_length"


class GlossarySignatures(TranslatorSearches):
    """Translations that have a glossary's terms where a text does."""

    def __init__(self, translator: Translator, *args: Any, **options: Any) -> None:
        super().__init__(translator, *args, **options)
        self._phrase_searches: dict[bool, Any] = {}
        self.glossary = self._glossary()

    def _glossary(self):
        known = [o for o in self._options if o.name in ("num_hypotheses", *_OF_ROWS)]
        bonus, force = self._search.phrase_bonus, self._search.force_phrases
        most = max(bonus, _MOST_BONUS)
        known += [
            Option("bonus", bonus, 0.0, most, tf.float32),
            Option("force", force, 0, 1, tf.bool),
        ]
        # A tensor as a default becomes the signature's, which the server fills in.
        none = tf.constant([""])

        @graph(input_signature=[TEXT, _SOURCES, _TARGETS, _OPTIONS])
        def glossary(text, glossary_source, glossary_target, options=none):
            given = read_options(known, options, tf.shape(text), prefix="target_prefix")
            return self._answer_with_terms(
                text, glossary_source, glossary_target, given
            )

        return glossary

    def _answer_with_terms(self, text, terms, translations, given):
        sources = read_sources(self._text_model, text)
        tokenizer = self._text_model.target_tokenizer
        values = dict(given.values)
        counts, force = values.pop("num_hypotheses"), values.pop("force")
        values["max_length"] = self._most_tokens(sources.ids, values["max_length"])
        values["target_prefix"] = prefix = self._prefix_ids(given.prefix)
        values["phrases"] = find_phrases(text, terms, translations, tokenizer)
        values["phrase_bonus"] = values.pop("bonus")
        most = tf.maximum(tf.reduce_max(counts), 1)
        chosen = given.answered & sources.visible
        found = self._search_with_phrases(chosen, most, sources.ids, values, force)
        return self._answers(found, sources, given, counts, prefix)

    def _search_with_phrases(self, chosen, count, source_ids, values, force):
        """The answers to chosen rows, `count` each."""
        longest = tf.maximum(tf.reduce_max(values["max_length"]), 1)
        names = sorted(values)

        def searched(forced, *rows):
            search = self._phrase_search(names, forced, rows)
            return search(count, longest, *rows)

        def search(source_ids, force, *rest):
            if self._search.beam_size > 1:
                return searched(None, source_ids, *rest, force)
            # Greedy search forces nothing: such rows have a search of their own.
            ways = [lambda *rows, f=f: searched(f, *rows) for f in (False, True)]
            rows = [source_ids, *rest]
            return answered_by(ways, rows, tf.cast(force, tf.int32))

        rows = [source_ids, force, *(values[name] for name in names)]
        return answers_to_some(search, chosen, rows)

    def _phrase_search(self, names, forced, rows):
        """A search with phrases, which are forced as `forced` or, if None, rows say."""
        if forced not in self._phrase_searches:

            def find(count, longest, source_ids, *given):
                options = dict(zip(names, given))
                options["force_phrases"] = given[-1] if forced is None else forced
                return self._find(
                    source_ids,
                    longest=longest,
                    num_hypotheses=count,
                    sample=False,
                    **options,
                )

            specs = [tf.TensorSpec([], tf.int32)] * 2 + [
                tf.TensorSpec([None] * row.shape.rank, row.dtype) for row in rows
            ]
            self._phrase_searches[forced] = self._many(find, specs)
        return self._phrase_searches[forced]
