"""Marian checkpoints in Hugging Face's format, such as OPUS-MT's, and back.

The format's ids and ours differ: ours have padding at id 0. So a Marian model's id i
becomes i + 1, and the start token, which is Marian's padding, is a token of its own.
"""

import json
import pathlib
import struct

import keras
import numpy as np
import safetensors.numpy

from keras_transformer.files import written_aside
from keras_transformer.interop.torch_file import read_torch_file
from keras_transformer.layers.position import PositionalEncoding
from keras_transformer.models.transformer import Transformer
from keras_transformer.text.tokenizer import Tokenizer
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer
from keras_transformer.translator import Translator

_CONFIG, _GENERATION = "config.json", "generation_config.json"
_WEIGHTS = "model.safetensors", "pytorch_model.bin"
_FILES = (_CONFIG, _GENERATION, "*.spm", "*vocab.json", "tokenizer_config.json")
_ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "silu", "silu": "silu"}
_STOP_WHEN = {False: "likely", True: "full", "never": "certain"}
# Our padding's logit: low enough to have no probability in float32, high enough not to
# weigh in the mean of logits that label smoothing takes.
_PADDING_BIAS = -100.0


def load_marian(folder, dtype=None):
    """Reads a Marian translator, such as one of OPUS-MT's thousand.

    It is an ordinary `Translator`: it translates, `model.fit` trains it further, and
    `kt.serving.export_saved_model` exports it. Its beam size, length penalty and
    longest answer are those of the checkpoint. Neither PyTorch nor Transformers is
    needed.

    Args:
        folder: Folder of the checkpoint as Hugging Face lays it out: `config.json`,
            `model.safetensors` or `pytorch_model.bin` (read without running its code),
            `source.spm`, `target.spm`, `vocab.json` (and `target_vocab.json`), and
            `generation_config.json` if there is one. Or a name on the Hugging Face Hub
            such as `"Helsinki-NLP/opus-mt-en-de"`, for which huggingface_hub must be
            installed: `pip install keras-transformer-kit[hub]`.
        dtype: Dtype or dtype policy of the model, such as `"mixed_bfloat16"`.

    Returns:
        A `kt.Translator`.

    Raises:
        FileNotFoundError: If a file is missing or can't be downloaded.
        ValueError: For a checkpoint of another kind or with an error in it; the file
            and the tensor are named.

    Example:

    >>> translator = kt.interop.load_marian("Helsinki-NLP/opus-mt-en-de")
    >>> translator.translate("Where is the library?")
    'Wo ist die Bibliothek?'

    Reference: [Marian](https://arxiv.org/abs/1804.00344).
    """
    folder = _local(folder)
    config = _read_json(folder / _CONFIG)
    _check_config(config, folder / _CONFIG)
    source_tokenizer, target_tokenizer = _read_tokenizers(folder, config)
    path, tensors = _read_weights(folder)
    model = _new_model(config, dtype)
    _load_weights(model, tensors, path)
    return Translator(
        model,
        source_tokenizer,
        target_tokenizer,
        max_source_length=config.get("max_position_embeddings", 512),
        search_options=_search_options(folder, config),
    )


def save_marian(translator, folder):
    """Writes a translator as Transformers' `MarianMTModel` and `MarianTokenizer`.

    A model fits the format if its positions are sinusoidal, its blocks post-norm and
    its activation one of ReLU, GELU and SiLU. Interleaved sinusoids, the paper's, are
    turned into Marian's, sines before cosines, by moving columns of the weights: the
    answers stay the same.

    Args:
        translator: A `kt.Translator`.
        folder: A new or empty folder.

    Raises:
        ValueError: If the model doesn't fit the format, or the folder isn't empty.

    Example:

    >>> kt.interop.save_marian(translator, "marian/en-de")
    >>> transformers.MarianMTModel.from_pretrained("marian/en-de")
    """
    folder = pathlib.Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder={str(folder)!r} must be empty.")
    model = translator.model
    _check_fits(model)
    # A tokenizer of our own has no place for padding to leave out.
    first = int(isinstance(translator.source_tokenizer, VocabularyTokenizer))
    weights = _marian_weights(model, first)
    config = _marian_config(translator, first)
    with written_aside(folder) as aside:
        aside.mkdir()
        path = aside / _WEIGHTS[0]
        safetensors.numpy.save_file(weights, path, metadata={"format": "pt"})
        _write_json(aside / _CONFIG, config)
        _write_json(aside / _GENERATION, _generation_config(translator, config, first))
        _write_tokenizers(translator, aside, first)


# Reading.


