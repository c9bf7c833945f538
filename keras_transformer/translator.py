"""The Translator: a model and its tokenizers, text in and text out."""

from keras_transformer.text_to_text import TextToText


class Translator(TextToText):
    """Translates text with a Transformer and its tokenizers.

    Args:
        model: A `kt.Transformer`.
        source_tokenizer: `kt.text.Tokenizer` of the source, or a
            `kt.text.VocabularyTokenizer`.
        target_tokenizer: That of the target; the source's if left out.
        max_source_length: Most source tokens, end token included; longer sources are
            cut off, with a warning.
        search_options: Dict of options of a `kt.decoding.SearchOptions` that hold where
            a call doesn't give its own, such as `{"beam_size": 6}`.

    Raises:
        ValueError: If a tokenizer has more ids than the model's embedding, or an option
            is out of range.

    Example:

    >>> translator = kt.Translator(model, tokenizer)
    >>> translator.translate(["A dog runs.", "Two people talk."])
    ['Ein Hund läuft.', 'Zwei Personen unterhalten sich.']
    """

    settings_file = "translator.json"
    # The paper's, section 6.1.
    defaults = {"beam_size": 4, "length_penalty": 0.6}

    def translate(
        self,
        texts,
        beam_size=None,
        max_length=None,
        length_penalty=None,
        num_hypotheses=None,
        return_scores=False,
        target_prefix=None,
        seed=None,
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
            **options: Other options of a `kt.decoding.SearchOptions`: `min_length`,
                `banned_ids`, `sample` ...

        Returns:
            A list of strings, one for each of `texts` (a string for a string). With
            `num_hypotheses` over 1, a list of lists. With `return_scores` a tuple of
            that and the scores, in the same shape: length-normalised log-probabilities.

        Raises:
            ValueError: For options out of range.
            TypeError: If `texts` isn't made of strings, or for an unknown option.
        """
        given = {
            "beam_size": beam_size,
            "max_length": max_length,
            "length_penalty": length_penalty,
            "num_hypotheses": num_hypotheses,
            "seed": seed,
        }
        return self._answer(
            texts,
            self._options_of(self.translate, given, options),
            return_scores,
            target_prefix,
            tokens_per_batch,
            verbose,
        )
