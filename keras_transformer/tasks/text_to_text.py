"""A model and its tokenizers: text in and text out."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.arguments import check_names
from keras_transformer.decoding.generate import generate
from keras_transformer.decoding.options import SearchOptions
from keras_transformer.tasks.text_model import TextModel
from keras_transformer.text.any_tokenizer import AnyTokenizer
from keras_transformer.texts import as_texts

# What the tokenizer decides, and what belongs to a call's texts.
_TOKENS = ("start_id", "end_id")
_NOT_DEFAULTS = (*_TOKENS, "target_prefix", "phrases")


class TextToText(TextModel):
    """What a translator and a text generator share: the search."""

    # Changes of `SearchOptions`, where neither a call nor `search_options` says more.
    defaults: dict[str, Any] = {}
    # What messages call the argument that texts come in.
    input_name = "texts"

    def __init__(
        self,
        model: keras.Model,
        source_tokenizer: AnyTokenizer,
        target_tokenizer: AnyTokenizer | None = None,
        max_source_length: int = 256,
        search_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, source_tokenizer, target_tokenizer, max_source_length)
        if not isinstance(search_options, (Mapping, type(None))):
            raise TypeError(
                "search_options must be a dict of options; received "
                f"search_options={search_options!r}."
            )
        self.search_options = dict(search_options or {})
        for name in _NOT_DEFAULTS:
            if name in self.search_options:
                raise ValueError(
                    f"search_options must leave out {name}; received "
                    f"search_options={search_options!r}."
                )
        checked = dict(self.options().items())
        self.search_options = {name: checked[name] for name in self.search_options}

    def _answer(
        self,
        texts,
        options,
        *,
        return_scores=False,
        target_prefix=None,
        tokens_per_batch=4096,
        verbose=0,
    ):
        """The answers to texts, in their order."""
        texts, is_one = as_texts(texts, self.input_name)
        answers, scores = self._answers_and_scores(
            texts,
            options,
            self._prefixes(target_prefix, len(texts)),
            tokens_per_batch,
            verbose,
        )
        if options.num_hypotheses == 1:
            answers = [answer[0] for answer in answers]
            scores = [score[0] for score in scores]
        if is_one:
            answers, scores = answers[0], scores[0]
        return (answers, scores) if return_scores else answers

    def _answers_and_scores(self, texts, options, prefixes, tokens_per_batch, verbose):
        """All hypotheses of each text and their scores: two lists of lists."""
        answers, scores = [None] * len(texts), [None] * len(texts)
        progress = keras.utils.Progbar(len(texts)) if verbose and texts else None
        count = options.num_hypotheses
        options = self._with_banned(options)
        of_texts = self._of_texts(options, len(texts))
        for rows, source_ids in self._batches(texts, tokens_per_batch):
            if prefixes is not None:
                options = options.changed(target_prefix=prefixes[rows])
            own = {name: values[rows] for name, values in of_texts.items()}
            found = self.model.generate(source_ids, options.changed(**own))
            ids = keras.ops.convert_to_numpy(found["ids"])
            flat = self.target_tokenizer.detokenize(ids.reshape(-1, ids.shape[-1]))
            flat = [text.decode("utf-8", "replace") for text in flat.numpy()]
            batch_scores = keras.ops.convert_to_numpy(found["scores"]).tolist()
            for i, row in enumerate(rows):
                answers[row] = flat[i * count : (i + 1) * count]
                scores[row] = batch_scores[i]
            if progress:
                progress.add(len(rows))
        return answers, scores

    def options(self, **given: Any) -> SearchOptions:
        """The options of a search, as a `kt.decoding.SearchOptions`.

        Args:
            **given: Options by name. Where one is left out or None, `search_options`
                has it, or else this class's default.

        Raises:
            ValueError: For an option out of range; it is named.
            TypeError: For an unknown option; the nearest known one is named.
        """
        check_names("A search", given, self._option_names)
        given = {name: value for name, value in given.items() if value is not None}
        own = dict(self.search_options)
        if "extra_length" in given:
            # It says how long an answer may be, and so replaces a `max_length`.
            own.pop("max_length", None)
        tokens = {name: getattr(self.target_tokenizer, name) for name in _TOKENS}
        return SearchOptions(**{**self.defaults, **own, **given, **tokens})

    @property
    def _option_names(self):
        fields = dataclasses.fields(SearchOptions)
        return [field.name for field in fields if field.name not in _TOKENS]

    def _options_of(self, method, given, options):
        """The options that a method was called with, its own and those of a search."""
        taken = [
            parameter.name
            for parameter in inspect.signature(method).parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        known = [*taken, *self._option_names]
        check_names(f"{method.__name__}()", options, known)
        return self.options(**given, **options)

    def _of_texts(self, options, count):
        """The options that have a value for each text, arrays `(count,)` by name."""
        found = {}
        for name, value in options.items():
            if name in ("banned_ids", "target_prefix"):
                continue
            if np.ndim(value) != (3 if name == "phrases" else 1):
                continue
            if len(value) != count or name == "num_hypotheses":
                one_each = name != "num_hypotheses"
                words = ", or have one value for each text" if one_each else ""
                raise ValueError(
                    f"{name} must be a number{words}; received {len(value)} values for "
                    f"{count} texts."
                )
            found[name] = np.asarray(value)
        return found

    def _prefixes(self, target_prefix, count):
        """The ids `(count, P)` that the answers begin with, padded; or None."""
        if target_prefix is None or count == 0:
            return None
        target_prefix, is_one = as_texts(target_prefix, "target_prefix")
        if is_one:
            target_prefix *= count
        if len(target_prefix) != count:
            raise ValueError(
                "target_prefix must be a string, or a list with one for each text; "
                f"received {len(target_prefix)} for {count} texts."
            )
        prefixes = self.target_tokenizer.tokenize(tf.constant(target_prefix))
        return prefixes.to_tensor().numpy()

    def search(
        self,
        source_ids: tf.Tensor,
        model: keras.Model | None = None,
        options: SearchOptions | None = None,
        **changes: Any,
    ) -> dict[str, tf.Tensor]:
        """Source ids `(B, S)` -> the dict of `kt.decoding.generate`, in the graph.

        Args:
            source_ids: Integer ids `(B, S)`, 0 is padding.
            model: A copy of the text model's, such as one of another dtype; by default
                the model itself.
            options: From `options()`, which is the default.
            **changes: Options by name, over those of `options`.
        """
        options = self.options() if options is None else options
        options = self._with_banned(options.changed(**changes))
        return generate(model or self.model, source_ids, options)

    def _with_banned(self, options):
        """Options that also ban ids without a text: those past the tokenizer's."""
        size = self.model.target_embedding.vocabulary_size
        unknown = range(self.target_tokenizer.vocabulary_size, size)
        return options.changed(banned_ids=(*options.banned_ids, *unknown))

    def _settings(self):
        if self.search_options.get("allowed_tokens") is not None:
            raise ValueError(
                "search_options can't be saved with a function; received "
                f"allowed_tokens={self.search_options['allowed_tokens']!r}. Give it "
                "with each call."
            )
        return {**super()._settings(), "search_options": self.search_options}
