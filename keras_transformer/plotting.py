"""Pictures of position encodings, attention and training, by matplotlib."""

import csv

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from keras_transformer.layers.position import sinusoidal_encoding


def plot_position_encoding(length=100, hidden_dim=128, layout="interleaved"):
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


def plot_attention(translator, text, translation=None, kind="cross", layer=-1):
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
    rows = read if kind == "encoder" else written
    columns = {
        "cross": read,
        "encoder": read,
        "decoder": target.tokens([target.start_id, *answer_ids]),
    }[kind]
    heads = ops.convert_to_numpy(scores[kind][layer])[0]
    size = 1.5 + 0.22 * len(columns), 1.5 + 0.22 * len(rows)
    figure = Figure(figsize=(size[0] * len(heads), size[1]), layout="constrained")
    for number, (axes, head) in enumerate(
        zip(figure.subplots(1, len(heads), squeeze=False)[0], heads), start=1
    ):
        axes.imshow(head, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(rows)), rows if number == 1 else [])
        axes.set_title(f"head {number}")
    return figure


def plot_training(metrics):
    """Draws losses, and BLEU if it was measured, by epoch.

    Args:
        metrics: Path of a run's `metrics.csv`.

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: If the file holds no epoch.

    Example:

    >>> kt.plotting.plot_training("runs/en-de/metrics.csv").savefig("training.png")
    """
    with open(metrics, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"metrics={str(metrics)!r} holds no epoch to draw.")
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, label in (("loss", "training"), ("val_loss", "held out")):
        if name in rows[0]:
            axes.plot(epochs, [float(row[name]) for row in rows], label=label)
    axes.set(xlabel="epoch", ylabel="loss (nats per token)")
    axes.legend(loc="upper left")
    if "val_bleu" in rows[0]:
        bleu = axes.twinx()
        bleu.plot(epochs, [float(row["val_bleu"]) for row in rows], color="green")
        bleu.set_ylabel("BLEU, held out", color="green")
    return figure
