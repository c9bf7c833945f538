"""Prepared corpora: how fast they are made, read and gone on with, at several sizes.

    python benchmarks/input_pipeline.py --pairs 100000 1000000 10000000

For each size a corpus is generated: words of random letters, frequent ones as in text,
lengths of source and target as parallel text has them. The table says

- pairs that `keras-transformer prepare` tokenizes in a minute of CPU time;
- seconds from the command `keras-transformer train` to the end of its first step, on
  the prepared corpus;
- the most memory of that training;
- target tokens of batches made in a second, and how often that is training's rate;
- the share of padding;
- seconds until the first batch of update 1,000,000.

Corpora stay in `--folder` and are used again.
"""

import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import time

import numpy as np

LATE = 1_000_000
BATCHES = 300


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=pathlib.Path, default="input_pipeline")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--train", metavar="CORPUS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        print(json.dumps(measure_training(arguments)))
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows = [measure(arguments, pairs) for pairs in arguments.pairs]
    print(f"\n| {arguments.preset}, 4,096 tokens | " + " | ".join(rows[0]) + " |")
    print("| --- |" + " --- |" * len(rows[0]))
    for pairs, row in zip(arguments.pairs, rows):
        print(f"| {pairs:,} pairs | " + " | ".join(row.values()) + " |")


def measure(arguments, pairs):
    """A row of the table."""
    texts = generate(arguments.folder, pairs)
    corpus = arguments.folder / f"{pairs}.corpus"
    tokenizer = arguments.folder / "spm"
    if not tokenizer.exists():
        train_tokenizer(texts, tokenizer)
    shutil.rmtree(corpus, ignore_errors=True)
    before, began = cpu_of_children(), time.perf_counter()
    command = [sys.executable, "-m", "keras_transformer", "prepare", corpus, *texts]
    flags = ["--tokenizer", tokenizer, "--processes", str(arguments.processes)]
    subprocess.run([*command, *flags], check=True)
    seconds = time.perf_counter() - began
    cpu = cpu_of_children() - before
    # Prints its times on the last line.
    command = [
        sys.executable,
        __file__,
        "--train",
        corpus,
        "--folder",
        arguments.folder,
    ]
    flags = ["--preset", arguments.preset, "--steps", str(arguments.steps)]
    began = time.time()
    answer = subprocess.run(
        [*command, *flags], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = json.loads(answer.splitlines()[-1])
    return {
        "prepared, pairs/min/core": f"{pairs / cpu * 60:,.0f}",
        "prepared, s": f"{seconds:.0f}",
        "first step, s": f"{found['first_step'] - began:.1f}",
        "memory, MB": f"{found['memory']:,.0f}",
        "batches, tokens/s": f"{found['pipeline']:,.0f}",
        "x training": f"{found['pipeline'] / found['training']:.0f}",
        "padding": f"{found['padding']:.1%}",
        f"update {LATE:,}, s": f"{found['late']:.2f}",
    }


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def generate(folder, pairs):
    """Two files of as many lines; made once."""
    texts = [folder / f"{pairs}.{side}" for side in "ab"]
    if all(path.exists() for path in texts):
        return texts
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = [
        "".join(random.choice(letters, random.integers(1, 10))) for _ in range(30_000)
    ]
    shares = 1 / np.arange(1, len(words) + 1)
    frequent = np.cumsum(shares / shares.sum())
    words = np.array(words)
    files = [open(path, "w", encoding="utf-8") for path in texts]
    for first in range(0, pairs, 50_000):
        count = min(50_000, pairs - first)
        source = np.clip(random.lognormal(np.log(16), 0.6, count), 1, 120)
        target = np.clip(source * random.lognormal(0, 0.15, count), 1, 120)
        for file, lengths in zip(files, (source, target)):
            lengths = lengths.astype(int)
            drawn = np.searchsorted(frequent, random.random(lengths.sum()))
            chosen, ends = words[drawn.clip(0, len(words) - 1)], np.cumsum(lengths)
            for start, end in zip(ends - lengths, ends):
                file.write(" ".join(chosen[start:end]) + "\n")
    for file in files:
        file.close()
    return texts


def train_tokenizer(texts, path):
    import keras_transformer as kt

    parts = []
    for text in texts:
        part = path.with_name(f"{text.name}.part")
        with open(text, encoding="utf-8") as lines:
            part.write_text("".join(line for _, line in zip(range(50_000), lines)))
        parts.append(part)
    kt.text.train_tokenizer(parts, 8000).save(path)


def measure_training(arguments):
    """Trains on a prepared corpus; what it takes."""
    run = arguments.folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    sys.argv[0] = "keras-transformer"
    from keras_transformer.cli import main as command
    from keras_transformer.cli.library import library

    library()
    from keras_transformer.training import Checkpoints

    ends = []
    count = Checkpoints.on_train_batch_end

    def noted(checkpoints, batch, logs=None):
        count(checkpoints, batch, logs)
        ends.append(time.time())

    Checkpoints.on_train_batch_end = noted
    steps = str(arguments.steps)
    flags = ["--preset", arguments.preset, "--steps", steps, "--steps-per-epoch", steps]
    command(["train", str(run), arguments.train, *flags, "--verbose", "0"])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    import keras_transformer as kt

    corpus = kt.data.PreparedCorpus(arguments.train)
    batches = kt.data.make_batches(corpus, seed=1)
    tokens = [np.count_nonzero(y) for _, y in batches.take(arguments.steps)]
    began = time.perf_counter()
    made = sum(np.count_nonzero(labels) for _, labels in batches.take(BATCHES))
    pipeline = made / (time.perf_counter() - began)
    began = time.perf_counter()
    next(iter(kt.data.make_batches(arguments.train, seed=1).from_step(LATE)))
    late = time.perf_counter() - began
    return {
        "first_step": ends[0],
        "memory": memory,
        # The fastest half of the steps: the others trace or compile.
        "training": training_rate(tokens, ends),
        "pipeline": pipeline,
        "padding": batches.report.padding_share,
        "late": late,
    }


def training_rate(tokens, ends):
    """Target tokens a second, of the faster half of the steps."""
    rates = sorted(np.array(tokens[1:]) / np.diff(ends))
    return float(np.median(rates[len(rates) // 2 :]))


if __name__ == "__main__":
    main()
