"""How the cost of a training step grows: with tokens, length, layers and width.

    python benchmarks/growth.py --picture docs/images/growth.png

Medians of steps through `compile` and `train_on_batch`, one thing changed at a time,
with the exponents of power laws fitted to the upper half of each curve. Products with
weights cost tokens x layers x width^2, those between positions tokens x length x
layers x width, and the output projection tokens x vocabulary x width.
"""

import argparse
import statistics
import time

import matplotlib.pyplot as plt
import numpy as np
from complexity import exponent
from turns import use_threads

import keras_transformer as kt

VOCABULARY = 1000
BASE = {"tokens": 2048, "length": 32, "layers": 2, "width": 256}
CURVES = {
    "tokens": (256, 512, 1024, 2048, 4096, 8192),
    "length": (16, 32, 64, 128, 256, 512),
    "layers": (1, 2, 4, 8),
    "width": (64, 128, 256, 512, 1024),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", default="growth.png")
    arguments = parser.parse_args()
    use_threads()
    figure, axes = plt.subplots(
        1, len(CURVES), figsize=(13, 3.2), sharey=True, layout="constrained"
    )
    for axis, (name, values) in zip(axes, CURVES.items()):
        seconds = [
            step_time({**BASE, name: value}, arguments.rounds) for value in values
        ]
        slope = exponent(values, seconds)
        print(f"\n| {name} | {' | '.join(map(str, values))} | exponent |")
        print(f"|{' --- |' * (len(values) + 2)}")
        times = " | ".join(f"{1e3 * s:.0f}" for s in seconds)
        print(f"| ms | {times} | {slope:.2f} |", flush=True)
        axis.loglog(values, seconds, "o-")
        axis.set_xlabel(f"{name}, exponent {slope:.2f}")
        axis.set_xticks(values, map(str, values), rotation=45)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds a step")
    others = ", ".join(f"{value} {name}" for name, value in BASE.items())
    figure.suptitle(f"A training step; what doesn't vary: {others}")
    figure.savefig(arguments.picture, dpi=110)


def step_time(setting, rounds):
    """Median seconds of a step, after one that traces it."""
    width, length = setting["width"], setting["length"]
    model = kt.Transformer(
        VOCABULARY,
        num_layers=setting["layers"],
        hidden_dim=width,
        num_heads=4,
        intermediate_dim=4 * width,
    )
    model.compile(kt.training.Adam(1e-4), kt.training.MaskedCrossentropy())
    shape = max(1, setting["tokens"] // length), length
    ids = np.random.default_rng(1).integers(4, VOCABULARY, shape, dtype="int32")
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        model.train_on_batch({"source_ids": ids, "target_ids": ids}, ids)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
