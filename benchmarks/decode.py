"""Decoding side by side: our SavedModel, CTranslate2, Transformers, and the floor.

    pip install -e ".[parity]" psutil
    python benchmarks/decode.py --size small --size base
    python benchmarks/decode.py --translator runs/en-de --sources test.en.gz

Each program runs in a process of its own and waits for its turn: rounds are
interleaved, medians are printed. All have the same random weights; the end token is
made improbable, so that all write 32 tokens for 32. Ours is what TF Serving would run:
the signature `token_ids` of an export, read back. The floor is the products of
matrices alone, of the same shapes, in TensorFlow.

With --translator the last table is made: whole texts, beam 4, tokenizers included.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

THREADS = 2
LENGTH = 32
SHORTEST_TURN = 0.5  # seconds
SIZES = {
    "small": {"layers": 4, "hidden": 256, "heads": 4, "inner": 1024, "words": 8000},
    "base": {"layers": 6, "hidden": 512, "heads": 8, "inner": 2048, "words": 32_000},
}
WORK = [(1, 64), (1, 1), (4, 64)]  # beam size, batch size
# Programs, and what each of them does in turn.
PROGRAMS = {
    "floor": ("floor",),
    "ours": (
        "ours",
        "ours, XLA",
        "ours, bfloat16",
        "ours, bfloat16, XLA",
        "ours, int8",
    ),
    "CTranslate2": ("CTranslate2", "CTranslate2, int8"),
    "Transformers": ("Transformers",),
}
TEXT_PROGRAMS = {
    "ours": ("texts, ours", "texts, ours, bfloat16"),
    "CTranslate2": ("texts, CTranslate2",),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", action="append", choices=SIZES, default=[])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--translator", help="a trained translator, for whole texts")
    parser.add_argument("--sources", help="its sources, a text file")
    parser.add_argument("--take-turns", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.take_turns:
        serve_turns()
        return
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.size:
            compare_sizes(pathlib.Path(folder), size, arguments.rounds)
        if arguments.translator:
            compare_texts(
                pathlib.Path(folder),
                arguments.translator,
                arguments.sources,
                arguments.rounds,
            )


def compare_sizes(folder, size, rounds):
    paths = prepare(folder, size)
    with processes(PROGRAMS) as programs:
        for beam_size, batch_size in WORK:
            job = {
                "beam_size": beam_size,
                "batch_size": batch_size,
                "size": size,
                "paths": paths,
            }
            seconds = take_turns(programs, PROGRAMS, job, rounds)
            title = f"{size}, beam {beam_size}, batch {batch_size}"
            print_table(title, seconds, "CTranslate2")


def compare_texts(folder, translator, sources, rounds):
    job = {"paths": prepare_texts(folder, translator), "sources": sources}
    with processes(TEXT_PROGRAMS) as programs:
        seconds = take_turns(programs, TEXT_PROGRAMS, job, rounds)
        print_table("texts, beam 4", seconds, "texts, CTranslate2")


def print_table(title, seconds, peer):
    print(f"\n| {title} | seconds | speed over {peer} |")
    print("| --- | --- | --- |")
    for name, times in seconds.items():
        middle = statistics.median(times)
        ratio = statistics.median(seconds[peer]) / middle
        print(f"| {name} | {middle:.3f} | {ratio:.2f} |", flush=True)


# Turns: the parent names a contender, its program works and says how long it took.


@contextlib.contextmanager
def processes(programs):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(THREADS),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    started = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--take-turns"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        for name in programs
    }
    try:
        yield started
    finally:
        for process in started.values():
            process.stdin.close()
            process.wait()


def take_turns(started, programs, job, rounds):
    """Seconds of each contender, in each round."""
    seconds = {name: [] for names in programs.values() for name in names}
    # In the first round contenders load, compile and warm up.
    for number in range(rounds + 1):
        for program, names in programs.items():
            for name in names:
                # Until the threads of the contender before have stopped to spin.
                time.sleep(0.3)
                process = started[program]
                process.stdin.write(json.dumps([name, job]) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if not answer:
                    raise RuntimeError(f"{name} ended with {process.wait()}")
                if number:
                    seconds[name].append(float(answer))
    return seconds


def serve_turns():
    works = {}
    for line in sys.stdin:
        name, job = json.loads(line)
        if line not in works:
            works[line] = CONTENDERS[name](job)
            works[line]()
        start, times = time.perf_counter(), 0
        # Short work is repeated, and counts by its mean.
        while times == 0 or time.perf_counter() - start < SHORTEST_TURN:
            works[line]()
            times += 1
        print((time.perf_counter() - start) / times, flush=True)


# Contenders: each gives a function that does the work once.


def source_ids(job):
    import numpy as np

    words = SIZES[job["size"]]["words"]
    shape = job["batch_size"], LENGTH
    return np.random.default_rng(1).integers(10, words - 10, shape, dtype="int32")


@functools.cache
def tensorflow():
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


@functools.cache
def load(path):
    return tensorflow().saved_model.load(path)


def ours(weights, suffix=""):
    def start(job):
        tf = tensorflow()
        path = job["paths"][f"{weights}, beam {job['beam_size']}"]
        signature = load(path).signatures[f"token_ids{suffix}"]
        ids = tf.constant(source_ids(job))
        lengths = tf.fill([job["batch_size"]], LENGTH)

        def work():
            found = signature(source_ids=ids, source_length=lengths)["output_ids"]
            assert found.numpy().all(axis=1).all(), "an answer ended early"

        return work

    return start


def ctranslate2(compute_type):
    def start(job):
        import ctranslate2

        engine = ctranslate2.Translator(
            job["paths"]["ctranslate2"],
            compute_type=compute_type,
            intra_threads=THREADS,
        )
        tokens = [[f"t{i}" for i in row] for row in source_ids(job)]

        def work():
            found = engine.translate_batch(
                tokens,
                beam_size=job["beam_size"],
                max_decoding_length=LENGTH,
                max_batch_size=job["batch_size"],
            )
            assert all(len(one.hypotheses[0]) == LENGTH for one in found)

        return work

    return start


def transformers(job):
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    model = transformers.MarianMTModel.from_pretrained(job["paths"]["marian"]).eval()
    ids = torch.tensor(source_ids(job) - 1).long()

    def work():
        with torch.inference_mode():
            found = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                num_beams=job["beam_size"],
                max_new_tokens=LENGTH,
                forced_eos_token_id=None,
            )
        assert found.shape[1] == LENGTH + 1

    return work


def floor(job):
    """The products that decoding can't do without, and nothing else."""
    tf = tensorflow()
    size = SIZES[job["size"]]
    width, inner = size["hidden"], size["inner"]
    batch = job["batch_size"]
    rows = batch * job["beam_size"]

    def weights(*shape):
        return [tf.random.normal(shape) for _ in range(size["layers"])]

    squares = [weights(width, width) for _ in range(6)]
    fused, wide, narrow = (
        weights(width, 3 * width),
        weights(width, inner),
        weights(inner, width),
    )
    encoder = [weights(width, 3 * width), weights(width, width)]
    encoder += [weights(width, inner), weights(inner, width)]
    vocabulary = tf.random.normal((size["words"], width))

    @tf.function
    def work():
        x = tf.ones((batch * LENGTH, width))
        total = 0.0
        for i in range(size["layers"]):
            total += (x @ encoder[0][i])[0, 0] + (x @ encoder[1][i])[0, 0]
            total += ((x @ encoder[2][i]) @ encoder[3][i])[0, 0]
            # Keys and values of the source, for cross-attention.
            total += (x @ squares[0][i])[0, 0] + (x @ squares[1][i])[0, 0]
        step = tf.ones((rows, width))
        for _ in tf.range(LENGTH):
            for i in range(size["layers"]):
                step = (step @ fused[i])[:, :width] * 1e-3
                step = ((step @ squares[2][i]) @ squares[3][i]) @ squares[4][i] * 1e-6
                step = (step @ wide[i]) @ narrow[i] * 1e-3
            logits = tf.matmul(step, vocabulary, transpose_b=True)
            step = step + 1.0 + 1e-9 * logits[:, :1]
        return total + step[0, 0]

    return lambda: work().numpy()


