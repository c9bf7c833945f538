"""Freezing parts of a model: weights that training leaves as they are."""

import difflib
import math
import re

# What names of parts look like, known without a model.
PARTS = (
    "embeddings",
    "source_embedding",
    "target_embedding",
    "encoder",
    "decoder",
    "self_attention",
    "cross_attention",
    "feed_forward",
)
_BLOCK = re.compile(r"(encoder|decoder)_\d+")


def check_parts(parts, name="freeze"):
    """Checks names of parts, as far as they are known without a model.

    Args:
        parts: Sequence of strings.
        name: What the argument is called in messages.

    Returns:
        A tuple of the names.

    Raises:
        TypeError: If it is no sequence of strings.
        ValueError: For a name that no model has; the nearest one is named.
    """
    if isinstance(parts, str) or not isinstance(parts, (list, tuple, set, frozenset)):
        raise TypeError(
            f'{name} must be a list of names of parts, such as ["encoder"]; received '
            f"{name}={parts!r}."
        )
    for part in parts:
        if not isinstance(part, str):
            raise TypeError(f"{name} must hold strings; received {name}={parts!r}.")
        if part not in PARTS and not _BLOCK.fullmatch(part):
            near = difflib.get_close_matches(part, [*PARTS, "encoder_0", "decoder_0"])
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"{name} has no part {part!r}; {hint}Parts are {', '.join(PARTS)}, and "
                "a block by its name, such as encoder_0."
            )
    return tuple(parts)


def freeze(model, parts):
    """Freezes parts of a model: training leaves their weights as they are.

    Compile the model afterwards, so that the optimizer has no moments for them. A saved
    and loaded model has the same parts frozen.

    Args:
        model: A built model of this package.
        parts: Sequence of names. `"embeddings"` are the tables of tokens and of learned
            positions; `"source_embedding"` and `"target_embedding"` are one of them, in
            a model that has two. `"encoder"` and `"decoder"` are their blocks and
            norms, without embeddings; `"encoder_0"` is one block. `"self_attention"`,
            `"cross_attention"` and `"feed_forward"` are these layers of all blocks,
            without their norms.

    Raises:
        TypeError: If `parts` is no sequence of strings.
        ValueError: For a part that the model doesn't have, the nearest one is named; or
            if nothing is left to train. The model is left as it was.

    Example:

    >>> model = kt.Transformer.from_preset("mini", source_vocabulary_size=500)
    >>> kt.training.freeze(model, ["encoder", "embeddings"])

    Reference: [Cross-Attention is All You Need](https://arxiv.org/abs/2104.08771).
    """
    parts = check_parts(parts, "parts")
    layers = [layer for part in parts for layer in _of(model, part)]
    frozen = {id(weight) for layer in layers for weight in layer.weights}
    if all(id(weight) in frozen for weight in model.trainable_weights):
        raise ValueError(
            "freeze has all parts that the model trains, parts="
            f"{list(parts)!r}; leave one out."
        )
    for layer in layers:
        layer.trainable = False


def trainable_count(model):
    """Number of parameters that are trained."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _of(model, part):
    """The layers that a name means."""
    blocks = {block.name: block for block in _blocks(model)}
    if part in blocks:
        return [blocks[part]]
    if _BLOCK.fullmatch(part):
        raise ValueError(
            f"freeze has the part {part!r}, which the model doesn't have; its blocks "
            f"are {', '.join(blocks)}."
        )
    if part == "embeddings":
        names = ["source_embedding", "target_embedding", "position"]
        found = [getattr(model, name, None) for name in names]
        return [layer for layer in found if layer is not None]
    if part in ("source_embedding", "target_embedding"):
        sides = [
            getattr(model, side, None)
            for side in ("source_embedding", "target_embedding")
        ]
        if sides[0] is sides[1] or None in sides:
            raise ValueError(
                f"freeze has the part {part!r}, but the model has one embedding for "
                "source and target; freeze 'embeddings'."
            )
        return [getattr(model, part)]
    if part in ("encoder", "decoder"):
        names = [f"{part}_embedding_norm", f"{part}_norm"]
        found = [
            *getattr(model, f"{part}_blocks", []),
            *(getattr(model, name, None) for name in names),
        ]
    else:
        found = [getattr(block, part, None) for block in _blocks(model)]
    found = [layer for layer in found if layer is not None]
    if not found:
        raise ValueError(f"freeze has the part {part!r}, which the model doesn't have.")
    return found


def _blocks(model):
    sides = ("encoder", "decoder")
    return [b for side in sides for b in getattr(model, f"{side}_blocks", [])]
