"""Whole documents: seconds beside CTranslate2, memory, and what one sentence costs.

    python benchmarks/documents.py --sources train.en.gz --documents 1000
    python benchmarks/documents.py --sources train.en.gz --translator runs/en-de
    python benchmarks/documents.py --sources train.en.gz --only memory --megabytes 1

A document is `--sentences` lines of --sources, joined by spaces. Weights are random and
answers have 32 tokens, unless --translator names a trained model.

seconds: the signature `document`, `--together` documents a request; `translate` with
`split=True`; and CTranslate2, with the same weights, tokenizer and splitter, beam and
length penalty. Contenders take turns.

memory: each in a process of its own, the most that a text of so many bytes adds to what
the process had after a short one. The model is tiny: what is measured is what documents
take, not what a search takes.

one sentence: wall and processor time of `document` over `serving_default`, texts of one
sentence, one a request, interleaved.
"""

import argparse
import itertools
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from turns import (
    SIZES,
    THREADS,
    endless_transformer,
    print_table,
    processes,
    serve_turns,
    take_turns,
)

LENGTH = 32
PARTS = "seconds", "memory", "one sentence"
WAYS = "document", "translate(split=True)"
TINY = {"layers": 1, "hidden": 16, "heads": 2, "inner": 32, "words": 2000}


def lines_of(path, count):
    from keras_transformer.text import read_lines

    lines = (line.strip() for line in itertools.cycle(list(read_lines(path))))
    return list(itertools.islice(filter(None, lines), count))


def documents_of(job):
    """Documents of as many sentences each, as strings."""
    count = job["sentences"]
    lines = lines_of(job["sources"], job["documents"] * count)
    return [" ".join(lines[i : i + count]) for i in range(0, len(lines), count)]


def prepare(folder, job, size, max_length=LENGTH):
    """Writes a translator, its export and its form for CTranslate2 to a folder."""
    import keras_transformer as kt

    if job["translator"]:
        inside = pathlib.Path(job["translator"], "translator")
        path = inside if inside.exists() else job["translator"]
        translator = kt.Translator.load(path)
    else:
        lines = folder / "lines.txt"
        lines.write_text("\n".join(lines_of(job["sources"], 30_000)), "utf-8")
        tokenizer = kt.text.train_tokenizer(lines, size["words"])
        model = endless_transformer(size, tokenizer.end_id)
        options = {"max_length": max_length, "penalty_form": "power"}
        translator = kt.Translator(
            model, tokenizer, search_options={**options, "beam_size": job["beam_size"]}
        )
    translator.save(folder / "translator")
    kt.serving.export_saved_model(
        translator,
        folder / "export",
        signatures=["document"],
        warmup_batch_sizes=(),
        parallel_searches=THREADS,
    )


def translator_in(folder):
    import keras_transformer as kt

    return kt.Translator.load(pathlib.Path(folder, "translator"))


def export_in(folder):
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  its operations

    (path,) = pathlib.Path(folder, "export").iterdir()
    # A loaded model's functions live as long as it does.
    loaded = tf.saved_model.load(str(path))
    loaded.signatures["document"].model = loaded
    return loaded.signatures


def defaults(folder):
    """The inputs of `document` beside the text, as the translator has them."""
    import tensorflow as tf

    options = translator_in(folder).options()
    return {
        "length_penalty": tf.constant([options.length_penalty]),
        "max_length": tf.constant([options.max_length or 0]),
        "target_prefix": tf.constant([""]),
    }


def use_server_threads():
    """The threads that `server-config` gives a server of two searches."""
    from turns import use_threads

    use_threads(inter_op=THREADS, intra_op=1)


def way_of(name, folder, together=8):
    """A function of a list of texts: their translations, by one of `WAYS`."""
    import tensorflow as tf

    if name == "document":
        document, known = export_in(folder)["document"], defaults(folder)

        def translate(texts):
            found = []
            for start in range(0, len(texts), together):
                part = tf.constant(texts[start : start + together])
                found += document(text=part, **known)["translation"].numpy().tolist()
            return found

        return translate
    translator = translator_in(folder)
    return lambda texts: translator.translate(texts, split=True)


# Seconds.


def ours(name):
    def start(job):
        use_server_threads()
        translate = way_of(name, job["folder"], job["together"])
        documents = documents_of(job)
        return lambda: translate(documents)

    return start


def ctranslate2(job):
    """Behind the same splitter: sentences in, translations where they stood."""
    import ctranslate2
    import sentencepiece
    import tensorflow as tf

    import keras_transformer as kt

    folder = pathlib.Path(job["folder"], "ctranslate2")
    translator = translator_in(job["folder"])
    if not folder.exists():
        kt.interop.save_ctranslate2(translator, folder)
    engine = ctranslate2.Translator(str(folder), inter_threads=1, intra_threads=THREADS)
    source, target = (
        sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        for side in ("source", "target")
    )
    space = " " if getattr(translator.source_tokenizer, "escapes", False) else ""
    documents, options = documents_of(job), translator.options()

    def work():
        sentences, pieces = kt.text.split_document(
            documents, translator.source_tokenizer, translator.longest_source
        )
        texts = [space + text.decode() for text in sentences.flat_values.numpy()]
        found = engine.translate_batch(
            [[*tokens, "</s>"] for tokens in source.encode(texts, out_type=str)],
            beam_size=options.beam_size,
            length_penalty=options.length_penalty,
            max_batch_size=64,
            min_decoding_length=0,
            max_decoding_length=options.max_length or 256,
        )
        answers = [target.decode(one.hypotheses[0]) for one in found]
        answers = [answer.removeprefix(space) for answer in answers]
        return kt.text.join_document(tf.constant(answers), pieces).numpy()

    return work


