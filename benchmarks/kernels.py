"""What each fast form of an operation gains in a whole step or a whole search.

    pip install -e ".[parity]"
    python benchmarks/kernels.py
    python benchmarks/kernels.py --work "greedy, 1 sentence" --rounds 15

The work is done with all fast forms (`keras_transformer/kernels`), without one of them
at a time, and with plain forms alone. A form that is left out is replaced by what would
serve then: the next fast form, or the plain one. Each work has a process of its own,
in which the rounds of all variants are interleaved. The table has the median seconds
and how much longer the work takes without the form; a form that gains less than 3 % in
every work isn't worth its lines. Models are `small`, 4 + 4 blocks, 256 wide, 8,000
tokens, where no other size is named; 64 pairs of 32 tokens are trained on, and
sentences of 32 tokens translated to as many. Searches have the threads that an export's
server has.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import statistics
import subprocess
import sys
import time

from turns import SIZES, THREADS, endless_transformer, transformer, use_threads

# Shorter work is repeated, and counts by its mean.
SHORTEST_TURN = 0.25
# Those that make sense together only.
TOGETHER = {"adam_rate": "adam", "adam_step": "adam"}


@dataclasses.dataclass(frozen=True)
class Work:
    """A step of training, or the search for a batch's answers."""

    backend: str = "tensorflow"
    size: str = "small"
    rows: int = 64
    length: int = 32
    search: dict | None = None
    weights: str = "float32"
    by_xla: bool = False


