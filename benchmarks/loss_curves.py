"""Whether mixed_bfloat16 learns as float32 does: losses of the same steps side by side.

    python benchmarks/loss_curves.py train.en train.de

The same model is trained on the same batches in float32, with several seeds, and in
mixed_bfloat16. What the seeds' losses differ by is the noise that the difference
between the dtypes is compared with. `--picture` draws the curves.
"""

import argparse

import keras
import numpy as np
from turns import use_threads

import keras_transformer as kt


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", help="a text file")
    parser.add_argument("target", help="its translation")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--vocabulary-size", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--steps-per-row", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each dtype")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--picture", help="file to draw the curves to")
    arguments = parser.parse_args()
    use_threads()
    tokenizer = kt.text.train_tokenizer(
        [arguments.source, arguments.target], arguments.vocabulary_size
    )
    batches = kt.text.make_batches(
        arguments.source, arguments.target, source_tokenizer=tokenizer
    )
    curves = {
        (dtype, seed): losses(arguments, batches, tokenizer, dtype, seed)
        for seed in range(arguments.seeds)
        for dtype in ("float32", "mixed_bfloat16")
    }
    print_curves(curves, arguments)
    if arguments.picture:
        draw(curves, arguments)


def losses(arguments, batches, tokenizer, dtype, seed):
    """The mean loss of each `steps_per_row` steps."""
    keras.utils.set_random_seed(seed)
    model = kt.Transformer.from_preset(
        arguments.preset, tokenizer.vocabulary_size, dtype=dtype, seed=seed
    )
    model.compile(
        kt.training.Adam(arguments.learning_rate), kt.training.MaskedCrossentropy(0.1)
    )
    history = model.fit(
        batches.from_step(0).take(arguments.steps),
        epochs=arguments.steps // arguments.steps_per_row,
        steps_per_epoch=arguments.steps_per_row,
        verbose=0,
    )
    found = history.history["loss"]
    print(f"{dtype}, seed {seed}: the last loss is {found[-1]:.4f}", flush=True)
    return found


def print_curves(curves, arguments):
    seeds = range(arguments.seeds)
    exact = np.array([curves["float32", seed] for seed in seeds])
    half = np.array([curves["mixed_bfloat16", seed] for seed in seeds])
    spread = np.ptp(exact, axis=0)
    difference = half.mean(axis=0) - exact.mean(axis=0)
    print("\n| steps | float32 | mixed_bfloat16 | difference | float32, seeds' range |")
    print("| --- | --- | --- | --- | --- |")
    for row, values in enumerate(zip(exact.mean(0), half.mean(0), difference, spread)):
        steps = (row + 1) * arguments.steps_per_row
        print(f"| {steps} | {' | '.join(f'{value:.4f}' for value in values)} |")


def draw(curves, arguments):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5))
    steps = np.arange(1, arguments.steps // arguments.steps_per_row + 1)
    colours = {"float32": "tab:blue", "mixed_bfloat16": "tab:orange"}
    for (dtype, seed), found in curves.items():
        axes.plot(
            steps * arguments.steps_per_row,
            found,
            color=colours[dtype],
            alpha=0.7,
            label=dtype if seed == 0 else None,
        )
    axes.set(xlabel="step", ylabel="training loss, nats a token")
    axes.legend(frameon=False)
    figure.savefig(arguments.picture, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main()
