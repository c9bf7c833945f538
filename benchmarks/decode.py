"""Decoding side by side: our SavedModel, CTranslate2, Transformers, and the floor.

    pip install -e ".[parity]"
    python benchmarks/decode.py --size small --size base
    python benchmarks/decode.py --size base --beam-size 4 --only "ours, bfloat16"
    python benchmarks/decode.py --translator runs/en-de \\
        --sources test.en.gz --references test.de.gz
    python benchmarks/decode.py --marian opus-mt-en-de --sources test.en.gz

Each program runs in a process of its own and waits for its turn: rounds are
interleaved, medians are printed. All have the same random weights; the end token is
made improbable, so that all write 32 tokens for 32. Ours is what TF Serving would run:
the signature `token_ids` of an export with two parallel searches, read back, with the
threads that `server-config` gives it: two inter-op threads with one intra-op thread
each, or for XLA two that they share. The floor is the products of matrices
alone, of the same shapes, in TensorFlow. CTranslate2 is measured with MKL, which it
takes by itself, and with oneDNN (`CT2_USE_MKL=0`), which is the faster by far on some
processors; ratios are to the latter. It too can share a batch out, to two workers with
a thread each.

With --translator whole texts are translated by a trained model, beam 4, tokenizers
included, and scored: by ours 256 at a time, by the others 64, which suits each best.
With --marian all three load the same Marian checkpoint, each by its own means;
`--marian random` makes one.
"""

import argparse
import functools
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from turns import (
    SIZES,
    THREADS,
    print_table,
    processes,
    serve_turns,
    take_turns,
    use_threads,
)

