"""The TextGenerator: a language model and its tokenizer, prompts in and text out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_transformer.models.language_model import LanguageModel
from keras_transformer.tasks.text_to_text import TextToText
from keras_transformer.text.any_tokenizer import AnyTokenizer


class TextGenerator(TextToText):
    """Continues text with a language model.

    Args:
        model: A `kt.LanguageModel`.
        tokenizer: Its `kt.text.Tokenizer`, or a tokenizer of KerasHub.
        max_source_length: Most tokens of a prompt; of longer ones the end is kept.
        search_options: Dict of options of a `kt.decoding.SearchOptions` that hold where
            a call doesn't give its own, such as `{"sample": True, "top_p": 0.9}`.

    Raises:
        ValueError: If the tokenizer has more ids than the model's embedding, or a
            number or option is out of range.
        TypeError: For an argument of another type.

    Example:

    >>> generator = kt.TextGenerator(model, tokenizer)
    >>> generator.generate("Once upon a", max_new_tokens=20)
    'Once upon a time there was a dog.'
    """

    model_class = LanguageModel
    settings_file = "text_generator.json"
    input_name = "prompts"
    defaults = {"beam_size": 1, "length_penalty": 0.0}

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: AnyTokenizer,
        max_source_length: int = 256,
        search_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, tokenizer, None, max_source_length, search_options)

    def generate(
        self,
        prompts: str | Iterable[str],
        max_new_tokens: int | None = None,
        num_hypotheses: int | None = None,
        *,
        return_scores: bool = False,
        seed: int | Sequence[int] | None = None,
        tokens_per_batch: int = 4096,
        verbose: int = 0,
        **options: Any,
    ) -> Any:
        """Continues each prompt.

        Args:
            prompts: List of strings, or one string; `""` starts from nothing.
            max_new_tokens: Most tokens that are added to a prompt. By default, as with
                all other options, what `search_options` says, or 50.
            num_hypotheses: Number of continuations, best first; with `sample=True` all
                of those drawn; or 1.
            return_scores: Whether to return scores too: the continuations'
                log-probabilities.
            seed: With `sample=True`: the same seed gives the same text; or 0.
            tokens_per_batch: Most tokens of prompts at once, padding included.
            verbose: 1 shows a progress bar.
            **options: Other options of a `kt.decoding.SearchOptions`: `sample`,
                `temperature`, `top_p`, `min_length` ... Lengths count the prompt.

        Returns:
            A list of strings, prompt and continuation (a string for a string). With
            `num_hypotheses` over 1, a list of lists. With `return_scores` a tuple of
            that and the scores.

        Raises:
            ValueError: For options out of range.
            TypeError: If `prompts` isn't made of strings, or for an unknown option.
            FloatingPointError: If the model gives no numbers (NaN).
        """
        options = {"extra_length": max_new_tokens, **options}
        given = {"num_hypotheses": num_hypotheses, "seed": seed}
        return self._answer(
            prompts,
            self._options_of(self.generate, given, options),
            return_scores=return_scores,
            tokens_per_batch=tokens_per_batch,
            verbose=verbose,
        )

    def encode(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Prompts -> ids, inside the graph.

        Args:
            texts: String tensor `(B,)`.

        Returns:
            A `tf.RaggedTensor` of ids `(B, None)`, and a bool tensor `(B,)`: whether
            the beginning of the prompt was left out.
        """
        ids = self.source_tokenizer.tokenize(texts)
        room = self.longest_source
        return ids[:, -room:], ids.row_lengths() > room
