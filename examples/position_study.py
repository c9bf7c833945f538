"""What each position encoding is worth: translation, longer inputs, lost order.

    python examples/position_study.py FOLDER --run-dir runs/positions

FOLDER holds task 1 of Multi30k, as for translate_multi30k.py. Three parts:

- translation: one small model, English-German, with each encoding; the same data,
  seed and budget. Row E of the paper's table 3 is its first two rows, with two seeds.
- extrapolation: reversing sequences of up to 20 symbols, tested up to 80.
- order: reversing, which needs order, and sorting, which doesn't, with and without
  positions.

Results go to results.json in the run's folder, one by one: stopped, the same command
goes on. Tables are printed, pictures written to the run's folder.
"""

import argparse
import json
import pathlib
import statistics
import time

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_transformer as kt

ENCODINGS = ("sinusoidal", "learned", "rotary", "relative", "t5", "alibi", None)
RUNS = [(name, 1) for name in ENCODINGS] + [("sinusoidal", 2), ("learned", 2)]
START, END, FIRST, SYMBOLS = 2, 3, 4, 96
TRAINED_LENGTH = 20
TESTED_LENGTHS = (5, 10, 15, 20, 22, 25, 30, 40, 60, 80)
PARTS = ("translation", "extrapolation", "order")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--run-dir", type=pathlib.Path, default="runs/positions")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--steps", type=int, default=2000, help="of translation")
    parser.add_argument("--epochs", type=int, default=8, help="of the other parts")
    arguments = parser.parse_args()
    results = Results(arguments.run_dir / "results.json")
    parts = arguments.part or PARTS
    if "extrapolation" in parts:
        study_extrapolation(arguments, results)
    if "order" in parts:
        study_order(arguments, results)
    if "translation" in parts:
        study_translation(arguments, results)


