"""Pictures of position encodings, attention and training, by matplotlib."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from keras_transformer.layers.distance_bias import AlibiBias, T5PositionBias
from keras_transformer.layers.position import sinusoidal_encoding
from keras_transformer.layers.rotary_embedding import RotaryEmbedding
from keras_transformer.training.metrics_file import read_metrics

if TYPE_CHECKING:
    from keras_transformer.tasks.translator import Translator

# Told apart by people of any colour vision (Okabe and Ito), and by their dashes.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_DASHES = ("solid", "dashed", "dashdot", "dotted", (0, (5, 1)), (0, (1, 1)))


def plot_position_encoding(
    length: int = 100, hidden_dim: int = 128, layout: str = "interleaved"
) -> Figure:
    """Draws the sinusoids of section 3.5: a row for each position.

    Args:
        length: Number of positions.
        hidden_dim: Width of the encoding.
        layout: `"interleaved"` or `"concatenated"`.

    Returns:
        A matplotlib `Figure`; `figure.savefig("positions.png")` writes it.

    Example:

    >>> kt.plotting.plot_position_encoding(50, 64).savefig("positions.png")
    """
    encoding = sinusoidal_encoding(np.arange(length), hidden_dim, layout=layout)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(
        ops.convert_to_numpy(encoding), aspect="auto", cmap="RdBu", vmin=-1, vmax=1
    )
    axes.set(xlabel="dimension", ylabel="position", title="Sinusoidal encoding")
    figure.colorbar(image)
    return figure


def plot_position_curves(
    length: int = 100,
    hidden_dim: int = 128,
    dimensions: Iterable[int] = (20, 21, 36, 50),
) -> Figure:
    """Draws a few dimensions of the sinusoids by position: the higher, the slower.

    Args:
        length: Number of positions.
        hidden_dim: Width of the encoding.
        dimensions: Which dimensions to draw.

    Returns:
        A matplotlib `Figure`.

    Example:

    >>> kt.plotting.plot_position_curves(dimensions=(0, 1)).savefig("curves.png")
    """
    positions = np.linspace(0, length, 10 * length + 1)
    encoding = ops.convert_to_numpy(sinusoidal_encoding(positions, hidden_dim))
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for number, dimension in enumerate(dimensions):
        axes.plot(
            positions,
            encoding[:, dimension],
            label=f"dimension {dimension} ({'cosine' if dimension % 2 else 'sine'})",
            color=_COLOURS[number % len(_COLOURS)],
            linestyle=_DASHES[number % len(_DASHES)],
        )
    axes.set(xlabel="position", ylabel="value", title="Sinusoids by position")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def plot_position_distances(
    max_distance: int = 64, num_heads: int = 8, head_dim: int = 64
) -> Figure:
    """Draws how each encoding makes a score depend on distance, before training.

    Sinusoidal and rotary: the dot product of two equal vectors at a distance, as a
    share of that at distance 0. ALiBi: what it adds to a score, for each head. T5: the
    bucket of each distance, whose bias is learned.

    Args:
        max_distance: Largest distance, key minus query, to both sides.
        num_heads: Number of heads H.
        head_dim: Width K of a head; sinusoids are drawn at `num_heads * head_dim`.

    Returns:
        A matplotlib `Figure` with three pictures.

    Example:

    >>> kt.plotting.plot_position_distances().savefig("distances.png")
    """
    distances = np.arange(-max_distance, max_distance + 1)
    sinusoids = sinusoidal_encoding(distances, num_heads * head_dim)
    sinusoids = ops.convert_to_numpy(sinusoids)
    ones = np.ones((1, 1, len(distances), head_dim), "float32")
    turned = ops.convert_to_numpy(RotaryEmbedding()(ones, start_index=-max_distance))[
        0, 0
    ]
    alibi, t5 = AlibiBias(), T5PositionBias()
    alibi.build((None, num_heads, None, None))
    biases = ops.convert_to_numpy(alibi.distance_bias(ops.array(distances[None])))
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    products, slopes, buckets = figure.subplots(1, 3)
    for number, (name, vectors) in enumerate(
        (("sinusoidal", sinusoids), ("rotary", turned))
    ):
        profile = vectors @ vectors[max_distance]
        products.plot(
            distances,
            profile / profile[max_distance],
            label=name,
            color=_COLOURS[number],
            linestyle=_DASHES[number],
        )
    products.legend()
    products.set(ylabel="dot product, share of that at 0", title="Dot products")
    for head, bias in enumerate(biases[:, 0]):
        faint = 0.8 * head / num_heads
        slopes.plot(distances, bias, color=_COLOURS[0], alpha=1 - faint)
        if head < 3:
            place = 1.05 * max_distance, bias[-1]
            slopes.annotate(f"head {head + 1}", place, va="center")
    slopes.set_xlim(right=1.6 * max_distance)
    slopes.set(ylabel="added to the score", title=f"ALiBi, {num_heads} heads")
    buckets.step(distances, t5.buckets(distances), where="mid", color=_COLOURS[0])
    buckets.set(ylabel="bucket", title="T5, bidirectional")
    for axes in (products, slopes, buckets):
        axes.set_xlabel("distance, key minus query")
    return figure


def plot_attention(
    translator: Translator,
    text: str,
    translation: str | None = None,
    kind: str = "cross",
    layer: int = -1,
) -> Figure:
    """Draws what each head of a layer attends to while it writes a translation.

    Args:
        translator: A `kt.Translator`.
        text: The source, a string.
        translation: The target, a string; the translator's own if left out.
        kind: `"cross"`, `"encoder"` or `"decoder"`.
        layer: Number of the layer; the last one by default.

    Returns:
        A matplotlib `Figure`, with one picture a head: rows attend to columns.

    Raises:
        ValueError: For an unknown `kind`.

    Example:

    >>> kt.plotting.plot_attention(translator, "A dog runs.").savefig("dog.png")
    """
    if kind not in ("cross", "encoder", "decoder"):
        raise ValueError(
            f'kind must be "cross", "encoder" or "decoder"; received kind={kind!r}.'
        )
    if translation is None:
        translation = translator.translate(text)
    source = translator.source_tokenizer
    target = translator.target_tokenizer
    source_ids = [*source.tokenize([text])[0].numpy(), source.end_id]
    answer_ids = target.tokenize([translation])[0].numpy()
    # The decoder reads a token and scores the next: rows are named by what they write.
    scores = translator.model.attention_scores(
        np.array([source_ids]), np.array([[target.start_id, *answer_ids]])
    )
    read = source.tokens(source_ids)
    written = target.tokens([*answer_ids, target.end_id])
    rows, columns, names = {
        "cross": (written, read, ("writing", "attends to the source's")),
        "encoder": (read, read, ("source's", "attends to the source's")),
        "decoder": (
            written,
            target.tokens([target.start_id, *answer_ids]),
            ("writing", "attends to the answer's"),
        ),
    }[kind]
    heads = ops.convert_to_numpy(ops.cast(scores[kind][layer], "float32"))[0]
    across = min(len(heads), 2 if len(heads) <= 4 else 4)
    down = -(-len(heads) // across)
    size = 1 + 0.24 * len(columns), 0.8 + 0.24 * len(rows)
    figure = Figure(figsize=(size[0] * across, size[1] * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for number, (axes, head) in enumerate(zip(grid.flat, heads), start=1):
        picture = axes.imshow(head, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_title(f"head {number}")
    figure.supylabel(names[0])
    figure.supxlabel(names[1])
    figure.colorbar(picture, ax=grid, label="weight", shrink=0.6)
    return figure


def plot_tree(tree: str | tuple[str, Sequence]) -> Figure:
    """Draws a tree, such as a sentence's parse.

    Args:
        tree: A pair of a label and a list of trees; a string is a leaf.

    Returns:
        A matplotlib `Figure`.

    Example:

    >>> tree = ("S", [("NP", ["boats"]), ("VP", ["drift"])])
    >>> kt.plotting.plot_tree(tree).savefig("tree.png")
    """
    leaves, lines, labels = [], [], []

    def place(node, depth):
        """Puts a node above its children, in their middle; its place."""
        if isinstance(node, str):
            leaves.append(node)
            return len(leaves) - 1, None
        label, children = node
        places = [place(child, depth + 1) for child in children]
        x = (places[0][0] + places[-1][0]) / 2
        labels.append((x, depth, label))
        for child_x, child_depth in places:
            lines.append(((x, child_x), (depth, child_depth)))
        return x, depth

    place(tree, 0)
    # Leaves stand in one row below all else.
    bottom = 1 + max((depth for _, depth, _ in labels), default=0)
    figure = Figure(
        figsize=(max(3, 0.75 * len(leaves)), 0.55 * (bottom + 1)), layout="constrained"
    )
    axes = figure.add_subplot()
    for xs, (start, end) in lines:
        ends = start, bottom if end is None else end
        axes.plot(xs, ends, color="0.6", linewidth=1, zorder=1)
    style: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 2}
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    for x, depth, label in labels:
        axes.text(x, depth, label, color=_COLOURS[0], bbox=box, **style)
    for x, leaf in enumerate(leaves):
        axes.text(x, bottom, leaf, bbox=box, **style)
    axes.set(xlim=(-0.6, len(leaves) - 0.4), ylim=(bottom + 0.5, -0.5))
    axes.axis("off")
    return figure


def plot_training(metrics: str | os.PathLike) -> Figure:
    """Draws losses, and BLEU if it was measured, by epoch.

    Args:
        metrics: Path of a run's `metrics.csv`.

    Returns:
        A matplotlib `Figure`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no epoch, or is damaged.

    Example:

    >>> kt.plotting.plot_training("runs/en-de/metrics.csv").savefig("training.png")
    """
    rows = read_metrics(metrics)
    if not rows:
        raise ValueError(f"metrics={str(metrics)!r} holds no epoch to draw.")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, label in (("loss", "training"), ("val_loss", "held out")):
        if curve := _curve(rows, name):
            axes.plot(*curve, label=label)
    axes.set(xlabel="epoch", ylabel="loss (nats per token)")
    if axes.lines:
        axes.legend(loc="upper left")
    if curve := _curve(rows, "val_bleu"):
        bleu = axes.twinx()
        bleu.plot(*curve, color="green")
        bleu.set_ylabel("BLEU, held out", color="green")
    return figure


def _curve(rows, name):
    """Epochs, the first one is 1, and a metric's values where it was measured."""
    points = [
        (int(row["epoch"]) + 1, float(row[name]))
        for row in rows
        if row.get(name, "") not in ("", "NA")
    ]
    return list(zip(*points))