LENGTH = 32
WORK = [(1, 64), (1, 1), (4, 64)]  # beam size, batch size
# Each in a process of its own: threads of one slow another down.
PROGRAMS = (
    "floor",
    "ours",
    "ours, XLA",
    "ours, bfloat16",
    "ours, bfloat16, XLA",
    "ours, bfloat16 packed",
    "ours, int8",
    "ours, int8, XLA",
    "ours, int8 products",
    "CTranslate2",
    "CTranslate2, oneDNN",
    "CTranslate2, oneDNN, two workers",
    "CTranslate2, oneDNN, int8",
    "CTranslate2, oneDNN, int8, two workers",
    "Transformers",
)
TEXT_PROGRAMS = (
    "texts, ours",
    "texts, ours, bfloat16",
    "texts, ours, bfloat16 packed",
    "texts, ours, int8",
    "texts, ours, int8 products",
    "texts, CTranslate2",
    "texts, CTranslate2, oneDNN",
    "texts, CTranslate2, oneDNN, two workers",
)
MARIAN_PROGRAMS = (
    "texts, ours",
    "Marian, CTranslate2",
    "Marian, CTranslate2, oneDNN",
    "Marian, Transformers",
)
PEER = "CTranslate2, oneDNN"
# Programs that read a copy of the model in a format of their own.
PEERS = ("CTranslate2", "Transformers")
# The weights of ours. Packed ones and int8_products need a processor with AVX-512.
WEIGHTS = {
    "ours": "float32",
    "ours, bfloat16": "bfloat16",
    "ours, bfloat16 packed": "bfloat16_packed",
    "ours, int8": "int8",
    "ours, int8 products": "int8_products",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", action="append", choices=SIZES, default=[])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--beam-size", type=int, choices=(1, 4), help="1 and 4 if not")
    parser.add_argument("--only", action="append", choices=PROGRAMS, help=f"and {PEER}")
    parser.add_argument("--translator", help="a trained translator, for whole texts")
    parser.add_argument("--marian", help="a Marian checkpoint, or random")
    parser.add_argument("--sources", help="the texts, one a line")
    parser.add_argument("--references", help="their translations, for BLEU")
    parser.add_argument("--take-turns", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.take_turns:
        serve_turns(CONTENDERS)
        return
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.size:
            compare_sizes(pathlib.Path(folder), size, arguments)
        if arguments.translator or arguments.marian:
            compare_texts(pathlib.Path(folder), arguments)


def compare_sizes(folder, size, arguments):
    chosen = [PEER, *(arguments.only or PROGRAMS)]
    names = [name for name in PROGRAMS if name in chosen]
    all_work = [one for one in WORK if arguments.beam_size in (None, one[0])]
    paths = prepared_size(folder, size, names, all_work)
    names = with_exports(names, paths)
    for beam_size, batch_size in all_work:
        job = job_of(beam_size, batch_size, size, paths)
        # Anew for each work: more than one model in each is more than memory holds.
        with started(names) as programs:
            seconds = take_turns(programs, job, arguments.rounds)
        title = f"{size}, beam {beam_size}, batch {batch_size}"
        print_table(title, seconds, PEER)


def prepared_size(folder, size, names, all_work, title=None):
    """The paths by name of the models that programs need for work of one size."""
    peers = [peer for peer in PEERS if any(name.startswith(peer) for name in names)]
    command = map(json.dumps, (SIZES[size], all_work, peers))
    return prepared(folder, title or size, PREPARE, *command, weights_of(names))


def job_of(beam_size, batch_size, size, paths):
    """The job of a contender, for `take_turns`."""
    return {
        "beam_size": beam_size,
        "batch_size": batch_size,
        "size": size,
        "paths": paths,
    }


def compare_texts(folder, arguments):
    contenders = MARIAN_PROGRAMS if arguments.marian else TEXT_PROGRAMS
    command = [arguments.translator or "", arguments.marian or "", arguments.sources]
    command.append(weights_of(contenders))
    paths = prepared(folder, "texts", PREPARE_TEXTS, *command)
    contenders = with_exports(contenders, paths)
    (peer,) = (name for name in contenders if name.endswith(PEER))
    job = {"paths": paths, "sources": arguments.sources, "answers": str(folder)}
    with started(contenders) as programs:
        seconds = take_turns(programs, job, min(arguments.rounds, 3))
    print_table("texts, beam 4", seconds, peer)
    print("\n| answers | the same as ours | BLEU |\n| --- | --- | --- |")
    ours = read_answers(folder, "texts, ours")
    for name in seconds:
        answers = read_answers(folder, name)
        same = sum(map(str.__eq__, answers, ours)) / len(ours)
        score = ""
        if arguments.references:
            from keras_transformer import evaluation

            references = read_lines(arguments.references)
            score = f"{evaluation.bleu(answers, references)[0]:.2f}"
        print(f"| {name} | {same:.1%} | {score} |")


def our_weights(program):
    """The weights of one of ours, None for another program."""
    return WEIGHTS.get(program.removeprefix("texts, ").removesuffix(", XLA"))


def weights_of(programs):
    """The weights that programs need exports of, as JSON."""
    return json.dumps(sorted({our_weights(name) for name in programs} - {None}))


def with_exports(programs, paths):
    """The programs but for ours whose weights this machine can't multiply."""
    exported = {None, *paths["exported"]}
    return [name for name in programs if our_weights(name) in exported]


def started(contenders):
    """A process for each contender, those with oneDNN told to use it."""
    onednn = {name: {"CT2_USE_MKL": "0"} for name in contenders if PEER in name}
    return processes(__file__, contenders, onednn)


def read_answers(folder, name):
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


# Contenders: each gives a function that does the work once.


def source_ids(job):
    import numpy as np

    words = SIZES[job["size"]]["words"]
    shape = job["batch_size"], LENGTH
    return np.random.default_rng(1).integers(10, words - 10, shape, dtype="int32")


@functools.cache
def tensorflow(**threads):
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    use_threads(**threads)
    return tf


def server(xla=False):
    """TensorFlow as our exports are served, see `write_server_config`."""
    return tensorflow(inter_op=THREADS, intra_op=THREADS if xla else 1)


@functools.cache
def load(path):
    import tensorflow as tf

    return tf.saved_model.load(path)


def ours(name):
    suffix = "_xla" if name.endswith(", XLA") else ""

    def start(job):
        tf = server(xla=bool(suffix))
        path = job["paths"][f"{our_weights(name)}, beam {job['beam_size']}"]
        signature = load(path).signatures[f"token_ids{suffix}"]
        ids = tf.constant(source_ids(job))
        lengths = tf.fill([job["batch_size"]], LENGTH)

        def work():
            found = signature(source_ids=ids, source_length=lengths)["output_ids"]
            assert found.numpy().all(axis=1).all(), "an answer ended early"

        return work

    return start


@functools.cache
def ctranslate2_engine(folder, compute_type="default", workers=1):
    import ctranslate2

    return ctranslate2.Translator(
        folder,
        compute_type=compute_type,
        inter_threads=workers,
        intra_threads=THREADS // workers,
    )


def ctranslate2(compute_type, workers=1):
    def start(job):
        path = job["paths"]["ctranslate2"]
        engine = ctranslate2_engine(path, compute_type, workers)
        tokens = [[f"t{i}" for i in row] for row in source_ids(job)]

        def work():
            found = engine.translate_batch(
                tokens,
                beam_size=job["beam_size"],
                max_decoding_length=LENGTH,
                max_batch_size=-(-job["batch_size"] // workers),
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
    tf = tensorflow(inter_op=1)
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


def our_texts(name):
    def start(job):
        tf = server()
        signature = load(job["paths"][our_weights(name)]).signatures["serving_default"]
        texts = read_lines(job["sources"])

        def translate(batch):
            found = signature(text=tf.constant(batch))["translation"].numpy()
            return [answer.decode() for answer in found]

        def work():
            return by_length(texts, translate, batch_size=256)

        return work

    return start


def ctranslate2_texts(model, workers=1):
    """With a leading space where our own tokenizer puts one."""

    def start(job):
        import sentencepiece

        engine = ctranslate2_engine(job["paths"][model], workers=workers)
        spm = pathlib.Path(job["paths"]["sentencepiece"])
        source, target = (
            sentencepiece.SentencePieceProcessor(model_file=str(spm / f"{side}.spm"))
            for side in ("source", "target")
        )
        space = job["paths"]["space"]
        texts = [space + text for text in read_lines(job["sources"])]

        def work():
            tokens = source.encode(texts, out_type=str)
            found = engine.translate_batch(
                [[*pieces, "</s>"] for pieces in tokens],
                beam_size=4,
                max_batch_size=64,
                min_decoding_length=0,
                max_decoding_length=job["paths"]["max_length"],
            )
            answers = [target.decode(one.hypotheses[0]) for one in found]
            return [answer.removeprefix(space) for answer in answers]

        return work

    return start


def marian_transformers(job):
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    folder = job["paths"]["marian"]
    model = transformers.MarianMTModel.from_pretrained(folder).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    texts = read_lines(job["sources"])

    def translate(batch):
        inputs = tokenizer(batch, return_tensors="pt", padding=True)
        with torch.inference_mode():
            found = model.generate(**inputs, num_beams=4)
        return tokenizer.batch_decode(
            found, skip_special_tokens=True, use_source_tokenizer=False
        )

    return lambda: by_length(texts, translate)


def by_length(texts, translate, batch_size=64):
    """Translates texts of like length together; the answers in the texts' order."""
    answers = [None] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        for i, answer in zip(rows, translate([texts[i] for i in rows])):
            answers[i] = answer
    return answers


def read_lines(path):
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


CONTENDERS = {
    "floor": floor,
    **{name: ours(name) for name in PROGRAMS if our_weights(name)},
    "CTranslate2": ctranslate2("float32"),
    "CTranslate2, oneDNN": ctranslate2("float32"),
    "CTranslate2, oneDNN, two workers": ctranslate2("float32", workers=2),
    "CTranslate2, oneDNN, int8": ctranslate2("int8"),
    "CTranslate2, oneDNN, int8, two workers": ctranslate2("int8", workers=2),
    "Transformers": transformers,
    **{name: our_texts(name) for name in TEXT_PROGRAMS if our_weights(name)},
    "texts, CTranslate2": ctranslate2_texts("ctranslate2"),
    "texts, CTranslate2, oneDNN": ctranslate2_texts("ctranslate2"),
    "texts, CTranslate2, oneDNN, two workers": ctranslate2_texts(
        "ctranslate2", workers=2
    ),
    "Marian, CTranslate2": ctranslate2_texts("marian, ctranslate2"),
    "Marian, CTranslate2, oneDNN": ctranslate2_texts("marian, ctranslate2"),
    "Marian, Transformers": marian_transformers,
}


# Models.


def prepared(folder, name, program, *arguments):
    """The paths by name of what a program writes, in a process of its own.

    It leaves no thread behind.
    """
    program = EXPORT + program
    command = [sys.executable, "-c", program, str(folder), name, *arguments]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, env=environment)
    return json.loads((folder / f"{name}.json").read_text())


EXPORT = """
import json, pathlib, sys
import keras_transformer as kt
from keras_transformer.serving.onednn import check_products
from keras_transformer.serving.weights import ONEDNN_FORMATS

def can_be_multiplied(weights):
    try:
        if weights in ONEDNN_FORMATS:
            check_products(weights)
    except RuntimeError as error:
        print(f"\\n{weights} isn't measured: {error}")
        return False
    return True

def export(translator, weights, key, signatures=(), **options):
    paths[key] = kt.serving.export_saved_model(
        translator, folder / f"{name} {key}", weights=weights,
        warmup_batch_sizes=(), parallel_searches=2, signatures=signatures, **options)

folder, name, *arguments = sys.argv[1:]
folder = pathlib.Path(folder)
all_weights = list(filter(can_be_multiplied, json.loads(arguments.pop())))
paths = {"exported": all_weights}
"""

PREPARE = """
import io
import numpy as np, sentencepiece

size, all_work, peers = map(json.loads, arguments)
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
for weights in all_weights:
    for beam_size in {beam_size for beam_size, _ in all_work}:
        buckets = [(rows, 32) for beam, rows in all_work if beam == beam_size]
        export(translator, weights, f"{weights}, beam {beam_size}",
               signatures=("token_ids", "token_ids_xla"),
               beam_size=beam_size, max_length=32, xla_buckets=buckets)
if "CTranslate2" in peers:
    paths["ctranslate2"] = str(folder / f"{name} ctranslate2")
    kt.interop.save_ctranslate2(translator, paths["ctranslate2"])
if "Transformers" in peers:
    paths["marian"] = str(folder / f"{name} marian")
    kt.interop.save_marian(translator, paths["marian"])
(folder / f"{name}.json").write_text(json.dumps(paths))
"""


PREPARE_TEXTS = """
from keras_transformer.text import read_lines

translator, marian, sources = arguments
if marian == "random":
    from tests.interop.marian_models import write_model

    lines = list(read_lines(sources))
    marian = folder / "marian"
    marian.mkdir()
    write_model(
        marian, pairs=list(zip(lines, lines)), vocabulary_size=2000, d_model=256,
        encoder_ffn_dim=1024, decoder_ffn_dim=1024, encoder_layers=4, decoder_layers=4,
        max_position_embeddings=256, init_std=0.06,
        # CTranslate2 stops as soon as there are as many answers as beams.
        generation={"max_length": 33, "early_stopping": True})
paths |= {"space": "", "max_length": 32}
if marian:
    import ctranslate2

    translator = kt.interop.load_marian(marian)
    converter = ctranslate2.converters.TransformersConverter(str(marian))
    converter.convert(str(folder / "marian ct2"))
    paths |= {"marian": str(marian), "marian, ctranslate2": str(folder / "marian ct2"),
              "sentencepiece": str(marian),
              # Ours and Transformers' last token is then the end token.
              "max_length": translator.search_options["max_length"] - 1}
else:
    inside = pathlib.Path(translator, "translator")
    translator = kt.Translator.load(inside if inside.exists() else translator)
    kt.interop.save_ctranslate2(translator, folder / "ctranslate2")
    paths |= {"ctranslate2": str(folder / "ctranslate2"), "space": " ",
              "sentencepiece": str(folder / "ctranslate2"), "max_length": 256}
for weights in all_weights:
    export(translator, weights, weights, beam_size=4)
(folder / f"{name}.json").write_text(json.dumps(paths))
"""


if __name__ == "__main__":
    main()