def our_texts(weights):
    def start(job):
        tf = tensorflow()
        signature = load(job["paths"][weights]).signatures["serving_default"]
        texts = read_sources(job["sources"])

        def work():
            answers = [None] * len(texts)
            order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
            for start in range(0, len(order), 64):
                rows = order[start : start + 64]
                found = signature(text=tf.constant([texts[i] for i in rows]))
                for i, answer in zip(rows, found["translation"].numpy()):
                    answers[i] = answer.decode()
            return answers

        return work

    return start


def ctranslate2_texts(job):
    import ctranslate2
    import sentencepiece

    folder = pathlib.Path(job["paths"]["ctranslate2"])
    engine = ctranslate2.Translator(str(folder), intra_threads=THREADS)
    source, target = (
        sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        for side in ("source", "target")
    )
    texts = [f" {text}" for text in read_sources(job["sources"])]

    def work():
        tokens = [[*pieces, "</s>"] for pieces in source.encode(texts, out_type=str)]
        found = engine.translate_batch(
            tokens, beam_size=4, max_batch_size=64, max_decoding_length=256
        )
        return [target.decode(one.hypotheses[0]) for one in found]

    return work


def read_sources(path):
    from keras_transformer.text import read_lines

    return list(read_lines(path))


CONTENDERS = {
    "floor": floor,
    "ours": ours("float32"),
    "ours, XLA": ours("float32", "_xla"),
    "ours, bfloat16": ours("bfloat16"),
    "ours, bfloat16, XLA": ours("bfloat16", "_xla"),
    "ours, int8": ours("int8"),
    "CTranslate2": ctranslate2("float32"),
    "CTranslate2, int8": ctranslate2("int8"),
    "Transformers": transformers,
    "texts, ours": our_texts("float32"),
    "texts, ours, bfloat16": our_texts("bfloat16"),
    "texts, CTranslate2": ctranslate2_texts,
}


