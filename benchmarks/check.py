"""Checks on this machine the ratios that README.md and benchmarks/README.md claim.

    pip install -e ".[parity]"
    python benchmarks/check.py

It takes less than 6 minutes on two cores. The claims are the table "Where we stand" of
benchmarks/README.md, in the column of this machine's processor. All contenders are
those of decode.py and train_step.py; their rounds are interleaved, and medians count.
A claim holds if the ratio now is at least 0.9 of it: virtual machines differ by so much
from run to run. The exit code is 1 if one doesn't hold. A row says so if what it is
compared with isn't installed, or if nothing is claimed for this processor.
"""

import argparse
import importlib.util
import pathlib
import platform
import re
import statistics
import sys
import tempfile
import time

import decode
import train_step
from turns import take_turns

README = pathlib.Path(__file__).with_name("README.md")
HEADING = "## Where we stand"
TOLERANCE = 0.9
FAILS = "doesn't hold"
ROUNDS = {"small": 5, "base": 2}

GREEDY, ONE, BEAM = (1, 64), (1, 1), (4, 64)  # beam size, batch size
XLA = "ours, XLA"
PRODUCTS = "ours, int8 products"
INT8 = "CTranslate2, oneDNN, int8"
AS_IT_STARTS = "CTranslate2"
TWO_WORKERS = "CTranslate2, oneDNN, int8, two workers"
# What is measured of each size. At `base` only what the fastest of `small` can be.
DECODING = {
    "small": {
        GREEDY: (
            "ours",
            XLA,
            PRODUCTS,
            AS_IT_STARTS,
            decode.PEER,
            INT8,
            TWO_WORKERS,
        ),
        ONE: ("ours", XLA, decode.PEER),
        BEAM: ("ours", decode.PEER),
    },
    "base": {GREEDY: ("ours", PRODUCTS, decode.PEER, INT8, TWO_WORKERS)},
}
STEP = "training"
TRAINING = {"small": ("ours", "KerasHub", "floor"), "base": ("ours", "KerasHub")}
# A row of the table: its measurement, ours, and what ours is compared with. Of several
# programs the fastest counts.
ROWS = {
    "64 sentences, float32, over CTranslate2": (GREEDY, ["ours"], [decode.PEER]),
    "64 sentences, XLA, over CTranslate2": (GREEDY, [XLA], [decode.PEER]),
    "1 sentence, XLA, over CTranslate2": (ONE, [XLA], [decode.PEER]),
    "1 sentence, without XLA, over CTranslate2": (ONE, ["ours"], [decode.PEER]),
    "64 sentences, beam 4, float32, over CTranslate2": (
        BEAM,
        ["ours"],
        [decode.PEER],
    ),
    "64 sentences, our best export over its best with one worker": (
        GREEDY,
        ["ours", XLA, PRODUCTS],
        [AS_IT_STARTS, decode.PEER, INT8],
    ),
    "64 sentences, our best export over its best with two workers": (
        GREEDY,
        ["ours", XLA, PRODUCTS],
        [TWO_WORKERS],
    ),
    "a training step over KerasHub's": (STEP, ["ours"], ["KerasHub"]),
    "a training step over its matmuls alone": (STEP, ["ours"], ["floor"]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--part", choices=("decoding", "training"), help="measure this part alone"
    )
    parser.add_argument("--size", choices=DECODING, help="measure this size alone")
    parser.add_argument("--rounds", type=int, help=f"by default {ROUNDS}")
    arguments = parser.parse_args()
    began = time.perf_counter()
    sizes = [arguments.size] if arguments.size else list(DECODING)
    seconds = {}
    for size in sizes:
        rounds = arguments.rounds or ROUNDS[size]
        if arguments.part != "training" and has("ctranslate2"):
            seconds |= decoding_seconds(size, rounds)
        if arguments.part != "decoding":
            seconds[STEP, size] = training_seconds(size, rounds)
    processor = this_processor()
    claims = claimed(README.read_text("utf-8")).get(processor, {})
    rows = results(claims, seconds, sizes, arguments.part)
    print_rows(rows)
    took = time.perf_counter() - began
    print(f"\nProcessor: {processor or 'another'} ({model_name()}). {took:.0f} s.")
    sys.exit(any(verdict == FAILS for *_, verdict in rows))


# Measurements: seconds of each program, by what is measured and the size.


def decoding_seconds(size, rounds):
    """Medians of each search of `DECODING[size]`."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = exports(pathlib.Path(folder), size)
        programs = decode.with_exports(DECODING[size][GREEDY], paths)
        with decode.started(programs) as started:
            for work, names in DECODING[size].items():
                chosen = {name: started[name] for name in programs if name in names}
                job = decode.job_of(*work, size, paths)
                found[work, size] = medians(take_turns(chosen, job, rounds))
    return found


def exports(folder, size):
    """The models' paths. The products of int8 are for greedy search alone."""
    all_work, names = list(DECODING[size]), ["ours", decode.PEER]
    plain = decode.prepared_size(folder, size, names, all_work)
    packed = decode.prepared_size(folder, size, [PRODUCTS], [GREEDY], f"{size} int8")
    return {**packed, **plain, "exported": plain["exported"] + packed["exported"]}


def training_seconds(size, rounds):
    """Medians of a training step of `TRAINING[size]`."""
    job = {**train_step.JOB, "size": size}
    return medians(train_step.step_seconds(TRAINING[size], job, rounds)[0])


def medians(seconds):
    return {name: statistics.median(times) for name, times in seconds.items()}


# Claims.


def claimed(text):
    """The ratios of a table by processor, row and size: nested dicts."""
    table = re.search(r"(?m)(?:^\|.*\n)+", text.partition(HEADING)[2])[0]
    header, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    )
    found = {}
    for i, title in enumerate(header[1:], start=1):
        processor, _, sizes = title.partition(":")
        sizes = re.findall(r"`(\w+)`", sizes)
        for row in rows:
            cells = [cell.strip() for cell in row[i].split(",")]
            of_row = {s: float(c) for s, c in zip(sizes, cells) if c}
            found.setdefault(processor, {})[row[0]] = of_row
    return found


