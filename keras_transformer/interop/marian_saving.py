"""A translator as a Marian checkpoint in Hugging Face's format."""

import json
import os
import pathlib

import safetensors.numpy

from keras_transformer.files import written_aside
from keras_transformer.interop.files import WEIGHTS
from keras_transformer.interop.generation import GENERATION, generation_config
from keras_transformer.interop.marian import (
    ACTIVATIONS,
    ADDED,
    CONFIG,
    TOKENIZER_CONFIG,
)
from keras_transformer.interop.names import marian_weights
from keras_transformer.interop.plain_sentencepiece import check_tokenizers, plain_model
from keras_transformer.layers.lora import without_lora
from keras_transformer.layers.position import PositionalEncoding
from keras_transformer.layers.quantization import check_not_quantized
from keras_transformer.tasks.translator import Translator
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer


def save_marian(translator: Translator, folder: str | os.PathLike) -> None:
    """Writes a translator as Transformers' `MarianMTModel` and `MarianTokenizer`.

    A model fits the format if its positions are sinusoidal, its blocks post-norm and
    its activation one of ReLU, GELU and SiLU. Interleaved sinusoids, the paper's, are
    turned into Marian's, sines before cosines, by moving columns of the weights: the
    logits stay the same. The format knows the length penalty `penalty_form="power"`
    only.

    Args:
        translator: A `kt.Translator`.
        folder: A new or empty folder.

    Raises:
        ValueError: If the model or a tokenizer doesn't fit the format, or the folder
            isn't empty.

    Example:

    >>> import transformers
    >>> kt.interop.save_marian(translator, "marian/en-de")
    >>> transformers.MarianMTModel.from_pretrained("marian/en-de")
    """
    folder = pathlib.Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder={str(folder)!r} must be empty.")
    model = without_lora(translator.model)
    check_not_quantized(model, "save_marian")
    _check_fits(model)
    check_tokenizers(translator)
    kinds = {type(translator.source_tokenizer), type(translator.target_tokenizer)}
    if len(kinds) > 1:
        raise ValueError(
            "The format numbers both vocabularies alike: source_tokenizer and "
            "target_tokenizer must be of the same class; received "
            f"{sorted(kind.__name__ for kind in kinds)}."
        )
    # A tokenizer of our own has no place for padding to leave out.
    first = int(isinstance(translator.source_tokenizer, VocabularyTokenizer))
    weights = marian_weights(model, first)
    config = _marian_config(translator, first)
    with written_aside(folder) as aside:
        aside.mkdir()
        path = aside / WEIGHTS[0]
        safetensors.numpy.save_file(weights, path, metadata={"format": "pt"})
        _write_json(aside / CONFIG, config)
        _write_json(aside / GENERATION, generation_config(translator, config, first))
        _write_tokenizers(translator, aside, first)


def _check_fits(model):
    position, config = model.position, model.get_config()
    activation = config["activation"]
    for fits, what in (
        (
            isinstance(position, PositionalEncoding)
            and position.max_wavelength == 10_000
            and not model.encoder_blocks[0].position_encoding,
            "sinusoidal positions with max_wavelength=10000",
        ),
        (not config["norm_first"], "norm_first=False"),
        (not config["norm_embedding"], "norm_embedding=False"),
        (config["use_bias"], "use_bias=True"),
        (activation in ACTIVATIONS.values(), "activation relu, gelu or silu"),
    ):
        if not fits:
            raise ValueError(
                f"The model doesn't fit Marian's format, which has {what}; received "
                f"position_encoding={config['position_encoding']!r}, "
                f"norm_first={config['norm_first']}, "
                f"norm_embedding={config['norm_embedding']}, "
                f"use_bias={config['use_bias']}, activation={activation!r}."
            )


def _marian_config(translator, first):
    config, model = translator.model.get_config(), translator.model
    tokenizer = translator.target_tokenizer
    start = tokenizer.start_id - first
    # Marian pads with the token that starts; ours has one of its own.
    padding = start if first else tokenizer.padding_id
    return {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        "vocab_size": model.source_embedding.vocabulary_size - first,
        "decoder_vocab_size": model.target_embedding.vocabulary_size - first,
        "share_encoder_decoder_embeddings": (
            model.source_embedding is model.target_embedding
        ),
        "tie_word_embeddings": True,
        "d_model": config["hidden_dim"],
        "encoder_layers": config["num_layers"],
        "decoder_layers": config["num_decoder_layers"] or config["num_layers"],
        "encoder_attention_heads": config["num_heads"],
        "decoder_attention_heads": config["num_heads"],
        "encoder_ffn_dim": config["intermediate_dim"],
        "decoder_ffn_dim": config["intermediate_dim"],
        "activation_function": "swish"
        if config["activation"] == "silu"
        else config["activation"],
        "dropout": config["dropout"],
        "attention_dropout": config["attention_dropout"],
        "activation_dropout": config["intermediate_dropout"],
        "scale_embedding": config["scale_embedding"],
        "static_position_embeddings": True,
        "normalize_before": False,
        "normalize_embedding": False,
        "max_position_embeddings": translator.max_source_length,
        "pad_token_id": padding,
        "eos_token_id": tokenizer.end_id - first,
        "decoder_start_token_id": start,
    }


def _write_tokenizers(translator, folder, first):
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    names = ["vocab.json", "target_vocab.json"]
    separate = (
        translator.model.source_embedding is not translator.model.target_embedding
    )
    for side, name, tokenizer in zip(("source", "target"), names, tokenizers):
        tokens = tokenizer.tokens(range(tokenizer.vocabulary_size))[first:]
        (folder / f"{side}.spm").write_bytes(plain_model(tokenizer))
        if side == "source" or separate:
            _write_json(folder / name, {token: i for i, token in enumerate(tokens)})
    source, target = tokenizers
    if added := [*getattr(source, "added", ()), *getattr(target, "added", ())]:
        ids = {token: i for i, token in enumerate(source.vocabulary[first:])}
        _write_json(folder / ADDED, {token: ids[token] for token in added})
    padding = target.start_id if first else target.padding_id
    special = dict(
        zip(
            ("pad", "eos", "unk"),
            target.tokens([padding, target.end_id, target.unknown_id]),
        )
    )
    _write_json(
        folder / TOKENIZER_CONFIG,
        {
            "tokenizer_class": "MarianTokenizer",
            "model_max_length": translator.max_source_length,
            "separate_vocabs": separate,
            **{f"{name}_token": token for name, token in special.items()},
        },
    )


def _write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
