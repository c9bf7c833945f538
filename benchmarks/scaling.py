"""Training on several replicas, the price of checkpoints, and of a kill.

    python benchmarks/scaling.py [--preset tiny]

Replicas: the same global batches on one device, on two mirrored devices and on two
worker processes of this machine, whose cores they share: tokens a second, rounds
interleaved, medians. Checkpoints: time of one beside the time of an epoch of default
length. A kill: what a run takes longer that is killed without warning in the middle of
an epoch and started again.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

LAUNCHER = pathlib.Path(__file__).parents[1] / "examples" / "launch_workers.py"
SHAPE, STEPS = (256, 16), 6


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replica", metavar="STRATEGY", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replica:
        time_replica(arguments.replica, arguments.preset)
        return
    compare_replicas(arguments.preset, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        price_of_checkpoints(pathlib.Path(folder), arguments.preset)
        price_of_a_kill(pathlib.Path(folder), arguments.preset)


# Replicas.


def compare_replicas(preset, rounds):
    alone = [sys.executable, __file__, "--preset", preset, "--replica"]
    commands = {
        "one device": [*alone, "one_device"],
        "two mirrored devices": [*alone, "mirrored"],
        "two workers": [sys.executable, LAUNCHER, "2", "--", *alone, "multi_worker"],
    }
    seconds = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = [line for line in done.stdout.splitlines() if "seconds" in line]
            seconds[name].append(float(found[0].split("seconds")[1]))
    tokens = SHAPE[0] * SHAPE[1]
    first = statistics.median(seconds["one device"])
    print(f"\n| {preset}, {tokens} target tokens a batch | tokens/s | ratio |")
    print("| --- | --- | --- |")
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"| {name} | {tokens / middle:,.0f} | {first / middle:.2f} |", flush=True)


def time_replica(name, preset):
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_transformer as kt

    if name == "mirrored":
        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
    with kt.training.get_strategy(name).scope():
        model = kt.Transformer.from_preset(preset, 8000)
        model.compile(kt.training.Adam(), kt.training.MaskedCrossentropy())
    ids = np.random.default_rng(1).integers(4, 8000, SHAPE, dtype="int32")
    batch = {"source_ids": ids, "target_ids": ids}, ids
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    seconds = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, step, logs=None):
            seconds.append(time.perf_counter())

    model.fit(batches, steps_per_epoch=STEPS + 2, verbose=0, callbacks=[Clock()])
    steps = np.diff(seconds)[-STEPS:]
    print("seconds", float(np.median(steps)))


# Checkpoints and kills.


def write_corpus(folder):
    generator = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(generator.choices(letters, k=5)) for _ in range(3000)]
    for name in ("source", "target"):
        lines = (
            " ".join(generator.choices(words, k=generator.randrange(4, 12)))
            for _ in range(5000)
        )
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def run_command(folder, name, preset, steps, steps_per_epoch):
    return [
        *(sys.executable, "-m", "keras_transformer", "train", str(folder / name)),
        *(str(folder / "source.txt"), str(folder / "target.txt")),
        *("--preset", preset, "--vocabulary-size", "2000", "--verbose", "0"),
        *("--steps", str(steps), "--steps-per-epoch", str(steps_per_epoch)),
        *("--average-last", "1", "--model", json.dumps({"dropout": 0.1})),
    ]


def price_of_checkpoints(folder, preset):
    import numpy as np

    import keras_transformer as kt

    model = kt.Transformer.from_preset(preset, 8000)
    model.compile(kt.training.Adam(), kt.training.MaskedCrossentropy())
    ids = np.random.default_rng(1).integers(4, 8000, SHAPE, dtype="int32")
    inputs = {"source_ids": ids, "target_ids": ids}
    times = {"step": [], "checkpoint": []}
    checkpoints = kt.training.Checkpoints(folder / "checkpoints", keep=2)
    checkpoints.set_model(model)
    for number in range(STEPS):
        start = time.perf_counter()
        model.train_on_batch(inputs, ids)
        middle = time.perf_counter()
        checkpoints.step = number
        path = checkpoints.save()
        times["step"].append(middle - start)
        times["checkpoint"].append(time.perf_counter() - middle)
    step, checkpoint = (statistics.median(times[name][1:]) for name in times)
    default = kt.RunConfig.steps_per_epoch
    share = checkpoint / (default * step + checkpoint)
    print(
        f"\nA checkpoint ({path.stat().st_size / 1e6:.0f} MB) takes {checkpoint:.2f} "
        f"s, {default} steps {default * step:.0f} s: {share:.2%} of training time."
    )


def price_of_a_kill(folder, preset, steps=60, steps_per_epoch=20):
    write_corpus(folder)
    start = time.perf_counter()
    whole = run_command(folder, "whole", preset, steps, steps_per_epoch)
    subprocess.run(whole, check=True, capture_output=True)
    undisturbed = time.perf_counter() - start

    start = time.perf_counter()
    killed = run_command(folder, "killed", preset, steps, steps_per_epoch)
    process = subprocess.Popen(killed, stderr=subprocess.DEVNULL)
    checkpoints = folder / "killed" / "checkpoints"
    while not list(checkpoints.glob("step-*")):
        time.sleep(0.05)
    written = time.perf_counter()
    # Half of an epoch is lost, and the start of a process.
    time.sleep(0.5 * (undisturbed / steps) * steps_per_epoch)
    process.kill()
    process.wait()
    lost = time.perf_counter() - written
    subprocess.run(killed, check=True, capture_output=True)
    more = time.perf_counter() - start - undisturbed
    print(
        f"\nA kill {lost:.1f} s after a checkpoint: the run of {steps} steps took "
        f"{undisturbed:.1f} s undisturbed and {more:.1f} s more with the kill: "
        f"{lost:.1f} s of lost steps, {more - lost:.1f} s to start again."
    )


if __name__ == "__main__":
    main()
