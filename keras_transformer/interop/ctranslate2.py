"""A translator in CTranslate2's format."""

import os
import pathlib

import keras
import numpy as np

from keras_transformer.files import written_aside
from keras_transformer.interop.plain_sentencepiece import check_tokenizers, plain_model
from keras_transformer.kernels.impossible import IMPOSSIBLE
from keras_transformer.layers.lora import without_lora
from keras_transformer.layers.quantization import check_not_quantized
from keras_transformer.tasks.translator import Translator
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

_ACTIVATIONS = {"relu": "RELU", "gelu": "GELU", "silu": "SWISH"}


def save_ctranslate2(
    translator: Translator,
    folder: str | os.PathLike,
    quantization: str | None = None,
    max_positions: int = 1024,
) -> None:
    """Writes a translator for those who serve with CTranslate2.

    CTranslate2 takes and gives pieces of text. The tokenizers are written beside the
    model: `source.spm` and `target.spm`, for SentencePiece. A source ends with the end
    token. The example's lines give the answers of

    `translator.translate(texts, max_length=256, beam_size=4, length_penalty=0.6,
    penalty_form="power", stop_when="full", force_end=False)`

    CTranslate2 has that form of the length penalty and that rule to stop, and no other.
    With a length penalty of 0 its rule is `stop_when="certain"`. It doesn't know a
    translator's `max_source_length`: cut longer sources off first.

    Args:
        translator: A `kt.Translator` whose positions are sinusoidal or learned.
        folder: A new or empty folder.
        quantization: None, `"int8"`, `"bfloat16"` or another type of CTranslate2's.
        max_positions: Most tokens of a sequence: their sinusoids are stored.

    Raises:
        ImportError: If CTranslate2 isn't installed.
        ValueError: If CTranslate2 has nothing like the model's positions, activation
            or tokenizers, or the folder isn't empty.

    Example:

    >>> import ctranslate2, sentencepiece
    >>> kt.interop.save_ctranslate2(translator, "ct2/en-de")
    >>> engine = ctranslate2.Translator("ct2/en-de")
    >>> source, target = (
    ...     sentencepiece.SentencePieceProcessor(model_file=f"ct2/en-de/{side}.spm")
    ...     for side in ("source", "target"))
    >>> tokens = [source.encode(text, out_type=str) + ["</s>"] for text in texts]
    >>> found = engine.translate_batch(
    ...     tokens, beam_size=4, length_penalty=0.6,
    ...     min_decoding_length=0, max_decoding_length=256)
    >>> answers = [target.decode(result.hypotheses[0]) for result in found]
    """
    try:
        from ctranslate2.specs import common_spec, transformer_spec
    except ImportError:
        raise ImportError(
            "save_ctranslate2 needs CTranslate2: "
            "pip install keras-transformer-kit[ctranslate2]"
        ) from None
    folder = pathlib.Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder={str(folder)!r} must be empty.")
    model = without_lora(translator.model)
    check_not_quantized(model, "save_ctranslate2")
    check_tokenizers(translator)
    config = model.get_config()
    if model.position is None or config["activation"] not in _ACTIVATIONS:
        raise ValueError(
            "CTranslate2's format is written for sinusoidal and learned positions and "
            f"the activations {sorted(_ACTIVATIONS)}; received "
            f"position_encoding={config['position_encoding']!r}, "
            f"activation={config['activation']!r}."
        )
    spec = transformer_spec.TransformerSpec.from_config(
        (len(model.encoder_blocks), len(model.decoder_blocks)),
        config["num_heads"],
        pre_norm=config["norm_first"],
        activation=common_spec.Activation[_ACTIVATIONS[config["activation"]]],
        layernorm_embedding=config["norm_embedding"],
    )
    positions = _positions(model, max_positions)
    for side, embeddings, embedding in (
        ("encoder", spec.encoder.embeddings[0], model.source_embedding),
        ("decoder", spec.decoder.embeddings, model.target_embedding),
    ):
        stack = getattr(spec, side)
        scale = config["hidden_dim"] ** 0.5 if embedding.scale else 1.0
        stack.scale_embeddings = np.dtype("float32").type(scale)
        stack.position_encodings.encodings = positions
        embeddings.weight = _array(embedding.embeddings)
        for layer, block in zip(stack.layer, getattr(model, f"{side}_blocks")):
            _block(layer, block, side)
        if config["norm_first"]:
            _norm(stack.layer_norm, getattr(model, f"{side}_norm"))
        if config["norm_embedding"]:
            _norm(stack.layernorm_embedding, getattr(model, f"{side}_embedding_norm"))
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.decoder.projection.bias = _logits_bias(translator)
    source, target = translator.source_tokenizer, translator.target_tokenizer
    spec.register_source_vocabulary(_tokens(source, model.source_embedding))
    spec.register_target_vocabulary(_tokens(target, model.target_embedding))
    (unknown,), (start,), (end,) = (
        target.tokens([i]) for i in (target.unknown_id, target.start_id, target.end_id)
    )
    spec.config.unk_token = unknown
    spec.config.bos_token = start
    spec.config.eos_token = end
    spec.config.decoder_start_token = start
    spec.config.add_source_eos = False
    spec.config.layer_norm_epsilon = config["layer_norm_epsilon"]
    spec.validate()
    spec.optimize(quantization=quantization)
    with written_aside(folder) as aside:
        aside.mkdir()
        spec.save(str(aside))
        (aside / "source.spm").write_bytes(plain_model(source))
        (aside / "target.spm").write_bytes(plain_model(target))