CONTENDERS = {
    **{name: ours(name) for name in WAYS},
    "CTranslate2": ctranslate2,
    "CTranslate2, oneDNN": ctranslate2,
}


def measure_seconds(folder, job, rounds):
    environments = {
        "CTranslate2": {"CT2_USE_MKL": "1"},
        "CTranslate2, oneDNN": {"CT2_USE_MKL": "0"},
    }
    with processes(__file__, CONTENDERS, environments) as started:
        seconds = take_turns(started, {**job, "folder": str(folder)}, rounds)
    title = (
        f"{job['documents']:,} documents of {job['sentences']} sentences, "
        f"beam {job['beam_size']}"
    )
    print_table(title, seconds, "CTranslate2")


# Memory.


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def added_megabytes(name, folder, text):
    """What a text adds to the most memory of this process."""
    translate = way_of(name, folder)
    lines = text.split("\n")
    translate(["\n".join(lines[:40])])
    before = peak_megabytes()
    (answer,) = translate([text])
    assert answer
    return before, peak_megabytes() - before


def measure_memory(folder, job, megabytes):
    print("\n| a text of | way | MB before | MB added |")
    print("| --- | --- | --- | --- |")
    for size in megabytes:
        lines, text = lines_of(job["sources"], 200_000), []
        while sum(map(len, text)) < size * 1e6:
            text += lines[len(text) : len(text) + 1000]
        path = folder / "text.txt"
        path.write_text("\n".join(text)[: int(size * 1e6)], "utf-8")
        for name in WAYS:
            command = [sys.executable, __file__, "--memory-of", name, str(folder)]
            found = subprocess.run(
                [*command, str(path)], check=True, stdout=subprocess.PIPE, text=True
            )
            before, added = json.loads(found.stdout.splitlines()[-1])
            print(f"| {size:g} MB | {name} | {before:.0f} | {added:.0f} |", flush=True)


# One sentence.


def measure_one_sentence(folder, job, rounds):
    """In a process of its own, with a server's threads."""
    if job["translator"]:
        raise SystemExit("--only 'one sentence' is measured with random weights")
    command = [sys.executable, __file__, "--one-sentence", str(folder), str(rounds)]
    subprocess.run([*command, job["sources"]], check=True)


def print_one_sentence(folder, rounds, sources):
    import tensorflow as tf

    use_server_threads()
    signatures = export_in(folder)
    known = defaults(folder)
    text = tf.constant([lines_of(sources, 1)[0]])
    asked = {
        "serving_default": lambda: signatures["serving_default"](text=text),
        "document": lambda: signatures["document"](text=text, **known),
    }
    answers = {
        name: ask()["translation"].numpy().tolist() for name, ask in asked.items()
    }
    assert answers["document"] == answers["serving_default"], answers
    taken = {name: [] for name in asked}
    for number in range(rounds):
        # Who comes first alternates.
        for name in sorted(asked, reverse=number % 2 > 0):
            start = time.perf_counter(), time.process_time()
            asked[name]()
            end = time.perf_counter(), time.process_time()
            taken[name].append([b - a for a, b in zip(start, end)])
    print("\n| one sentence | ms | CPU ms |")
    print("| --- | --- | --- |")
    middles = {
        n: np.median(np.array(times), axis=0) * 1e3 for n, times in taken.items()
    }
    for name, (wall, processor) in middles.items():
        print(f"| {name} | {wall:.2f} | {processor:.2f} |")
    wall, processor = (
        statistics.median(b[i] / a[i] for a, b in zip(*taken.values())) for i in (0, 1)
    )
    print(f"| document over serving_default | {wall:.3f} | {processor:.3f} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sources", required=True, help="a file, a sentence a line")
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--sentences", type=int, default=30, help="of a document")
    parser.add_argument("--together", type=int, default=8, help="documents a request")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--beam-size", type=int, default=4)
    parser.add_argument("--translator", help="a run or a saved translator")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one-rounds", type=int, default=300)
    parser.add_argument("--megabytes", type=float, action="append", help="of a text")
    parser.add_argument("--only", choices=PARTS, action="append", help="by default all")
    options = parser.parse_args()
    parts = options.only or PARTS
    job = {
        name: getattr(options, name)
        for name in ("sources", "documents", "sentences", "together", "translator")
    }
    job["beam_size"] = options.beam_size
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if {"seconds", "one sentence"} & set(parts):
            (folder / "model").mkdir()
            prepare(folder / "model", job, SIZES[options.size])
        if "seconds" in parts:
            measure_seconds(folder / "model", job, options.rounds)
        if "memory" in parts:
            (folder / "tiny").mkdir()
            tiny = {**job, "translator": None, "beam_size": 1}
            prepare(folder / "tiny", tiny, TINY, max_length=8)
            measure_memory(folder / "tiny", job, options.megabytes or [0.1, 1, 4])
        if "one sentence" in parts:
            measure_one_sentence(folder / "model", job, options.one_rounds)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1:2] == ["--take-turns"]:
        serve_turns(CONTENDERS)
    elif sys.argv[1:2] == ["--memory-of"]:
        name, folder, path = sys.argv[2:]
        text = pathlib.Path(path).read_text("utf-8")
        print(json.dumps(added_megabytes(name, pathlib.Path(folder), text)))
    elif sys.argv[1:2] == ["--one-sentence"]:
        folder, rounds, sources = sys.argv[2:]
        print_one_sentence(pathlib.Path(folder), int(rounds), sources)
    else:
        main()
