"""Adapters: what a model learned by LoRA, apart from the model it was learned on."""

import hashlib
import json
import warnings
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy
from keras import ops

from keras_transformer.arguments import integer
from keras_transformer.files import written_aside
from keras_transformer.layers.lora import HasLora, base_weights, lora_layers
from keras_transformer.reading import existing, naming

_FORMAT = "keras_transformer adapter 1"
_WHAT = "an adapter"


def enable_lora(model, rank, alpha=None):
    """Freezes a model, and gives its matrices low-rank updates that are trained.

    It calls `enable_lora` of each Dense layer and each `TokenEmbedding` that is
    trained; layers that were frozen before (`freeze`) get none. Then every other
    weight is frozen. Compile the model afterwards: the optimizer has moments of the
    updates alone.

    Args:
        model: A built model of this package.
        rank: Rank of the updates, such as 8.
        alpha: Factor of the updates times `rank`; `rank` if left out.

    Raises:
        TypeError: If `rank` is no integer.
        ValueError: If `rank` isn't positive, or the model has LoRA already, is in int8
            or has no matrix to train.

    Example:

    >>> model = kt.Transformer.from_preset("mini", source_vocabulary_size=500)
    >>> kt.training.enable_lora(model, rank=8)
    >>> model.compile(kt.training.Adam(1e-3), kt.training.MaskedCrossentropy())

    Reference: [LoRA](https://arxiv.org/abs/2106.09685).
    """
    rank = integer("rank", rank)
    if lora_layers(model):
        raise ValueError(
            f"model {model.name!r} has LoRA already; kt.training.merge_lora(model) "
            "makes it part of the weights first."
        )
    if any(layer.quantization_mode for layer in model._flatten_layers()):
        raise ValueError(
            f"LoRA takes a model of floats, not one after quantize(); received "
            f"{model.name!r} with weights of int8."
        )
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, HasLora) and layer.lora_base.trainable
    ]
    if not layers:
        raise ValueError(
            f"model {model.name!r} has no matrix that is trained, so LoRA has nothing "
            "to add to."
        )
    for layer in layers:
        layer.enable_lora(rank, lora_alpha=alpha)
    for weight in base_weights(model):
        weight.trainable = False
    model.forget_compiled()


def merge_lora(model):
    """Makes the updates of LoRA part of the weights, which are trained again.

    The model computes the same as before, but for rounding, and is one without LoRA.
    Compile it again before it is trained. Exports and files of other libraries do the
    same with a copy.

    Args:
        model: A model of this package; without LoRA nothing happens.

    Example:

    >>> model = kt.Transformer.from_preset("mini", source_vocabulary_size=500)
    >>> kt.training.enable_lora(model, rank=8)
    >>> kt.training.merge_lora(model)
    """
    if not (layers := lora_layers(model)):
        return
    for layer in layers:
        layer.merge_lora()
    for weight in base_weights(model):
        weight.trainable = True
    model.forget_compiled()


def save_adapter(model, path):
    """Writes the updates of LoRA alone: a few MB.

    Args:
        model: A model after `enable_lora`.
        path: The file to write, in the format safetensors.

    Raises:
        ValueError: If the model has no LoRA.

    Example:

    >>> model = kt.Transformer.from_preset("mini", source_vocabulary_size=500)
    >>> kt.training.enable_lora(model, rank=8)
    >>> kt.training.save_adapter(model, "medical.safetensors")
    """
    layers = _numbered(lora_layers(model), model)
    if not layers:
        raise ValueError(
            f"model {model.name!r} has no LoRA to save; kt.training.enable_lora(model, "
            "rank) or a run's lora_rank gives it one before training."
        )
    tensors = {}
    for number, layer in layers.items():
        for side, weight in zip("ab", layer.lora_weights[1:]):
            tensors[f"{number}.{side}"] = np.ascontiguousarray(
                ops.convert_to_numpy(weight)
            )
    metadata = {
        "format": _FORMAT,
        "base": base_fingerprint(model),
        "alpha": json.dumps({n: float(x.lora_alpha) for n, x in layers.items()}),
    }
    with written_aside(path) as aside:
        safetensors.numpy.save_file(tensors, aside, metadata=metadata)


def load_adapter(model, path):
    """Gives a model the updates of a file, on which training can go on.

    Args:
        model: The model that the adapter was trained on, without LoRA.
        path: A file that `save_adapter` or a run (`adapter.safetensors`) wrote.

    Raises:
        FileNotFoundError: If the file isn't there.
        ValueError: If it holds no adapter, or one of a model of another size; if the
            model has LoRA already.

    Warns:
        UserWarning: If the model's weights aren't those the adapter was trained on.

    Example:

    >>> model = kt.Transformer.from_preset("mini", source_vocabulary_size=500)
    >>> model.save("base.keras")
    >>> kt.training.enable_lora(model, rank=8)
    >>> kt.training.save_adapter(model, "medical.safetensors")
    >>> base = keras.models.load_model("base.keras")
    >>> kt.training.load_adapter(base, "medical.safetensors")
    """
    if lora_layers(model):
        raise ValueError(
            f"model {model.name!r} has LoRA already; load the adapter onto the model "
            "without it, or merge_lora(model) first."
        )
    tensors, alpha, base = _read(path)
    pairs = {}
    every = _numbered(
        [each for each in model._flatten_layers() if isinstance(each, HasLora)], model
    )
    for number in alpha:
        a, b = (tensors.get(f"{number}.{side}") for side in "ab")
        layer = every.get(number)
        wanted = tuple(layer.lora_base.shape) if layer else None
        if a is None or b is None or (*a.shape[:1], *b.shape[1:]) != wanted:
            raise ValueError(
                f"{path} is the adapter of another model than {model.name!r}: its "
                f"update {number} doesn't fit the weight of shape {wanted}."
            )
        pairs[layer] = a, b, alpha[number]
    if base != base_fingerprint(model):
        warnings.warn(
            f"{path} was trained on other weights than those of {model.name!r}; its "
            "answers may be wrong.",
            stacklevel=2,
        )
    for layer, (a, b, own_alpha) in pairs.items():
        layer.enable_lora(a.shape[1], lora_alpha=own_alpha)
        for variable, value in zip(layer.lora_weights[1:], (a, b)):
            variable.assign(value)
    for weight in base_weights(model):
        weight.trainable = False
    model.forget_compiled()


def base_fingerprint(model):
    """SHA-256 of the weights that a model has beside LoRA's updates, as a string."""
    digest = hashlib.sha256()
    for weight in base_weights(model):
        value = ops.convert_to_numpy(ops.cast(weight, "float32"))
        digest.update(np.ascontiguousarray(value))
    return digest.hexdigest()


def _numbered(layers, model):
    """Layers by the number of their matrix among the model's, as strings."""
    numbers = {id(weight): str(i) for i, weight in enumerate(base_weights(model))}
    return {numbers[id(layer.lora_base)]: layer for layer in layers}


def _read(path):
    """The tensors of an adapter, alpha by layer, and the fingerprint of its base."""
    with naming(existing(path, _WHAT), _WHAT):
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if metadata.get("format") != _FORMAT:
            raise ValueError(
                f'its format must be "{_FORMAT}"; received {metadata.get("format")!r}'
            )
        alpha = json.loads(metadata["alpha"])
        if not isinstance(alpha, Mapping):
            raise ValueError(f"alpha must be a JSON object; received {alpha!r:.60}")
        return tensors, {n: float(x) for n, x in alpha.items()}, metadata["base"]
