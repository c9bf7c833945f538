"""Marian checkpoints in Hugging Face's format, such as OPUS-MT's.

The format's ids and ours differ: ours have padding at id 0. So a Marian model's id i
becomes i + 1, and the start token, which is Marian's padding, is a token of its own.
"""

import os
import warnings

import keras

from keras_transformer.interop.files import Tensors, local_folder, read_tensors
from keras_transformer.interop.generation import GENERATION, GenerationSettings
from keras_transformer.interop.names import assign_weights, check_sizes
from keras_transformer.layers.position import PositionalEncoding
from keras_transformer.models.transformer import Transformer
from keras_transformer.reading import field, naming, read_bytes, read_json
from keras_transformer.tasks.translator import Translator
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

CONFIG, ADDED = "config.json", "added_tokens.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
FILES = (CONFIG, GENERATION, "*.spm", "*vocab.json", ADDED, TOKENIZER_CONFIG)
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "silu", "silu": "silu"}
# Our id of Marian's id 0.
_FIRST = 1
_SIZES = (
    "vocab_size",
    "d_model",
    "encoder_layers",
    "decoder_layers",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
)
_RATES = {"dropout": 0.1, "attention_dropout": 0.0, "activation_dropout": 0.0}
_SWITCHES = {
    "share_encoder_decoder_embeddings": True,
    "tie_word_embeddings": True,
    "normalize_before": False,
    "normalize_embedding": False,
    "scale_embedding": False,
}
_PART = "part of a Marian folder"


def load_marian(
    folder: str | os.PathLike, dtype: str | keras.DTypePolicy | None = None
) -> Translator:
    """Reads a Marian translator, such as one of OPUS-MT's thousand.

    It is an ordinary `Translator`: it translates, `model.fit` trains it further, and
    `kt.serving.export_saved_model` exports it. Its search is that of the checkpoint's
    generation settings (docs/opus_mt.md). Neither PyTorch nor Transformers is needed.

    Args:
        folder: Folder of the checkpoint as Hugging Face lays it out: `config.json`,
            `model.safetensors` or `pytorch_model.bin` (read without running its code;
            or the shards of one of them), `source.spm`, `target.spm`, `vocab.json` (and
            `target_vocab.json`), and `generation_config.json` and `added_tokens.json`
            if they are there. Or a name on the Hugging Face Hub
            such as `"Helsinki-NLP/opus-mt-en-de"`, for which huggingface_hub must be
            installed: `pip install keras-transformer-kit[hub]`.
        dtype: Dtype or dtype policy of the model, such as `"mixed_bfloat16"`.

    Returns:
        A `kt.Translator`.

    Raises:
        FileNotFoundError: If a file is missing or can't be downloaded.
        ValueError: For a checkpoint of another kind or with an error in it; the file
            and the key or tensor are named.

    Warns:
        UserWarning: For settings of the checkpoint that would change answers and
            aren't honoured; it lists keys and values.

    Example:

    >>> translator = kt.interop.load_marian("Helsinki-NLP/opus-mt-en-de")
    >>> translator.translate("Where is the library?")
    'Wo ist die Bibliothek?'

    Reference: [Marian](https://arxiv.org/abs/1804.00344).
    """
    if dtype is not None:
        # A wrong one is no error of the file.
        keras.dtype_policies.get(dtype)
    folder = local_folder(folder, FILES)
    config_path = folder / CONFIG
    config = read_json(config_path, "the configuration of a Marian model")
    config = _checked_config(config, config_path)
    settings = GenerationSettings(folder, config, config_path)
    source_tokenizer, target_tokenizer = _read_tokenizers(folder, config, settings)
    path, tensors = read_tensors(folder)
    check_sizes(tensors, config, path, config_path)
    options = settings.search_options(_FIRST, config["decoder_vocab_size"])
    never = [*options["banned_ids"], target_tokenizer.start_id]
    with naming(config_path, "the configuration of a Marian model"):
        model = _new_model(config, dtype)
    assign_weights(
        model,
        Tensors(path, tensors, CONFIG),
        path,
        # What is renormalized without them gives them no probability.
        improbable=never if settings.renormalizes else (),
    )
    with naming(settings.path, "the generation settings of a Marian model"):
        translator = Translator(
            model,
            source_tokenizer,
            target_tokenizer,
            max_source_length=config["max_position_embeddings"],
            search_options=options,
        )
    settings.warn()
    return translator


def _checked_config(config, path):
    """The values of `config.json` that are needed, each checked."""
    found = dict(config)
    kind = field(config, "model_type", path, str)
    if kind != "marian":
        raise ValueError(
            f'{path}: model_type must be "marian"; received model_type={kind!r}.'
        )
    for name in _SIZES:
        found[name] = field(config, name, path, int)
    for name, default in (
        ("decoder_vocab_size", found["vocab_size"]),
        ("max_position_embeddings", 512),
    ):
        found[name] = field(config, name, path, int, default)
    for name in (*_SIZES, "decoder_vocab_size", "max_position_embeddings"):
        if found[name] < 1:
            raise ValueError(
                f"{path}: {name} must be positive; received {name}={found[name]}."
            )
    for name, default in _RATES.items():
        found[name] = field(config, name, path, (int, float), default)
    for name, default in _SWITCHES.items():
        found[name] = field(config, name, path, bool, default)
    if found["share_encoder_decoder_embeddings"]:
        found["decoder_vocab_size"] = found["vocab_size"]
    for name in ("attention_heads", "ffn_dim"):
        sides = [found[f"{side}_{name}"] for side in ("encoder", "decoder")]
        if sides[0] != sides[1]:
            raise ValueError(
                f"{path}: encoder_{name} and decoder_{name} must be equal; received "
                f"{sides[0]} and {sides[1]}."
            )
    activation = field(config, "activation_function", path, str)
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"{path}: activation_function must be one of {sorted(ACTIVATIONS)}; "
            f"received {activation!r}."
        )
    if not found["tie_word_embeddings"]:
        raise ValueError(
            f"{path}: tie_word_embeddings must be true: the output projection of "
            "kt.Transformer is its target embedding."
        )
    return found


