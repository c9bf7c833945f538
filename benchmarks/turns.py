"""Programs that take turns: each in a process of its own, rounds interleaved.

A script names its contenders in a dict of functions. Each takes a job, a dict, and
returns a function that does the work once. The script calls `serve_turns` when it is
started with `--take-turns`, and `processes` and `take_turns` otherwise.
"""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

THREADS = 2
SHORTEST_TURN = 0.5  # seconds
# Of the models that are compared.
SIZES = {
    "small": {"layers": 4, "hidden": 256, "heads": 4, "inner": 1024, "words": 8000},
    "base": {"layers": 6, "hidden": 512, "heads": 8, "inner": 2048, "words": 32_000},
    "big": {"layers": 6, "hidden": 1024, "heads": 16, "inner": 4096, "words": 32_000},
}


def use_threads(inter_op=THREADS, intra_op=THREADS):
    """Gives TensorFlow `inter_op` operations at a time, of `intra_op` threads each."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(intra_op)
    tf.config.threading.set_inter_op_parallelism_threads(inter_op)


def transformer(size, **options):
    """Our model of one of `SIZES`."""
    import keras_transformer as kt

    return kt.Transformer(
        size["words"],
        num_layers=size["layers"],
        hidden_dim=size["hidden"],
        num_heads=size["heads"],
        intermediate_dim=size["inner"],
        **options,
    )


def endless_transformer(size, *end_ids):
    """The same, whose answers never end by themselves: some tokens are improbable."""
    import numpy as np

    model = transformer(size, logits_bias=True)
    bias = np.zeros(size["words"], "float32")
    bias[list(end_ids)] = -100.0
    model.target_embedding.bias.assign(bias)
    return model


@contextlib.contextmanager
def processes(script, contenders, environments=None):
    """Starts a process of `script` for each contender; a dict of them by name."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(THREADS),
        # Without it OpenMP's threads spin, which costs CTranslate2 most.
        "KMP_BLOCKTIME": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    started = {
        name: subprocess.Popen(
            [sys.executable, script, "--take-turns"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**environment, **(environments or {}).get(name, {})},
        )
        for name in contenders
    }
    try:
        yield started
    finally:
        for process in started.values():
            # One that has ended takes no more, and isn't what went wrong first.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()


def take_turns(started, job, rounds):
    """Seconds of each contender, in each round."""
    seconds = {name: [] for name in started}
    # In the first round contenders load, compile and warm up.
    for number in range(rounds + 1):
        for name, process in started.items():
            # Until the threads of the contender before have stopped to spin.
            time.sleep(0.3)
            process.stdin.write(json.dumps([name, job]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise RuntimeError(f"{name} ended with {process.wait()}")
            if number:
                seconds[name].append(float(answer))
    return seconds


def serve_turns(contenders):
    """Does what the parent asks for, and says how long it took."""
    works = {}
    for line in sys.stdin:
        name, job = json.loads(line)
        if line not in works:
            works[line] = contenders[name](job)
            answers = works[line]()
            if "answers" in job:
                path = pathlib.Path(job["answers"], f"{name}.json")
                path.write_text(json.dumps(answers), "utf-8")
        start, times = time.perf_counter(), 0
        # Short work is repeated, and counts by its mean.
        while times == 0 or time.perf_counter() - start < SHORTEST_TURN:
            works[line]()
            times += 1
        print((time.perf_counter() - start) / times, flush=True)


def print_table(title, seconds, peer):
    """Medians, and ratios to a peer's."""
    print(f"\n| {title} | seconds | speed over {peer} |")
    print("| --- | --- | --- |")
    for name, times in seconds.items():
        middle = statistics.median(times)
        ratio = statistics.median(seconds[peer]) / middle
        print(f"| {name} | {middle:.3f} | {ratio:.2f} |", flush=True)