def results(claims, seconds, sizes, part=None):
    """A tuple for each ratio: task, size, claim, ratio now, and what to say of it."""
    found = []
    for task, (work, ours, others) in ROWS.items():
        for size in sizes:
            names = planned(work, size)
            is_left_out = part and (part == "training") != (work == STEP)
            if is_left_out or not set(ours) & names or not set(others) & names:
                continue
            claim = claims.get(task, {}).get(size)
            measured = seconds.get((work, size))
            if measured is None:
                found.append((task, size, claim, None, "CTranslate2 isn't installed"))
                continue
            mine, theirs = (
                min(measured[name] for name in names if name in measured)
                for names in (ours, others)
            )
            found.append(
                (task, size, claim, theirs / mine, verdict(theirs / mine, claim))
            )
    return found


def planned(work, size):
    """The programs that take part in some work."""
    return set(TRAINING[size] if work == STEP else DECODING[size].get(work, ()))


def verdict(ratio, claim):
    """What a ratio says of a claim."""
    if claim is None:
        return "nothing is claimed"
    return "holds" if ratio >= TOLERANCE * claim else FAILS


def print_rows(rows):
    print("\n| task | size | claimed | now | |\n| --- | --- | --- | --- | --- |")
    for task, size, *ratios, words in rows:
        claim, now = ("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
        print(f"| {task} | `{size}` | {claim} | {now} | {words} |")


# The machine.


def this_processor():
    """The column of the table that this machine belongs to, or None."""
    flags = set(of_processor("flags").split())
    vendor, family = of_processor("vendor_id"), of_processor("cpu family")
    if "amx_tile" in flags:
        return "Xeon with AMX"
    if vendor == "AuthenticAMD" and "avx512f" in flags:
        return {"25": "Zen 4", "26": "Zen 5"}.get(family)
    is_old = vendor == "AuthenticAMD" and "avx2" in flags and "avx512f" not in flags
    return "AVX2" if is_old else None


def model_name():
    return of_processor("model name") or platform.processor() or platform.machine()


def of_processor(name):
    """A line of what Linux says of the first processor; "" elsewhere."""
    path = pathlib.Path("/proc/cpuinfo")
    text = path.read_text("utf-8") if path.exists() else ""
    found = re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def has(module):
    return importlib.util.find_spec(module) is not None


if __name__ == "__main__":
    main()