def _local(folder):
    path = pathlib.Path(folder)
    if path.is_dir():
        return path
    wanted = (
        f"Download the repository's files ({', '.join((*_FILES, *_WEIGHTS))}) on a "
        "machine with a network, put them into one folder and pass its path."
    )
    if str(folder).count("/") != 1 or path.is_absolute():
        raise FileNotFoundError(f"folder={str(folder)!r} isn't there. {wanted}")
    try:
        import huggingface_hub
    except ImportError:
        raise FileNotFoundError(
            f"folder={str(folder)!r} isn't there, and to download it from the Hugging "
            "Face Hub huggingface_hub is missing: pip install "
            f"keras-transformer-kit[hub]. Or: {wanted}"
        ) from None
    try:
        found = huggingface_hub.snapshot_download(
            str(folder), allow_patterns=[*_FILES, *_WEIGHTS]
        )
    except Exception as error:
        raise FileNotFoundError(
            f"{folder} can't be downloaded from the Hugging Face Hub: {error}. {wanted}"
        ) from error
    return pathlib.Path(found)


def _read_json(path):
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: it is part of a Marian folder.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} isn't valid JSON: {error}.") from None


def _check_config(config, path):
    if config.get("model_type") != "marian":
        raise ValueError(
            f'{path}: model_type must be "marian"; received '
            f"model_type={config.get('model_type')!r}."
        )
    for name in ("attention_heads", "ffn_dim"):
        sides = [config.get(f"{side}_{name}") for side in ("encoder", "decoder")]
        if sides[0] != sides[1]:
            raise ValueError(
                f"{path}: encoder_{name} and decoder_{name} must be equal; received "
                f"{sides[0]} and {sides[1]}."
            )
    if config.get("activation_function") not in _ACTIVATIONS:
        raise ValueError(
            f"{path}: activation_function must be one of {sorted(_ACTIVATIONS)}; "
            f"received {config.get('activation_function')!r}."
        )
    if not config.get("tie_word_embeddings", True):
        raise ValueError(
            f"{path}: tie_word_embeddings must be true: the output projection of "
            "kt.Transformer is its target embedding."
        )


def _shares_embeddings(config):
    return config.get("share_encoder_decoder_embeddings", True)


def _read_tokenizers(folder, config):
    names = ["vocab.json"] * 2
    if not _shares_embeddings(config):
        names[1] = "target_vocab.json"
    sizes = config["vocab_size"], config.get("decoder_vocab_size", config["vocab_size"])
    tokenizers = []
    for side, name, size in zip(("source", "target"), names, sizes):
        vocabulary = _read_vocabulary(folder / name, size, config)
        model = folder / f"{side}.spm"
        if not model.exists():
            raise FileNotFoundError(
                f"{model} is missing: it is part of a Marian folder."
            )
        start = vocabulary[config["decoder_start_token_id"] + 1]
        end = vocabulary[config["eos_token_id"] + 1]
        try:
            tokenizers.append(
                VocabularyTokenizer(model.read_bytes(), vocabulary, start, end)
            )
        except ValueError as error:
            raise ValueError(f"{model}, {folder / name}: {error}") from None
    return tokenizers


def _read_vocabulary(path, size, config):
    """The tokens of `vocab.json` in the order of our ids: one place further."""
    ids = _read_json(path)
    if sorted(ids.values()) != list(range(len(ids))) or len(ids) > size:
        raise ValueError(
            f"{path} doesn't match {_CONFIG}: its ids must be 0, 1, 2 ..., each once, "
            f"and fewer than vocab_size={size}; it has {len(ids)} tokens, with ids up "
            f"to {max(ids.values(), default=None)}."
        )
    tokens = sorted(ids, key=ids.get)
    for name in ("decoder_start_token_id", "eos_token_id"):
        if not 0 <= config[name] < len(tokens):
            raise ValueError(
                f"{path} doesn't match {_CONFIG}: it has no token for "
                f"{name}={config[name]}."
            )
    return ["<padding>", *tokens]


def _read_weights(folder):
    for name in _WEIGHTS:
        path = folder / name
        if path.exists():
            break
    else:
        raise FileNotFoundError(
            f"{folder} holds no weights: neither {' nor '.join(_WEIGHTS)}."
        )
    if path.suffix == ".bin":
        return path, read_torch_file(path)
    try:
        return path, safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, struct.error, ValueError) as error:
        raise ValueError(
            f"{path} can't be read, it may be truncated: {error}. Download it again."
        ) from None


def _new_model(config, dtype):
    source_size, target_size = config["vocab_size"] + 1, None
    if not _shares_embeddings(config):
        target_size = config["decoder_vocab_size"] + 1
    return Transformer(
        source_size,
        target_size,
        num_layers=config["encoder_layers"],
        num_decoder_layers=config["decoder_layers"],
        hidden_dim=config["d_model"],
        num_heads=config["encoder_attention_heads"],
        intermediate_dim=config["encoder_ffn_dim"],
        dropout=config.get("dropout", 0.1),
        attention_dropout=config.get("attention_dropout", 0.0),
        intermediate_dropout=config.get("activation_dropout", 0.0),
        activation=_ACTIVATIONS[config["activation_function"]],
        position_encoding=PositionalEncoding(layout="concatenated", dtype=dtype),
        norm_first=config.get("normalize_before", False),
        norm_embedding=config.get("normalize_embedding", False),
        scale_embedding=config.get("scale_embedding", False),
        layer_norm_epsilon=1e-5,
        logits_bias=True,
        dtype=dtype,
    )


