"""The Translator: a model and its tokenizers, text in and text out."""

import json
import os
import pathlib
import shutil
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.decoding.generate import check_search, generate
from keras_transformer.text.tokenizer import Tokenizer
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

_MODEL, _SOURCE, _TARGET, _SETTINGS = (
    "model.keras",
    "source.spm",
    "target.spm",
    "translator.json",
)
# The paper's, section 6.1.
_DEFAULTS = {"beam_size": 4, "length_penalty": 0.6}


class Translator:
    """Translates text with a Transformer and its tokenizers.

    Args:
        model: A `kt.Transformer`.
        source_tokenizer: `kt.text.Tokenizer` of the source, or a
            `kt.text.VocabularyTokenizer`.
        target_tokenizer: That of the target; the source's if left out.
        max_source_length: Most source tokens, end token included; longer sources are
            cut off, with a warning.
        search_options: Dict of options of `kt.decoding.generate` that hold where a call
            doesn't give its own, such as `{"beam_size": 6}`.

    Raises:
        ValueError: If a tokenizer has more ids than the model's embedding, or an option
            is out of range.

    Example:

    >>> translator = kt.Translator(model, tokenizer)
    >>> translator.translate(["A dog runs.", "Two people talk."])
    ['Ein Hund läuft.', 'Zwei Personen unterhalten sich.']
    """

    def __init__(
        self,
        model,
        source_tokenizer,
        target_tokenizer=None,
        max_source_length=256,
        search_options=None,
    ):
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer or source_tokenizer
        self.max_source_length = max_source_length
        self.search_options = dict(search_options or {})
        self.options()
        for side, tokenizer, embedding in (
            ("source", self.source_tokenizer, model.source_embedding),
            ("target", self.target_tokenizer, model.target_embedding),
        ):
            if tokenizer.vocabulary_size > embedding.vocabulary_size:
                raise ValueError(
                    f"The {side} tokenizer has {tokenizer.vocabulary_size} ids, but "
                    f"the model's {side} embedding only {embedding.vocabulary_size}."
                )
        self._searches = {}

    def translate(
        self,
        texts,
        beam_size=None,
        max_length=None,
        length_penalty=None,
        num_hypotheses=1,
        return_scores=False,
        target_prefix=None,
        seed=0,
        tokens_per_batch=4096,
        verbose=0,
        **options,
    ):
        """Translates a list of sentences of any size.

        Sentences of like length are translated together; the answers come back in the
        order of `texts`.

        Args:
            texts: List of strings, or one string.
            beam_size: Number of hypotheses followed at once; 1 is greedy search. By
                default, as the next two, that of `search_options`, or 4.
            max_length: Most tokens of an answer; or its source's plus 50.
            length_penalty: Exponent alpha of the length penalty; or 0.6.
            num_hypotheses: Number of answers per sentence, best first.
            return_scores: Whether to return the answers' scores too.
            target_prefix: What the answers begin with: a string for all of them, or a
                list with one for each text.
            seed: With `sample=True`: the same seed gives the same answers.
            tokens_per_batch: Most source tokens translated at once, padding included.
            verbose: 1 shows a progress bar.
            **options: Other options of `kt.decoding.generate`: `min_length`,
                `banned_ids`, `no_repeat_ngram_size`, `sample`, `temperature`, `top_k`,
                `top_p`, `penalty_form`, `stop_when`, `force_end`.

        Returns:
            A list of strings, one for each of `texts` (a string for a string). With
            `num_hypotheses` over 1, a list of lists. With `return_scores` a tuple of
            that and the scores, in the same shape: length-normalised log-probabilities.

        Raises:
            ValueError: For options out of range.
            TypeError: If `texts` isn't made of strings, or for an unknown option.
        """
        if isinstance(texts, str):
            results = self.translate(
                [texts],
                beam_size=beam_size,
                max_length=max_length,
                length_penalty=length_penalty,
                num_hypotheses=num_hypotheses,
                return_scores=return_scores,
                target_prefix=target_prefix,
                seed=seed,
                **options,
            )
            return tuple(r[0] for r in results) if return_scores else results[0]
        options = self.options(
            beam_size=beam_size,
            num_hypotheses=num_hypotheses,
            length_penalty=length_penalty,
            max_length=max_length,
            **options,
        )
        texts = list(texts)
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(
                    f"texts must be strings; received {text!r} of {type(text)}."
                )
        prefixes = self._prefixes(target_prefix, len(texts))
        search = self._search(options, with_prefix=prefixes is not None)
        answers, scores = [None] * len(texts), [None] * len(texts)
        progress = keras.utils.Progbar(len(texts)) if verbose and texts else None
        for rows, source_ids in self._batches(texts, tokens_per_batch):
            inputs = {"source_ids": source_ids, "seed": np.int32(seed)}
            if prefixes is not None:
                inputs["target_prefix"] = prefixes[rows]
            found = search(inputs)
            ids = np.asarray(found["ids"])
            flat = self.target_tokenizer.detokenize(ids.reshape(-1, ids.shape[-1]))
            flat = [text.decode("utf-8", "replace") for text in flat.numpy()]
            batch_scores = np.asarray(found["scores"]).tolist()
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
        options = {**_DEFAULTS, **self.search_options, **given}
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

    def _batches(self, texts, tokens_per_batch):
        """Yields the places in `texts` and the ids of sentences of like length."""
        if not texts:
            return
        # Python's strings may hold lone surrogates, which no UTF-8 has.
        texts = [text.encode("utf-8", "replace") for text in texts]
        source_ids, truncated = self.encode(tf.constant(texts))
        if cut := int(tf.reduce_sum(tf.cast(truncated, "int32"))):
            warnings.warn(
                f"{cut} of {len(texts)} texts have more than max_source_length="
                f"{self.max_source_length} tokens and were cut off.",
                stacklevel=3,
            )
        lengths = source_ids.row_lengths().numpy()
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            count = max(1, tokens_per_batch // int(lengths[order[start]]))
            rows = order[start : start + count]
            yield rows, tf.gather(source_ids, rows).to_tensor().numpy()
            start += count

    def encode(self, texts):
        """Source strings -> source ids, inside the graph.

        Args:
            texts: String tensor `(B,)`.

        Returns:
            A `tf.RaggedTensor` of ids `(B, None)`, each row closed by the end token,
            and a bool tensor `(B,)`: whether the text was cut off.
        """
        ids = self.source_tokenizer.tokenize(texts)
        room = self.max_source_length - 1
        truncated = ids.row_lengths() > room
        ids = ids[:, :room]
        end = tf.fill([ids.nrows(), 1], self.source_tokenizer.end_id)
        return tf.concat([ids, tf.cast(end, ids.dtype)], axis=1), truncated

    def search(self, source_ids, model=None, **options):
        """Source ids `(B, S)` -> the dict of `kt.decoding.generate`, in the graph.

        Options that aren't given are those of `search_options`. A `model` is a copy of
        the translator's, of another dtype.
        """
        options = {**self.search_options, **options}
        return generate(
            model or self.model,
            source_ids,
            start_id=self.target_tokenizer.start_id,
            end_id=self.target_tokenizer.end_id,
            **options,
        )

    def _search(self, options, with_prefix):
        """The search with these options, compiled once."""
        key = (with_prefix, *sorted((k, str(v)) for k, v in options.items()))
        if key not in self._searches:
            shapes = {"source_ids": (None, None), "seed": ()}
            if with_prefix:
                shapes["target_prefix"] = (None, None)
            self._searches[key] = _compiled(
                self.model, lambda inputs: self.search(**inputs, **options), shapes
            )
        return self._searches[key]

    def save(self, folder):
        """Writes the model and the tokenizers to one folder, without pickle.

        An earlier save in the folder is replaced, once the new one is complete.
        """
        folder = pathlib.Path(folder)
        aside = folder.with_name(f"{folder.name}.writing-{os.getpid()}")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        self.model.save(aside / _MODEL)
        self.source_tokenizer.save(aside / _SOURCE)
        if self.target_tokenizer is not self.source_tokenizer:
            self.target_tokenizer.save(aside / _TARGET)
        settings = {
            "format": 1,
            "max_source_length": self.max_source_length,
            "search_options": self.search_options,
        }
        (aside / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")
        if folder.exists():
            if not (folder / _SETTINGS).exists() and any(folder.iterdir()):
                shutil.rmtree(aside)
                raise ValueError(
                    f"folder={str(folder)!r} holds something else than a translator; "
                    "choose another folder."
                )
            shutil.rmtree(folder)
        aside.rename(folder)

    @classmethod
    def load(cls, folder):
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: If the folder holds no translator.
        """
        folder = pathlib.Path(folder)
        if not (folder / _SETTINGS).exists():
            raise FileNotFoundError(
                f"folder={str(folder)!r} holds no translator: no {_SETTINGS} in it."
            )
        settings = json.loads((folder / _SETTINGS).read_text())
        target = folder / _TARGET
        return cls(
            keras.models.load_model(folder / _MODEL),
            _load_tokenizer(folder / _SOURCE),
            _load_tokenizer(target) if target.exists() else None,
            max_source_length=settings["max_source_length"],
            search_options=settings.get("search_options"),
        )


def _load_tokenizer(path):
    return (VocabularyTokenizer if path.is_dir() else Tokenizer).load(path)


def _compiled(model, search, shapes):
    """`search` compiled by Keras's backend, reading the model's current weights.

    It takes a dict of int32 arrays of the given shapes.
    """
    if keras.backend.backend() == "tensorflow":
        specs = {k: tf.TensorSpec(shape, tf.int32, k) for k, shape in shapes.items()}
        return tf.function(search, input_signature=[specs], autograph=False)
    if keras.backend.backend() != "jax":
        return search
    import jax

    @jax.jit
    def with_weights(values, inputs):
        mapping = list(zip(model.variables, values))
        with keras.StatelessScope(state_mapping=mapping):
            return search(inputs)

    def run(inputs):
        rows = len(inputs["source_ids"])
        inputs = {name: _padded(values) for name, values in inputs.items()}
        found = with_weights([v.value for v in model.variables], inputs)
        return {name: value[:rows] for name, value in found.items()}

    return run


def _padded(values):
    """Ids `(B, L)` padded to one of few shapes, so that few programs are compiled."""
    sizes = [max(8, 1 << (size - 1).bit_length()) for size in values.shape]
    padded = np.zeros(sizes, "int32")
    padded[tuple(map(slice, values.shape))] = values
    return padded
