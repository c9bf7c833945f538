"""Whether mixed_bfloat16 learns as float32 does: the loss curves of both.

    pip install -e ".[plot]"
    python benchmarks/loss_curves.py train.en train.de --picture curves.png

Each dtype policy trains the same models on the same batches in the same order. A seed
chooses a model's first weights and its dropout; how far the curves of two seeds are
apart is the noise that the difference of the policies is set beside.
"""

import itertools

import keras
import matplotlib.pyplot as plt
import numpy as np
from corpus import corpus_parser, read_corpus
from turns import use_threads

import keras_transformer as kt

POLICIES = "float32", "mixed_bfloat16"


def main():
    parser = corpus_parser(__doc__.split("\n")[0], preset="small", steps=500)
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--window", type=int, default=50, help="steps a point")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--picture", default="loss_curves.png")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: their difference is the noise")
    if arguments.window < 1 or arguments.steps % arguments.window:
        parser.error("--steps must be a multiple of --window")
    use_threads()
    tokenizer, batches = read_corpus(
        arguments, tokens_per_batch=arguments.tokens_per_batch
    )
    curves = {policy: [] for policy in POLICIES}
    for seed, policy in itertools.product(range(arguments.seeds), POLICIES):
        keras.utils.set_random_seed(seed)
        model = kt.Transformer.from_preset(
            arguments.preset, tokenizer.vocabulary_size, seed=seed, dtype=policy
        )
        curve = losses(model, batches, arguments.steps, arguments.window)
        curves[policy].append(curve)
        print(f"{policy}, seed {seed}: {curve[-1]:.3f}", flush=True)
    ends = np.arange(1, len(curve) + 1) * arguments.window
    curves = {policy: np.array(curves[policy]) for policy in POLICIES}
    print_curves(ends, curves)
    draw(ends, curves, arguments.picture)


def losses(model, batches, steps, window):
    """The mean loss of each `window` steps, in training as the recipes do it."""
    schedule = kt.training.WarmupInverseSqrt.from_peak(
        0.001, model.config["hidden_dim"], warmup_steps=steps // 2
    )
    model.compile(kt.training.Adam(schedule), kt.training.MaskedCrossentropy())
    history = model.fit(
        batches.from_step(0),
        steps_per_epoch=window,
        epochs=steps // window,
        verbose=0,
    )
    return history.history["loss"]


def print_curves(ends, curves):
    one, other = curves.values()
    rows = {
        **{f"{policy}, mean of seeds": curves[policy].mean(0) for policy in curves},
        "between policies, same seed": np.abs(one - other).mean(0),
        "between seeds, same policy": np.mean(
            [np.ptp(curve, axis=0) for curve in curves.values()], axis=0
        ),
    }
    print(f"\n| loss, up to step | {' | '.join(map(str, ends))} |")
    print(f"|{' --- |' * (len(ends) + 1)}")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |")


def draw(ends, curves, path):
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for (policy, values), style in zip(curves.items(), ("-", "--")):
        for seed, curve in enumerate(values):
            label = f"{policy}, seed {seed}"
            axis.plot(ends, curve, style, color=f"C{seed}", label=label)
    axis.set_xlabel("step")
    axis.set_ylabel("training loss, nats a token")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