def _search_options(folder, config):
    path = folder / _GENERATION
    # Older checkpoints have them in config.json.
    found = {**config, **(_read_json(path) if path.exists() else {})}
    stop = found.get("early_stopping") or False
    options = {
        "beam_size": found.get("num_beams") or 1,
        "length_penalty": found.get("length_penalty", 1.0),
        "penalty_form": "power",
        "stop_when": _STOP_WHEN[stop],
        "force_end": found.get("forced_eos_token_id") is not None,
    }
    if found.get("max_length"):
        # Theirs counts the start token.
        options["max_length"] = found["max_length"] - 1
    if found.get("no_repeat_ngram_size"):
        options["no_repeat_ngram_size"] = found["no_repeat_ngram_size"]
    banned = [ids[0] + 1 for ids in found.get("bad_words_ids") or () if len(ids) == 1]
    options["banned_ids"] = [i for i in banned if i != config["pad_token_id"] + 1]
    return options


# Weights: one table of names serves both ways.


def _places(model):
    """Yields our variables, and the Marian tensors that stand side by side in each."""

    def linear(dense, *names):
        yield dense.kernel, [f"{name}.weight" for name in names]
        yield dense.bias, [f"{name}.bias" for name in names]

    def norm(layer, name):
        yield layer.gamma, [f"{name}.weight"]
        yield layer.beta, [f"{name}.bias"]

    for side in ("encoder", "decoder"):
        for i, block in enumerate(getattr(model, f"{side}_blocks")):
            layer = f"model.{side}.layers.{i}"
            attention, name = block.self_attention, f"{layer}.self_attn"
            roles = [f"{name}.{role}_proj" for role in "qkv"]
            yield from linear(attention.query_key_value, *roles)
            yield from linear(attention.output_projection, f"{name}.out_proj")
            yield from norm(block.self_attention_norm, f"{name}_layer_norm")
            if side == "decoder":
                attention, name = block.cross_attention, f"{layer}.encoder_attn"
                yield from linear(attention.query, f"{name}.q_proj")
                roles = [f"{name}.{role}_proj" for role in "kv"]
                yield from linear(attention.key_value, *roles)
                yield from linear(attention.output_projection, f"{name}.out_proj")
                yield from norm(block.cross_attention_norm, f"{name}_layer_norm")
            yield from linear(block.feed_forward.inner, f"{layer}.fc1")
            yield from linear(block.feed_forward.outer, f"{layer}.fc2")
            yield from norm(block.feed_forward_norm, f"{layer}.final_layer_norm")
        if last := getattr(model, f"{side}_norm"):
            yield from norm(last, f"model.{side}.layer_norm")
        if first := getattr(model, f"{side}_embedding_norm"):
            yield from norm(first, f"model.{side}.layernorm_embedding")


def _embedding_names(model):
    """Each embedding, and the names under which the format may have its matrix."""
    encoder, decoder = (
        f"model.{side}.embed_tokens.weight" for side in ("encoder", "decoder")
    )
    if model.source_embedding is model.target_embedding:
        names = ["model.shared.weight", encoder, decoder, "lm_head.weight"]
        return [(model.source_embedding, names)]
    return [
        (model.source_embedding, [encoder]),
        (model.target_embedding, [decoder, "lm_head.weight"]),
    ]