class Results(dict):
    """What has been measured, kept in a file."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(json.loads(path.read_text()) if path.exists() else {})
        self.path = path

    def measure(self, key, function, *arguments):
        if key not in self:
            self[key] = function(*arguments)
            self.path.write_text(json.dumps(self, indent=1))
        return self[key]


# Translation.


def study_translation(arguments, results):
    for encoding, seed in RUNS:
        key = f"translation {encoding} {seed}"
        results.measure(key, translate_multi30k, arguments, encoding, seed)
    results.measure("step times", step_times, arguments)
    print("\n| encoding | seed | perplexity | BLEU | parameters | ms a step |")
    print("| --- | --- | --- | --- | --- | --- |")
    for encoding, seed in RUNS:
        found = results[f"translation {encoding} {seed}"]
        milliseconds = 1000 * results["step times"][str(encoding)]
        print(
            f"| {encoding} | {seed} | {found['perplexity']:.2f} | {found['bleu']:.2f} "
            f"| {found['parameters']:,} | {milliseconds:.0f} |"
        )


def configuration(arguments, encoding, seed):
    def path(split, language):
        return str(arguments.folder / f"{split}.{language}.gz")

    return kt.RunConfig(
        source=path("train", "en"),
        target=path("train", "de"),
        valid_source=path("val", "en"),
        valid_target=path("val", "de"),
        preset="mini",
        model={"position_encoding": encoding, "dtype": "mixed_bfloat16"},
        vocabulary_size=4000,
        tokens_per_batch=1024,
        steps=arguments.steps,
        steps_per_epoch=500,
        peak_learning_rate=0.003,
        warmup_steps=800,
        average_last=2,
        bleu_sentences=0,
        seed=seed,
    )


def translate_multi30k(arguments, encoding, seed):
    """Trains one model: its perplexity on val and its BLEU on test_2016_flickr."""
    config = configuration(arguments, encoding, seed)
    folder = arguments.run_dir / f"{encoding}-{seed}"
    translator = kt.train(config, folder, verbose=2)
    model = translator.model
    validation = kt.text.make_batches(
        config.valid_source,
        config.valid_target,
        source_tokenizer=translator.source_tokenizer,
        shuffle=False,
        repeat=False,
    )
    model.compile(
        loss=kt.training.MaskedCrossentropy(label_smoothing=0.0),
        metrics=[kt.training.MaskedPerplexity()],
    )
    perplexity = model.evaluate(validation, verbose=0, return_dict=True)["perplexity"]
    test = arguments.folder / "test_2016_flickr"
    sources, references = (
        list(kt.text.read_lines(f"{test}.{language}.gz")) for language in ("en", "de")
    )
    bleu, signature = kt.evaluation.bleu(translator.translate(sources), references)
    found = {
        "perplexity": perplexity,
        "bleu": bleu,
        "signature": signature,
        "parameters": model.count_params(),
    }
    print(encoding, seed, found)
    return found


def step_times(arguments, rounds=15):
    """Seconds of a training step on one batch, encodings interleaved: medians."""
    generator = np.random.default_rng(1)
    ids = generator.integers(FIRST, 4000, (128, 16), dtype="int32")
    inputs = {"source_ids": ids, "target_ids": ids}
    models, seconds = {}, {str(encoding): [] for encoding in ENCODINGS}
    for encoding in ENCODINGS:
        config = configuration(arguments, encoding, 1)
        model = kt.Transformer.from_preset(config.preset, 4000, **config.model)
        model.compile("adam", kt.training.MaskedCrossentropy())
        for _ in range(3):
            model.train_on_batch(inputs, ids)
        models[str(encoding)] = model
    for _ in range(rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model.train_on_batch(inputs, ids)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


# Symbols: longer inputs, lost order.


def study_extrapolation(arguments, results):
    accuracies = {}
    for encoding in ENCODINGS:
        key = f"reverse {encoding}"
        accuracies[str(encoding)] = results.measure(
            key, accuracy_by_length, arguments, "reverse", encoding
        )
    plt.style.use("tableau-colorblind10")
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for (name, accuracy), marker in zip(accuracies.items(), "osD^vPX"):
        axes.plot(TESTED_LENGTHS, 100 * np.array(accuracy), label=name, marker=marker)
    axes.axvspan(0, TRAINED_LENGTH, color="0.93")
    axes.text(TRAINED_LENGTH / 2, 104, "lengths in training", ha="center")
    axes.set(xlabel="length of the input", ylabel="symbols right (%)", xlim=(0, 82))
    axes.set_ylim(-3, 112)
    axes.set_title("Reversing a sequence, by length")
    figure.legend(loc="outside right center")
    figure.savefig(arguments.run_dir / "extrapolation.png", dpi=110)
    print("\n| encoding |", " | ".join(map(str, TESTED_LENGTHS)), "|")
    print("| --- " * (1 + len(TESTED_LENGTHS)) + "|")
    for name, accuracy in accuracies.items():
        print(f"| {name} |", " | ".join(f"{100 * a:.0f}" for a in accuracy), "|")


def study_order(arguments, results):
    shares = {}
    for task in ("sort", "reverse"):
        for encoding in ("sinusoidal", None):
            accuracies = results.measure(
                f"{task} {encoding}", accuracy_by_length, arguments, task, encoding
            )
            # Of the lengths seen in training.
            known = [length <= TRAINED_LENGTH for length in TESTED_LENGTHS]
            shares[task, encoding] = 100 * np.mean(np.array(accuracies)[known])
    plt.style.use("tableau-colorblind10")
    figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
    for number, (encoding, label) in enumerate(
        (("sinusoidal", "with sinusoids"), (None, "without positions"))
    ):
        places = np.arange(2) + 0.38 * (number - 0.5)
        heights = [shares[task, encoding] for task in ("sort", "reverse")]
        bars = axes.bar(places, heights, 0.36, label=label, hatch=["", "//"][number])
        axes.bar_label(bars, fmt="%.0f %%")
    axes.set_xticks([0, 1], ["sorting\n(order doesn't matter)", "reversing\n(it does)"])
    axes.set(ylabel="symbols right (%)", ylim=(0, 112), title="Order lost")
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(arguments.run_dir / "order.png", dpi=110)
    print("\nSymbols right, lengths up to 20 (%):")
    for (task, encoding), share in shares.items():
        print(f"  {task:<8} {str(encoding):<11} {share:.1f}")


def accuracy_by_length(arguments, task, encoding):
    """Trains on short sequences; the share of right symbols for each length tested."""
    generator = np.random.default_rng(1)
    keras.utils.set_random_seed(1)
    model = kt.Transformer(
        FIRST + SYMBOLS,
        num_layers=2,
        hidden_dim=128,
        num_heads=4,
        intermediate_dim=256,
        dropout=0.0,
        position_encoding=encoding,
    )
    schedule = kt.training.WarmupInverseSqrt.from_peak(0.002, 128, warmup_steps=400)
    model.compile(
        kt.training.Adam(schedule),
        kt.training.MaskedCrossentropy(label_smoothing=0.0),
        metrics=[kt.training.MaskedAccuracy()],
    )
    lengths = generator.integers(1, TRAINED_LENGTH + 1, 20_000)
    inputs, labels = sequences(task, lengths, generator)
    print(f"{task}, position_encoding={encoding}")
    model.fit(inputs, labels, batch_size=64, epochs=arguments.epochs, verbose=2)
    shares = []
    for length in TESTED_LENGTHS:
        inputs, labels = sequences(task, [length] * 200, generator)
        found = model.generate(inputs["source_ids"], beam_size=1, max_length=length + 1)
        answers = keras.ops.convert_to_numpy(found["ids"])[:, 0]
        answers = np.pad(answers, ((0, 0), (0, length + 1 - answers.shape[1])))
        shares.append(float(np.mean((answers == labels)[:, :length])))
    print(dict(zip(TESTED_LENGTHS, shares)))
    return shares


def sequences(task, lengths, generator):
    """Inputs and labels: no symbol twice in a sequence, so that each can be found."""
    source = np.zeros((len(lengths), max(lengths) + 1), "int32")
    labels = np.zeros_like(source)
    for row, length in enumerate(lengths):
        symbols = FIRST + generator.permutation(SYMBOLS)[:length]
        source[row, :length], source[row, length] = symbols, END
        answer = np.sort(symbols) if task == "sort" else symbols[::-1]
        labels[row, :length], labels[row, length] = answer, END
    target = np.roll(np.where(labels == END, 0, labels), 1, axis=1)
    target[:, 0] = START
    return {"source_ids": source, "target_ids": target}, labels


if __name__ == "__main__":
    main()
