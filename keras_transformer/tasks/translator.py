"""The Translator: a model and its tokenizers, text in and text out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transformer.glossaries import as_glossaries
from keras_transformer.models.transformer import Transformer
from keras_transformer.tasks import scoring
from keras_transformer.tasks.text_to_text import TextToText
from keras_transformer.text.documents import (
    is_blank,
    join_document,
    split_document,
    split_language,
)
from keras_transformer.text.glossary import phrases_of_texts
from keras_transformer.text.sentences import as_strings
from keras_transformer.texts import as_texts


class Translator(TextToText):
    """Translates text with a Transformer and its tokenizers.

    Args:
        model: A `kt.Transformer`.
        source_tokenizer: `kt.text.Tokenizer` of the source, a
            `kt.text.VocabularyTokenizer`, or a tokenizer of KerasHub.
        target_tokenizer: That of the target; the source's if left out.
        max_source_length: Most source tokens, end token included; longer sources are
            cut off, with a warning.
        search_options: Dict of options of a `kt.decoding.SearchOptions` that hold where
            a call doesn't give its own, such as `{"beam_size": 6}`.

    Raises:
        ValueError: If a tokenizer has more ids than the model's embedding, or a number
            or option is out of range.
        TypeError: For an argument of another type.

    Example:

    >>> translator = kt.Translator(model, tokenizer)
    >>> translator.translate(["A dog runs.", "Two people talk."])
    ['Ein Hund läuft.', 'Zwei Personen unterhalten sich.']
    """

    model_class = Transformer
    settings_file = "translator.json"
    # The paper's, section 6.1.
    defaults = {"beam_size": 4, "length_penalty": 0.6}

    def translate(
        self,
        texts: str | Iterable[str],
        beam_size: int | None = None,
        max_length: int | None = None,
        length_penalty: float | None = None,
        num_hypotheses: int | None = None,
        *,
        return_scores: bool = False,
        target_prefix: str | Iterable[str] | None = None,
        seed: int | Sequence[int] | None = None,
        tokens_per_batch: int = 4096,
        verbose: int = 0,
        split: bool = False,
        glossary: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        glossary_bonus: float | Sequence[float] | None = None,
        glossary_force: bool | Sequence[bool] | None = None,
        **options: Any,
    ) -> Any:
        """Translates a list of sentences, or of whole documents, of any size.

        Sentences of like length are translated together; the answers come back in the
        order of `texts`. A text without any visible character is its own answer, after
        a `target_prefix` if there is one, and its score is 0. A language token before
        it (`">>fra<<"`) isn't part of the answer.

        Args:
            texts: List of strings, or one string.
            beam_size: Number of hypotheses followed at once; 1 is greedy search. By
                default, as with all other options, that of `search_options`, or 4.
            max_length: Most tokens of an answer; or its source's plus 50.
            length_penalty: Exponent alpha of the length penalty; or 0.6.
            num_hypotheses: Number of answers per sentence, best first; or 1.
            return_scores: Whether to return the answers' scores too.
            target_prefix: What the answers begin with: a string for all of them, or a
                list with one for each text.
            seed: With `sample=True`: the same seed gives the same answers; or 0.
            tokens_per_batch: Most source tokens translated at once, padding included.
            verbose: 1 shows a progress bar.
            split: Whether to split texts into sentences (`kt.text.split_document`) and
                to put the translations where they stood, with line breaks and other
                white space as they were. Without, a text is one sentence. Options hold
                for each sentence; a `target_prefix` for the first of a text.
            glossary: Terms of the source and their translations, a dict such as
                `{"dog": "Hund"}`; or a list with a dict, or None, for each text. Where
                a term occurs in a text as a whole word, its translation is favoured.
            glossary_bonus: What each token of such a translation adds to an answer's
                log-probability, once for each term; or 2.0. A number, or one for each
                text.
            glossary_force: Whether answers must have these translations; or False. In
                a beam search only. A bool, or one for each text.
            **options: Other options of a `kt.decoding.SearchOptions`: `min_length`,
                `banned_ids`, `sample` ...

        Returns:
            A list of strings, one for each of `texts` (a string for a string). With
            `num_hypotheses` over 1, a list of lists. With `return_scores` a tuple of
            that and the scores, in the same shape: length-normalised log-probabilities.

        Raises:
            ValueError: For options out of range, or for scores or several hypotheses
                with `split`: sentences have them, whole texts don't.
            TypeError: If `texts` or a glossary isn't made of strings, or for an unknown
                option.
            FloatingPointError: If the model gives no numbers (NaN).
        """
        given: dict[str, Any] = {
            "beam_size": beam_size,
            "max_length": max_length,
            "length_penalty": length_penalty,
            "num_hypotheses": num_hypotheses,
            "seed": seed,
        }
        of_glossary = {"phrase_bonus": glossary_bonus, "force_phrases": glossary_force}
        given |= {n: value for n, value in of_glossary.items() if value is not None}
        search = self._options_of(self.translate, given, options)
        texts, is_one = as_texts(texts, self.input_name)
        glossaries = None
        if glossary is not None:
            glossaries = as_glossaries(glossary, len(texts))
        if not split:
            search = self._with_phrases(search, texts, glossaries)
            texts = texts[0] if is_one else texts
            return self._answer(
                texts,
                search,
                return_scores=return_scores,
                target_prefix=target_prefix,
                tokens_per_batch=tokens_per_batch,
                verbose=verbose,
            )
        for name, value, only in (
            ("num_hypotheses", search.num_hypotheses, 1),
            ("return_scores", return_scores, False),
        ):
            if value != only:
                raise ValueError(
                    f"{name} must be {only} with split=True, as a document has one "
                    f"translation and no score; received {name}={value!r}. Translate "
                    "the sentences of kt.text.split_sentences instead."
                )
        answers = self._answers_to_documents(
            texts, search, target_prefix, glossaries, tokens_per_batch, verbose
        )
        return answers[0] if is_one else answers

    def score(
        self,
        texts: str | Iterable[str],
        references: str | Iterable[str],
        tokens_per_batch: int = 4096,
    ) -> dict[str, Any]:
        """How probable given translations are; an export's signature `score`.

        Args:
            texts: List of strings, or one string.
            references: List of strings, a translation of each text; or one string.
            tokens_per_batch: Most tokens of either side at once, padding included.

        Returns:
            A dict of arrays `(B,)`, for one string of scalars: `"log_prob"` float32,
            the sum of the log-probabilities of a translation's tokens, its end token
            among them; `"num_tokens"` int32, their number; `"truncated"` bool, whether
            the text or the translation was cut off.

        Raises:
            ValueError: If there isn't one reference for each text.
            TypeError: If they aren't made of strings.
            FloatingPointError: If the model gives no numbers (NaN).

        Example:

        >>> found = translator.score(["A dog runs."], ["Ein Hund läuft."])
        >>> np.exp(-found["log_prob"] / found["num_tokens"])  # perplexity
        """
        return scoring.score(self, texts, references, tokens_per_batch)

    def explain(
        self, texts: str | Iterable[str], tokens_per_batch: int = 4096, **options: Any
    ) -> Any:
        """Translates, and shows why: an export's signature `explain`.

        Args:
            texts: One string, or a list of strings.
            tokens_per_batch: Most source tokens at once, padding included.
            **options: Options of a `kt.decoding.SearchOptions`, such as `beam_size`.

        Returns:
            A dict for a string, a list of dicts for a list: `"translation"`, a string;
            `"tokens"`, the T pieces of text that it was written as, the end token
            among them; `"log_probs"` float32 `(T,)`, each token's log-probability after
            those before it; `"aligned_source"` int32 `(T,)`, the index of the source
            token that it attended to most; `"source_tokens"`, the pieces of the source;
            `"truncated"`, whether the text was cut off. Notebooks show them as HTML:
            each token on a colour of its probability, with its source token.

        Raises:
            ValueError: For options out of range.
            TypeError: If `texts` isn't made of strings, or for an unknown option.
            FloatingPointError: If the model gives no numbers (NaN).

        Example:

        >>> found = translator.explain("A dog runs.")
        >>> [found["source_tokens"][i] for i in found["aligned_source"]]
        """
        search = self._options_of(self.explain, {}, options)
        if "num_hypotheses" in options and search.num_hypotheses != 1:
            raise ValueError(
                "num_hypotheses must be 1, as only the best translation is explained; "
                f"received num_hypotheses={options['num_hypotheses']!r}."
            )
        return scoring.explanation(self, texts, tokens_per_batch, search)

    def _with_phrases(self, options, texts, glossaries):
        """Options with the translations of the terms that occur in texts."""
        if glossaries is None:
            return options
        phrases = phrases_of_texts(texts, glossaries, self.target_tokenizer)
        return options.changed(phrases=phrases)

    def _answers_to_documents(
        self, texts, options, target_prefix, glossaries, tokens_per_batch, verbose
    ):
        sentences, pieces = split_document(
            texts, self.source_tokenizer, self.longest_source
        )
        prefixes = self._prefixes(target_prefix, len(texts))
        row = sentences.value_rowids().numpy()
        of_texts = self._of_texts(options, len(texts))
        options = options.changed(**{n: values[row] for n, values in of_texts.items()})
        of_sentences = None
        if prefixes is not None:
            is_first = np.diff(row, prepend=-1) > 0
            of_sentences = np.where(is_first[:, None], prefixes[row], 0)
        if glossaries is not None:
            glossaries = [glossaries[i] for i in row]
        of_all = [s.decode("utf-8", "replace") for s in sentences.flat_values.numpy()]
        answers, _ = self._answers_and_scores(
            of_all,
            self._with_phrases(options, of_all, glossaries),
            of_sentences,
            tokens_per_batch,
            verbose,
        )
        answers = tf.constant([answer[0] for answer in answers], tf.string)
        documents = join_document(answers, pieces).numpy()
        documents = [document.decode("utf-8", "replace") for document in documents]
        blank = self._blank_answers(documents, prefixes)
        has_sentences = sentences.row_lengths().numpy() > 0
        return [
            document if whole else rest
            for document, rest, whole in zip(documents, blank, has_sentences)
        ]

    def _blank_answers(self, texts, prefixes):
        """The answers to texts, if none has a visible character: prefix and text."""
        if prefixes is None:
            return list(texts)
        prefixes = self.target_tokenizer.detokenize(prefixes).numpy()
        return [p.decode("utf-8") + text for p, text in zip(prefixes, texts)]

    def _answers_and_scores(self, texts, options, prefixes, *batches):
        _, rest = split_language(as_strings(texts), self.source_tokenizer)
        count = options.num_hypotheses
        rows = np.flatnonzero(~is_blank(rest))
        rest = [text.decode("utf-8", "replace") for text in rest.numpy()]
        answers = [[text] * count for text in self._blank_answers(rest, prefixes)]
        scores = [[0.0] * count for _ in texts]
        of_texts = self._of_texts(options, len(texts))
        options = options.changed(**{n: values[rows] for n, values in of_texts.items()})
        prefixes = None if prefixes is None else prefixes[rows]
        found = super()._answers_and_scores(
            [texts[row] for row in rows], options, prefixes, *batches
        )
        for row, answer, score in zip(rows, *found):
            answers[row], scores[row] = answer, score
        return answers, scores