def _block(spec, block, side):
    attention = block.self_attention
    _linear(spec.self_attention.linear[0], attention.query_key_value)
    _linear(spec.self_attention.linear[1], attention.output_projection)
    _norm(spec.self_attention.layer_norm, block.self_attention_norm)
    if side == "decoder":
        attention = block.cross_attention
        _linear(spec.attention.linear[0], attention.query)
        _linear(spec.attention.linear[1], attention.key_value)
        _linear(spec.attention.linear[2], attention.output_projection)
        _norm(spec.attention.layer_norm, block.cross_attention_norm)
    _linear(spec.ffn.linear_0, block.feed_forward.inner)
    _linear(spec.ffn.linear_1, block.feed_forward.outer)
    _norm(spec.ffn.layer_norm, block.feed_forward_norm)


def _linear(spec, dense):
    spec.weight = np.ascontiguousarray(_array(dense.kernel).T)
    if dense.use_bias:
        spec.bias = _array(dense.bias)


def _norm(spec, norm):
    spec.gamma, spec.beta = _array(norm.gamma), _array(norm.beta)


def _positions(model, count):
    """What the model adds to embeddings, `(count, D)`."""
    count = min(count, model.max_length or count)
    zeros = np.zeros((1, count, model.target_embedding.hidden_dim), "float32")
    return _array(model.position(zeros))[0]


def _logits_bias(translator):
    """The model's own, and what the search never lets come: padding and start."""
    embedding = translator.model.target_embedding
    bias = np.zeros(embedding.vocabulary_size, "float32")
    if embedding.use_bias:
        bias = _array(embedding.bias).copy()
    banned = translator.search_options.get("banned_ids", ())
    bias[[0, translator.target_tokenizer.start_id, *banned]] = IMPOSSIBLE
    return bias


def _tokens(tokenizer, embedding):
    """A name for each row of an embedding, each only once."""
    tokens = tokenizer.tokens(range(tokenizer.vocabulary_size))
    if isinstance(tokenizer, VocabularyTokenizer):
        # "<pad>" is Marian's start token, place 0 our padding.
        tokens[0] = "<padding>"
    more = range(len(tokens), embedding.vocabulary_size)
    return [*tokens, *(f"<unused-{i}>" for i in more)]


def _array(values):
    return np.asarray(keras.ops.convert_to_numpy(values), "float32")