def _read_tokenizers(folder, config, settings):
    names = ["vocab.json"] * 2
    if not config["share_encoder_decoder_embeddings"]:
        names[1] = "target_vocab.json"
    sizes = config["vocab_size"], config["decoder_vocab_size"]
    unknown, added = _read_tokenizer_config(folder)
    tokenizers = []
    for side, name, size in zip(("source", "target"), names, sizes):
        path, model = folder / name, folder / f"{side}.spm"
        tokens = _read_vocabulary(path, size, added, settings)
        start, end = (tokens[i + _FIRST] for i in (settings.start_id, settings.end_id))
        content = read_bytes(model, _PART)
        with naming(f"{model}, {path}", "a tokenizer"):
            tokenizers.append(
                VocabularyTokenizer(
                    content,
                    tokens,
                    start,
                    end,
                    unknown,
                    added=[token for token in added if token not in (start, end)],
                )
            )
    return tokenizers


def _read_tokenizer_config(folder):
    """The unknown token, and the ids of tokens that were added to the vocabulary."""
    path, added_path = folder / TOKENIZER_CONFIG, folder / ADDED
    config, added = {}, {}
    if path.exists():
        config = read_json(path, _PART)
    if added_path.exists():
        added = read_json(added_path, _PART)
    unknown, *others = (
        _content(config.get(f"{name}_token") or usual, path)
        for name, usual in (("unk", "<unk>"), ("eos", "</s>"), ("pad", "<pad>"))
    )
    special = {unknown, *others}
    flagged: dict[str, list[str]] = {}
    for number, token in field(config, "added_tokens_decoder", path, dict, {}).items():
        content = _content(token, path)
        if content in special or content in added:
            continue
        if not number.isdecimal():
            raise ValueError(
                f"{path}: added_tokens_decoder must have ids as keys; received "
                f"{number!r}."
            )
        added[content] = int(number)
        for name in ("lstrip", "rstrip", "single_word", "special"):
            if isinstance(token, dict) and token.get(name):
                flagged.setdefault(content, []).append(name)
    if flagged:
        warnings.warn(
            f"{path}: added tokens are kept as they are, in texts and answers; these "
            f"flags of theirs aren't honoured: {flagged}.",
            stacklevel=4,
        )
    return unknown, {t: i for t, i in added.items() if t not in special}


def _content(token, path):
    """A token of `tokenizer_config.json`: a string, or a dict that holds it."""
    token = token.get("content") if isinstance(token, dict) else token
    if not isinstance(token, str) or not token:
        raise ValueError(f"{path}: tokens must be strings; received {token!r}.")
    return token


def _read_vocabulary(path, size, added, settings):
    """The tokens of `vocab.json` in the order of our ids: one place further."""
    ids = {**read_json(path, _PART), **added}
    are_ids = all(type(i) is int for i in ids.values())
    if not are_ids or sorted(ids.values()) != list(range(len(ids))) or len(ids) > size:
        numbers = [i for i in ids.values() if type(i) is int]
        raise ValueError(
            f"{path} doesn't match {CONFIG}: its ids, with those of {ADDED}, must be "
            f"0, 1, 2 ..., each once, and fewer than vocab_size={size}; it has "
            f"{len(ids)} tokens, with ids up to {max(numbers, default=None)}."
        )
    tokens = sorted(ids, key=lambda token: ids[token])
    for name, i in (
        ("decoder_start_token_id", settings.start_id),
        ("eos_token_id", settings.end_id),
    ):
        if not 0 <= i < len(tokens):
            raise ValueError(
                f"{path} doesn't match {settings.path}: it has no token for {name}={i}."
            )
    return ["<padding>", *tokens]


def _new_model(config, dtype):
    target_size = None
    if not config["share_encoder_decoder_embeddings"]:
        target_size = config["decoder_vocab_size"] + _FIRST
    return Transformer(
        config["vocab_size"] + _FIRST,
        target_size,
        num_layers=config["encoder_layers"],
        num_decoder_layers=config["decoder_layers"],
        hidden_dim=config["d_model"],
        num_heads=config["encoder_attention_heads"],
        intermediate_dim=config["encoder_ffn_dim"],
        dropout=config["dropout"],
        attention_dropout=config["attention_dropout"],
        intermediate_dropout=config["activation_dropout"],
        activation=ACTIVATIONS[config["activation_function"]],
        position_encoding=PositionalEncoding(layout="concatenated", dtype=dtype),
        norm_first=config["normalize_before"],
        norm_embedding=config["normalize_embedding"],
        scale_embedding=config["scale_embedding"],
        layer_norm_epsilon=1e-5,
        logits_bias=True,
        dtype=dtype,
    )
