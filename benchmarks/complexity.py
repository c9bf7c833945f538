"""The paper's Table 1, measured: self-attention, recurrence and convolution.

    python benchmarks/complexity.py --picture docs/images/complexity.png

Time of one layer, forward and backward, as the sequence and as the width grow, with
the exponents of power laws fitted to the upper half of each curve; sequential steps,
counted on the graph; the longest path between two positions, computed from what
depends on what.

Reference: Attention Is All You Need (https://arxiv.org/abs/1706.03762), section 4.
"""

import argparse
import collections
import functools
import statistics
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from turns import use_threads

import keras_transformer as kt

BATCH = 2
LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
WIDTHS = (64, 128, 256, 512, 1024)
WIDTH, LENGTH = 256, 256  # while the other one grows
KERNEL = 3
LAYERS = {
    "self-attention": lambda width: kt.layers.MultiHeadAttention(4),
    "LSTM": lambda width: keras.layers.LSTM(width, return_sequences=True),
    "GRU": lambda width: keras.layers.GRU(width, return_sequences=True),
    "convolution": lambda width: keras.layers.Conv1D(width, KERNEL, padding="same"),
}
# Table 1: operations of a layer as (exponent of n, exponent of d).
THEORY = {
    "self-attention": (2, 1),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "convolution": (1, 2),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", default="complexity.png")
    arguments = parser.parse_args()
    use_threads()
    by_length = time_layers([(n, WIDTH) for n in LENGTHS], arguments.rounds)
    by_width = time_layers([(LENGTH, d) for d in WIDTHS], arguments.rounds)
    print_times(by_length, by_width)
    print_structure()
    draw(by_length, by_width, arguments.picture)


# Time.


def time_layers(shapes, rounds):
    """Medians of seconds by layer and shape, the layers interleaved."""
    steps, seconds = {}, collections.defaultdict(list)
    for shape in shapes:
        for name in LAYERS:
            steps[name, shape] = training_step(name, *shape)
    for _ in range(rounds):
        for key, step in steps.items():
            start, times = time.perf_counter(), 0
            while times == 0 or time.perf_counter() - start < 0.05:
                step()
                times += 1
            seconds[key].append((time.perf_counter() - start) / times)
        print(".", end="", flush=True)
    print()
    return {key: statistics.median(times) for key, times in seconds.items()}


def training_step(name, length, width):
    layer = LAYERS[name](width)
    x = tf.random.normal((BATCH, length, width))
    layer(x)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x))
        weights = [variable.value for variable in layer.trainable_variables]
        gradients = tape.gradient(loss, [x, *weights])
        return tf.add_n([tf.reduce_sum(g) for g in gradients])

    for _ in range(2):
        step().numpy()
    return lambda: step().numpy()


def exponent(sizes, seconds):
    """Of the power law through the upper half of a curve, by least squares."""
    half = len(sizes) // 2
    slope, _ = np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)
    return slope


def print_times(by_length, by_width):
    lengths = {f"n={n}": (n, WIDTH) for n in LENGTHS}
    widths = {f"d={d}": (LENGTH, d) for d in WIDTHS}
    print_table(f"width {WIDTH}", by_length, lengths, LENGTHS, 0)
    print_table(f"length {LENGTH}", by_width, widths, WIDTHS, 1)


def print_table(title, seconds, shapes, sizes, axis):
    """A row for each layer; `axis` is that of the sizes in `THEORY`."""
    print(f"\nms, forward and backward, batch {BATCH}, {title}")
    print("| layer |", " | ".join(shapes), "| exponent | theory |")
    print("| --- " * (len(shapes) + 3) + "|")
    for name in LAYERS:
        row = [seconds[name, shape] for shape in shapes.values()]
        cells = " | ".join(f"{1000 * t:.2f}" for t in row)
        found = exponent(sizes, row)
        print(f"| {name} | {cells} | {found:.2f} | {THEORY[name][axis]} |")


# Structure.


