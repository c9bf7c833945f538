"""Marian's names of the tensors in our variables: one table serves both ways."""

import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_transformer.interop.files import Tensors
from keras_transformer.layers.embedding import TokenEmbedding
from keras_transformer.models.transformer import Transformer

# Our padding's logit: low enough to have no probability in float32, high enough not to
# weigh in the mean of logits that label smoothing takes.
IMPROBABLE = -100.0


def tensor_names(model: Transformer) -> Iterator[tuple[keras.Variable, list[str]]]:
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


def embedding_names(model: Transformer) -> list[tuple[TokenEmbedding, list[str]]]:
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


def check_sizes(
    tensors: Mapping[str, np.ndarray],
    config: dict[str, Any],
    path: pathlib.Path,
    config_path: pathlib.Path,
) -> None:
    """Raises a ValueError if the weights can't be those of the configuration.

    It is looked at before a model of that size is made.
    """
    width, inner = config["d_model"], config["encoder_ffn_dim"]
    for side in ("encoder", "decoder"):
        layers = config[f"{side}_layers"]
        for i in {0, layers - 1} if layers else ():
            name = f"model.{side}.layers.{i}.fc1.weight"
            if name not in tensors:
                raise ValueError(
                    f"{path} has no tensor {name!r}, which the model needs, by "
                    f"{side}_layers={layers} of {config_path}."
                )
            _check_shape(tensors, name, (inner, width), path, config_path)
    shared = "model.shared.weight"
    names = ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"]
    sizes = config["vocab_size"], config["decoder_vocab_size"]
    for name, size in ((shared, sizes[0]), *zip(names, sizes)):
        if name in tensors:
            _check_shape(tensors, name, (size, width), path, config_path)
    if not any(name in tensors for name in (shared, *names, "lm_head.weight")):
        raise ValueError(f"{path} has no tensor {shared!r}, which the model needs.")


def _check_shape(tensors, name, shape, path, config_path):
    if tensors[name].shape != shape:
        raise ValueError(
            f"{path}: tensor {name!r} has the shape {tensors[name].shape}, but "
            f"{config_path} asks for {shape}."
        )


def assign_weights(
    model: Transformer,
    tensors: Tensors,
    path: pathlib.Path,
    improbable: Iterable[int] = (),
) -> None:
    """Assigns all weights, once all of them are known to fit.

    Args:
        model: A `kt.Transformer`.
        tensors: The checkpoint's `Tensors`.
        path: Path of the weights, for messages.
        improbable: Our ids that get no probability.
    """
    values = []
    for embedding, names in embedding_names(model):
        shape = (embedding.vocabulary_size - 1, embedding.hidden_dim)
        present = [name for name in names if name in tensors] or names[:1]
        matrices = [tensors.take(name, shape) for name in present]
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
        given = tensors.take("final_logits_bias", shape)
    given = np.concatenate([[IMPROBABLE], given[0]])
    given[list(improbable)] = IMPROBABLE
    values.append((bias, given))
    for variable, names in tensor_names(model):
        shape = (*variable.shape[:-1], variable.shape[-1] // len(names))
        parts = [tensors.take(name, shape[::-1]).T for name in names]
        values.append((variable, np.concatenate(parts, axis=-1)))
    # Marian's sinusoids are stored, though they follow from the formula.
    tensors.check_all_taken(but=lambda name: name.endswith("embed_positions.weight"))
    for variable, value in values:
        variable.assign(value)


def marian_weights(model: Transformer, first: int) -> dict[str, np.ndarray]:
    """The tensors of a model by their Marian names, from our id `first` on."""
    weights = {}
    for embedding, names in embedding_names(model):
        weights[names[0]] = keras.ops.convert_to_numpy(embedding.embeddings)[first:]
    embedding = model.target_embedding
    bias = np.zeros(embedding.vocabulary_size, "float32")
    if embedding.use_bias:
        bias = keras.ops.convert_to_numpy(embedding.bias)
    weights["final_logits_bias"] = bias[None, first:]
    for variable, names in tensor_names(model):
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