# Models.


def prepare(folder, size):
    """Writes one random model in every format; gives the paths by name."""
    found = folder / f"{size}.json"
    command = [
        sys.executable,
        "-c",
        PREPARE,
        str(folder),
        size,
        json.dumps(SIZES[size]),
    ]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, env=environment)
    return json.loads(found.read_text())


PREPARE = """
import io, json, pathlib, sys
import keras, numpy as np, sentencepiece
import keras_transformer as kt

folder, name, size = pathlib.Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["a b c d e f g h"] * 9), model_writer=model, vocab_size=20,
    hard_vocab_limit=False, minloglevel=2)
tokens = ["<padding>", "</s>", "<unk>"] + [f"t{i}" for i in range(3, size["words"])]
tokens.append("<pad>")
tokenizer = kt.text.VocabularyTokenizer(model.getvalue(), tokens)
transformer = kt.Transformer(
    len(tokens), num_layers=size["layers"], hidden_dim=size["hidden"],
    num_heads=size["heads"], intermediate_dim=size["inner"], logits_bias=True,
    position_encoding=kt.layers.PositionalEncoding(layout="concatenated"),
    layer_norm_epsilon=1e-5)
bias = np.zeros(len(tokens), "float32")
bias[[0, 1]] = -100.0
transformer.target_embedding.bias.assign(bias)
translator = kt.Translator(transformer, tokenizer)
paths = {}
for weights in ("float32", "bfloat16", "int8"):
    for beam_size, buckets in ((1, [(1, 32), (64, 32)]), (4, [(64, 32)])):
        key = f"{weights}, beam {beam_size}"
        paths[key] = kt.serving.export_saved_model(
            translator, folder / f"{name} {key}", beam_size=beam_size, max_length=32,
            weights=weights, warmup_batch_sizes=(),
            xla_buckets=buckets if weights != "int8" else ())
kt.interop.save_ctranslate2(translator, folder / f"{name} ctranslate2")
kt.interop.save_marian(translator, folder / f"{name} marian")
paths["ctranslate2"] = str(folder / f"{name} ctranslate2")
paths["marian"] = str(folder / f"{name} marian")
(folder / f"{name}.json").write_text(json.dumps(paths))
"""


def prepare_texts(folder, translator):
    command = [sys.executable, "-c", PREPARE_TEXTS, str(folder), translator]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, env=environment)
    return json.loads((folder / "texts.json").read_text())


PREPARE_TEXTS = """
import json, pathlib, sys
import keras_transformer as kt

folder, translator = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
inside = translator / "translator"
translator = kt.Translator.load(inside if inside.exists() else translator)
paths = {
    weights: kt.serving.export_saved_model(
        translator, folder / weights, weights=weights, warmup_batch_sizes=())
    for weights in ("float32", "bfloat16")
}
kt.interop.save_ctranslate2(translator, folder / "ctranslate2")
paths["ctranslate2"] = str(folder / "ctranslate2")
(folder / "texts.json").write_text(json.dumps(paths))
"""


if __name__ == "__main__":
    main()