def print_structure(lengths=(8, 16, 32)):
    print("\n| layer | sequential steps | longest path |")
    print("| --- | --- | --- |")
    for name in LAYERS:
        steps = [sequential_steps(name, n) for n in lengths]
        paths = [longest_path(name, n) for n in lengths]
        print(f"| {name} | {in_words(steps, lengths)} | {in_words(paths, lengths)} |")
    paths = [longest_path("convolution", n, dilated=True) for n in lengths]
    print(f"| convolutions, dilated | | {in_words(paths, lengths)} |")


def in_words(values, lengths):
    return ", ".join(f"{v} (n={n})" for v, n in zip(values, lengths))


def sequential_steps(name, length, width=8):
    """Most products of matrices, or convolutions, on one path through the graph."""
    layer = LAYERS[name](width)
    if name in ("LSTM", "GRU"):
        layer = type(layer)(width, return_sequences=True, unroll=True)
    layer.build((None, length, width))
    spec = tf.TensorSpec((1, length, width))
    graph = tf.function(lambda x: layer(x), input_signature=[spec])
    graph = graph.get_concrete_function().graph
    counted = {"MatMul", "BatchMatMulV2", "Conv2D", "Einsum"}
    depth = {}
    # Operations are listed in the order in which they were made: inputs come first.
    for operation in graph.get_operations():
        before = max((depth[tensor.op.name] for tensor in operation.inputs), default=0)
        depth[operation.name] = before + (operation.type in counted)
    return max(depth.values())


def longest_path(name, length, dilated=False, width=4):
    """Most layers, or time steps, from one position to another, over the shortest way.

    Which position depends on which is found by changing one input at a time, and of a
    recurrent layer by the gradients of its cell.
    """
    if name in ("LSTM", "GRU"):
        cell = LAYERS[name](width).cell
        x, state = tf.random.normal((1, width)), tf.random.normal((1, width))
        states = [state] * len(tf.nest.flatten(cell.state_size))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([x, state])
            output, _ = cell(x, states)
            total = tf.reduce_sum(output)
        reads_input = tape.gradient(total, x) is not None
        reads_state = tape.gradient(total, state) is not None
        assert reads_input and reads_state
        edges = {step: [step + 1] for step in range(length)}
        return breadth_first(edges, 0)[length - 1] + 1
    reached = np.eye(length, dtype=bool)
    layers = 0
    while not reached.all():
        dilation = 2**layers if dilated else 1
        reached = reached @ dependencies(name, length, width, dilation)
        layers += 1
    return layers


@functools.cache
def dependencies(name, length, width, dilation):
    """Which inputs (rows) which output positions (columns) depend on."""
    layer = LAYERS[name](width)
    if dilation > 1:
        layer = keras.layers.Conv1D(
            width, KERNEL, padding="same", dilation_rate=dilation
        )
    x = np.random.default_rng(0).normal(size=(length, width)).astype("float32")
    # Row i: the same sequence, but for position i.
    changed = x + np.eye(length, dtype="float32")[:, :, None]
    before = keras.ops.convert_to_numpy(layer(x[None]))
    after = keras.ops.convert_to_numpy(layer(changed))
    return np.abs(after - before).max(axis=2) > 1e-6


def breadth_first(edges, start):
    steps, queue = {start: 0}, collections.deque([start])
    while queue:
        node = queue.popleft()
        for neighbour in edges.get(node, ()):
            if neighbour not in steps:
                steps[neighbour] = steps[node] + 1
                queue.append(neighbour)
    return steps


# Picture.


def draw(by_length, by_width, path):
    plt.style.use("tableau-colorblind10")
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, marker in zip(LAYERS, "osD^"):
        for axes, sizes, found, shape in (
            (panels[0], LENGTHS, by_length, lambda n: (n, WIDTH)),
            (panels[1], WIDTHS, by_width, lambda d: (LENGTH, d)),
        ):
            times = [1000 * found[name, shape(size)] for size in sizes]
            label = name if axes is panels[0] else None
            axes.loglog(sizes, times, marker=marker, label=label, base=2)
    panels[0].set(xlabel="sequence length n", title=f"width {WIDTH}")
    panels[1].set(xlabel="width d", title=f"length {LENGTH}")
    for axes in panels:
        axes.set_ylabel("forward and backward (ms)")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(LAYERS))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
