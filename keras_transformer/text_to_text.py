"""A model and its tokenizers: text in and text out."""

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.decoding.generate import check_search, generate
from keras_transformer.text_model import TextModel, as_list

# Options that may be one value, or a list with one for each text.
_OF_TEXTS = (
    "length_penalty",
    "max_length",
    "min_length",
    "temperature",
    "top_p",
    "seed",
)


class TextToText(TextModel):
    """What a translator and a text generator share: the search."""

    # Where neither a call nor `search_options` says otherwise.
    defaults = {}

    def __init__(
        self,
        model,
        source_tokenizer,
        target_tokenizer=None,
        max_source_length=256,
        search_options=None,
    ):
        super().__init__(model, source_tokenizer, target_tokenizer, max_source_length)
        self.search_options = dict(search_options or {})
        self.options()

    def _answer(
        self,
        texts,
        num_hypotheses=1,
        return_scores=False,
        target_prefix=None,
        seed=0,
        tokens_per_batch=4096,
        verbose=0,
        **options,
    ):
        """The answers to texts, in their order."""
        if isinstance(texts, str):
            results = self._answer(
                [texts],
                num_hypotheses,
                return_scores,
                target_prefix,
                seed,
                **options,
            )
            return tuple(r[0] for r in results) if return_scores else results[0]
        options = self.options(num_hypotheses=num_hypotheses, **options)
        texts = as_list(texts)
        prefixes = self._prefixes(target_prefix, len(texts))
        answers, scores = [None] * len(texts), [None] * len(texts)
        progress = keras.utils.Progbar(len(texts)) if verbose and texts else None
        options = self._with_banned({**options, "seed": seed})
        for name in _OF_TEXTS:
            _check_rows(name, options.get(name), len(texts))
        for rows, source_ids in self._batches(texts, tokens_per_batch):
            if prefixes is not None:
                options["target_prefix"] = prefixes[rows]
            own = {
                name: np.asarray(options[name])[rows]
                for name in _OF_TEXTS
                if np.ndim(options.get(name)) == 1
            }
            found = self.model.generate(
                source_ids, **self._start_and_end, **{**options, **own}
            )
            ids = keras.ops.convert_to_numpy(found["ids"])
            flat = self.target_tokenizer.detokenize(ids.reshape(-1, ids.shape[-1]))
            flat = [text.decode("utf-8", "replace") for text in flat.numpy()]
            batch_scores = keras.ops.convert_to_numpy(found["scores"]).tolist()
            for i, row in enumerate(rows):
                answers[row] = flat[i * num_hypotheses : (i + 1) * num_hypotheses]
                scores[row] = batch_scores[i]
            if progress:
                progress.add(len(rows))
        if num_hypotheses == 1:
            answers = [answer[0] for answer in answers]
            scores = [score[0] for score in scores]
        return (answers, scores) if return_scores else answers

    def options(self, **given):
        """The search's options: those given and not None, or else the translator's own.

        Raises:
            ValueError: For options out of range.
        """
        given = {name: value for name, value in given.items() if value is not None}
        options = {**self.defaults, **self.search_options, **given}
        check_search(**options)
        return options

    def _prefixes(self, target_prefix, count):
        """The ids `(count, P)` that the answers begin with, padded; or None."""
        if target_prefix is None or count == 0:
            return None
        if isinstance(target_prefix, str):
            target_prefix = [target_prefix] * count
        if len(target_prefix) != count:
            raise ValueError(
                "target_prefix must be a string, or a list with one for each text; "
                f"received {len(target_prefix)} for {count} texts."
            )
        prefixes = self.target_tokenizer.tokenize(tf.constant(target_prefix))
        return prefixes.to_tensor().numpy()

    def search(self, source_ids, model=None, **options):
        """Source ids `(B, S)` -> the dict of `kt.decoding.generate`, in the graph.

        Options that aren't given are those of `search_options`, or the class's own. A
        `model` is a copy of the translator's, of another dtype.
        """
        options = {**self.defaults, **self.search_options, **options}
        return generate(
            model or self.model,
            source_ids,
            **self._start_and_end,
            **self._with_banned(options),
        )

    @property
    def _start_and_end(self):
        tokenizer = self.target_tokenizer
        return {"start_id": tokenizer.start_id, "end_id": tokenizer.end_id}

    def _with_banned(self, options):
        """Options that also ban ids without a text: those past the tokenizer's."""
        size = self.model.target_embedding.vocabulary_size
        unknown = range(self.target_tokenizer.vocabulary_size, size)
        return {**options, "banned_ids": (*options.get("banned_ids", ()), *unknown)}

    def _settings(self):
        return {**super()._settings(), "search_options": self.search_options}


def _check_rows(name, value, count):
    if np.ndim(value) and np.shape(value) != (count,):
        raise ValueError(
            f"{name} must be a number, or a list with one for each text; received "
            f"values of shape {np.shape(value)} for {count} texts."
        )