def _load_weights(model, tensors, path):
    """Assigns all weights, once all of them are known to fit."""
    tensors, values = dict(tensors), []

    def pop(name, shape):
        if name not in tensors:
            raise ValueError(f"{path} has no tensor {name!r}, which the model needs.")
        tensor = tensors.pop(name).astype("float32")
        if tensor.shape != tuple(shape):
            raise ValueError(
                f"{path}: tensor {name!r} has the shape {tensor.shape}, but {_CONFIG} "
                f"asks for {tuple(shape)}."
            )
        return tensor

    for embedding, names in _embedding_names(model):
        shape = (embedding.vocabulary_size - 1, embedding.hidden_dim)
        present = [name for name in names if name in tensors] or names[:1]
        matrices = [pop(name, shape) for name in present]
        for name, matrix in zip(present, matrices):
            if not np.array_equal(matrix, matrices[0]):
                raise ValueError(
                    f"{path}: tensors {present[0]!r} and {name!r} must be the same; "
                    "kt.Transformer ties its embeddings."
                )
        values.append((embedding.embeddings, np.pad(matrices[0], ((1, 0), (0, 0)))))
    bias = model.target_embedding.bias
    shape = (1, bias.shape[0] - 1)
    given = np.zeros(shape, "float32")
    if "final_logits_bias" in tensors:
        given = pop("final_logits_bias", shape)
    values.append((bias, np.concatenate([[_PADDING_BIAS], given[0]])))
    for variable, names in _places(model):
        shape = (*variable.shape[:-1], variable.shape[-1] // len(names))
        parts = [pop(name, shape[::-1]).T for name in names]
        values.append((variable, np.concatenate(parts, axis=-1)))
    # Marian's sinusoids are stored, though they follow from the formula.
    extra = [name for name in tensors if not name.endswith("embed_positions.weight")]
    if extra:
        raise ValueError(
            f"{path} has tensors that no part of the model takes: {sorted(extra)[:5]}. "
            f"{_CONFIG} may be another model's."
        )
    for variable, value in values:
        variable.assign(value)


def _marian_weights(model, first):
    weights = {}
    for embedding, names in _embedding_names(model):
        weights[names[0]] = keras.ops.convert_to_numpy(embedding.embeddings)[first:]
    embedding = model.target_embedding
    bias = np.zeros(embedding.vocabulary_size, "float32")
    if embedding.use_bias:
        bias = keras.ops.convert_to_numpy(embedding.bias)
    weights["final_logits_bias"] = bias[None, first:]
    for variable, names in _places(model):
        value = keras.ops.convert_to_numpy(variable)
        weights.update(zip(names, (p.T for p in np.split(value, len(names), axis=-1))))
    if model.position.layout == "interleaved":
        weights = {name: _sines_first(name, value) for name, value in weights.items()}
    return {
        name: np.ascontiguousarray(value, "float32") for name, value in weights.items()
    }


def _sines_first(name, value):
    """Moves the axes of width D from interleaved sinusoids to concatenated ones."""
    layer, kind = name.rsplit(".", 1) if "." in name else (name, "")
    if (
        layer.endswith("_proj")
        and not layer.endswith("out_proj")
        or layer.endswith("fc1")
    ):
        reads, writes = kind == "weight", False
    elif "embed_tokens" in layer or layer.endswith("shared"):
        reads, writes = True, False
    else:
        reads, writes = False, name != "final_logits_bias"
    if reads:
        return np.concatenate([value[:, 0::2], value[:, 1::2]], axis=1)
    return np.concatenate([value[0::2], value[1::2]]) if writes else value


# Writing.


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
        (activation in _ACTIVATIONS.values(), "activation relu, gelu or silu"),
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
        "forced_eos_token_id": tokenizer.end_id - first,
    }


def _generation_config(translator, config, first):
    options = translator.search_options
    banned = {config["pad_token_id"], config["decoder_start_token_id"]}
    banned |= {i - first for i in options.get("banned_ids", ())}
    return {
        "num_beams": options.get("beam_size", 4),
        "length_penalty": options.get("length_penalty", 1.0),
        "max_length": (options.get("max_length") or translator.max_source_length) + 1,
        "early_stopping": {v: k for k, v in _STOP_WHEN.items()}[
            options.get("stop_when", "certain")
        ],
        "bad_words_ids": [[i] for i in sorted(banned)],
        "pad_token_id": config["pad_token_id"],
        "eos_token_id": config["eos_token_id"],
        "decoder_start_token_id": config["decoder_start_token_id"],
        "forced_eos_token_id": config["forced_eos_token_id"],
    }


def _write_tokenizers(translator, folder, first):
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    names = ["vocab.json", "target_vocab.json"]
    separate = (
        translator.model.source_embedding is not translator.model.target_embedding
    )
    for side, name, tokenizer in zip(("source", "target"), names, tokenizers):
        if isinstance(tokenizer, Tokenizer):
            model = _with_leading_space(tokenizer.model)
            tokens = tokenizer.tokens(range(tokenizer.vocabulary_size))
        else:
            model, tokens = tokenizer.model, tokenizer.vocabulary[first:]
        (folder / f"{side}.spm").write_bytes(model)
        if side == "source" or separate:
            _write_json(folder / name, {token: i for i, token in enumerate(tokens)})
    target = tokenizers[1]
    padding = target.start_id if first else target.padding_id
    special = dict(
        zip(
            ("pad", "eos", "unk"),
            target.tokens([padding, target.end_id, target.unknown_id]),
        )
    )
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "MarianTokenizer",
            "model_max_length": translator.max_source_length,
            "separate_vocabs": separate,
            **{f"{name}_token": token for name, token in special.items()},
        },
    )


def _with_leading_space(model):
    """Our tokenizers put a space before a text themselves; others ask the model to."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    proto.normalizer_spec.add_dummy_prefix = True
    return proto.SerializeToString()


def _write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
