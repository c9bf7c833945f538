"""What is checked before a run is started."""

from __future__ import annotations

import os
from collections.abc import Sequence

from keras_transformer.run.config import RunConfig
from keras_transformer.run.corpora import check_corpora, check_tokens, is_prepared
from keras_transformer.run.initial import open_translator
from keras_transformer.run.texts import training_texts, validation_texts

TEXTS = ("source", "target", "valid_source", "valid_target")


def check_files(config: RunConfig, names: Sequence[str] = TEXTS) -> None:
    """Checks that a run's texts are there.

    Args:
        config: A `RunConfig`.
        names: Those that are looked for.

    Raises:
        FileNotFoundError: If a text isn't there.
    """
    for name in names:
        given = getattr(config, name)
        for text in given if isinstance(given, list) else [given]:
            if text and not text.startswith("tfds:") and not os.path.exists(text):
                raise FileNotFoundError(f"{name}={text!r} isn't there.")


def check_start(config: RunConfig) -> None:
    """Checks the texts and the model's arguments, before a run's first file is written.

    Args:
        config: A `RunConfig`.

    Raises:
        ValueError: If a text can't be read to its end or holds no pair, or an argument
            of the model is out of range.
        FileNotFoundError: If a text isn't there.
    """
    check_corpora(config)
    valid = validation_texts(config)
    named = [("source", texts) for texts in training_texts(config)]
    for name, texts in named + ([("valid_source", valid)] if valid else []):
        is_text = name != "source" or not is_prepared(texts.source)
        if is_text and not sum(1 for _ in texts.pairs()):
            raise ValueError(f"{name}={texts.source!r} is empty: it holds no pair.")
    _check_drawing(config)
    # Here, as the command line checks files before it imports Keras.
    from keras_transformer.run.model import check_model

    check_model(config)


def _check_drawing(config):
    """Checks that the run's tokenizers have the tags and segmentations asked for."""
    if not (config.tags or config.bpe_dropout or config.unigram_alpha):
        return
    if config.initial is not None:
        translator = open_translator(config.initial)
        check_tokens(config, (translator.source_tokenizer, translator.target_tokenizer))
        return
    if any(is_prepared(texts.source) for texts in training_texts(config)):
        return
    kind = config.tokenizer.get("model_type", "bpe")
    for name, needed in (("bpe_dropout", "bpe"), ("unigram_alpha", "unigram")):
        value = getattr(config, name)
        if value and kind != needed:
            raise ValueError(
                f"{name} needs a tokenizer of type {needed!r}; received "
                f"{name}={value}, tokenizer={config.tokenizer}."
            )