WORKS = {
    "training": Work(),
    "training, JAX": Work("jax"),
    "training, PyTorch": Work("torch"),
    "training, PyTorch, 2,048 tokens": Work("torch", rows=1, length=2048),
    "greedy": Work(search={"beam_size": 1}),
    "greedy, XLA": Work(search={"beam_size": 1}, by_xla=True),
    "greedy, 1 sentence": Work(rows=1, search={"beam_size": 1}),
    "greedy, 1 sentence, bfloat16": Work(
        rows=1, search={"beam_size": 1}, weights="bfloat16"
    ),
    "greedy, 1 sentence, XLA": Work(rows=1, search={"beam_size": 1}, by_xla=True),
    "greedy, 1 sentence, base": Work(size="base", rows=1, search={"beam_size": 1}),
    "greedy, 1 sentence, base, XLA": Work(
        size="base", rows=1, search={"beam_size": 1}, by_xla=True
    ),
    "beam 4": Work(search={"beam_size": 4}),
    "beam 4, 1 sentence": Work(rows=1, search={"beam_size": 4}),
    "beam 4, 16 sentences, XLA": Work(rows=16, search={"beam_size": 4}, by_xla=True),
    "sampling": Work(search={"sample": True, "top_p": 0.9}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", action="append", choices=WORKS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--cpu", action="store_true", help="processor time, on a machine that is shared"
    )
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_process:
        clock = time.process_time if arguments.cpu else time.perf_counter
        weigh(arguments.work[0], arguments.rounds, clock)
        return
    for name in arguments.work or WORKS:
        command = [sys.executable, __file__, "--in-process", "--work", name]
        command += ["--rounds", str(arguments.rounds)] + ["--cpu"] * arguments.cpu
        environment = {
            "KERAS_BACKEND": WORKS[name].backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        subprocess.run(command, check=True, env={**os.environ, **environment})


def weigh(name, rounds, clock):
    """Prints what one work takes with all forms, without each of them, with none."""
    from keras_transformer import kernels

    work = WORKS[name]
    use_work_threads(work)
    used = set()
    with changed_forms(lambda form: noting(form, used)):
        runs = {"all fast forms": started(work)}
    for group in sorted(map(group_of, used)):
        with changed_forms(functools.partial(unless_in, group)):
            runs[group] = started(work)
    with kernels.plain_only():
        runs["all of them"] = started(work)
    seconds = {variant: [] for variant in runs}
    for _ in range(rounds):
        for variant, run in runs.items():
            seconds[variant].append(turn(run, clock))
    medians = {variant: statistics.median(each) for variant, each in seconds.items()}
    whole = medians.pop("all fast forms")
    print(f"\n| {name}: without | seconds | longer by |\n| --- | --- | --- |")
    print(f"| nothing | {whole:.4f} | |")
    for variant, middle in medians.items():
        print(f"| {variant} | {middle:.4f} | {middle / whole - 1:+.1%} |", flush=True)


def turn(run, clock):
    """Seconds of one run, the mean of several where it is short."""
    begin, start, times = clock(), time.perf_counter(), 0
    while times == 0 or time.perf_counter() - start < SHORTEST_TURN:
        run()
        times += 1
    return (clock() - begin) / times


def group_of(form):
    """What a form is called in the table."""
    name = form.function.__name__
    module = form.function.__module__.rpartition(".")[2]
    return TOGETHER.get(name, f"{module}.{name}")


def unless_in(group, form):
    """The form, or None for one of a group."""
    return None if group_of(form) == group else form


def noting(form, used):
    """The form, noted in a set when it is taken."""

    @functools.wraps(form.function)
    def function(*arguments, **named):
        used.add(form)
        return form.function(*arguments, **named)

    return dataclasses.replace(form, function=function)


@contextlib.contextmanager
def changed_forms(change):
    """A scope in which each fast form is what `change` gives, or with None isn't."""
    from keras_transformer import kernels

    before = dict(kernels.FAST_FORMS)
    for operation, forms in before.items():
        changed = [change(form) for form in forms]
        kernels.FAST_FORMS[operation] = [form for form in changed if form]
    try:
        yield
    finally:
        kernels.FAST_FORMS.update(before)


def use_work_threads(work):
    if work.backend == "torch":
        import torch

        torch.set_num_threads(THREADS)
    elif work.backend == "tensorflow":
        is_plain_search = work.search is not None and not work.by_xla
        use_threads(THREADS, 1 if is_plain_search else THREADS)


def started(work):
    """A function that does the work once; it has been done before."""
    run = training_step(work) if work.search is None else search(work)
    # XLA and Keras compile in the first, and set up in the second.
    run()
    run()
    return run


def source_ids(work):
    import numpy as np

    shape, words = (work.rows, work.length), SIZES[work.size]["words"]
    return np.random.default_rng(1).integers(10, words - 10, shape, "int32")


def training_step(work):
    import keras_transformer as kt

    model = transformer(SIZES[work.size], dropout=0.1)
    model.compile(kt.training.Adam(1e-4), kt.training.MaskedCrossentropy(0.1))
    ids = source_ids(work)
    inputs = {"source_ids": ids, "target_ids": ids}
    if work.backend != "jax":
        return lambda: model.train_on_batch(inputs, ids)
    # JAX's `train_on_batch` hands all weights over after each step, `fit` at its end.
    return lambda: model.fit(inputs, ids, batch_size=len(ids), verbose=0)


def search(work):
    import tensorflow as tf

    from keras_transformer.decoding import SearchOptions, generate
    from keras_transformer.kernels import with_matmuls_in_parts
    from keras_transformer.serving.exported_weights import ExportedWeights

    model = endless_transformer(SIZES[work.size], SearchOptions().end_id)
    weights = ExportedWeights(model, work.weights)
    if work.by_xla:
        weights.hold_transposed()
    scope = weights.in_use_by_xla if work.by_xla else weights.in_use
    options = {"max_length": work.length, "fixed_shapes": work.by_xla, **work.search}
    parts = THREADS if work.rows == 1 and not work.by_xla else 1
    rows = work.rows if work.rows == 1 or work.by_xla else None
    spec = tf.TensorSpec((rows, work.length), "int32")

    @tf.function(input_signature=[spec], jit_compile=work.by_xla)
    def found(ids):
        with scope() as exported, with_matmuls_in_parts(parts):
            return generate(exported, ids, **options)["ids"]

    ids = tf.constant(source_ids(work))
    return lambda: found(ids).numpy()


if __name__ == "__main__":
    main()
