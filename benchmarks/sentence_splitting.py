"""Sentence splitters side by side: boundaries found, and time per sentence.

    python benchmarks/sentence_splitting.py ../shared/data/multi30k/train.en.gz:en \
        ../shared/data/multi30k/train.de.gz:de ../shared/data/treebank/treebank.zip:en

A corpus is a text file with a sentence a line, or the Penn Treebank's zip file, whose
sentences are put together from their tokens by NLTK. Sentences without a full stop,
question or exclamation mark at their end are left out: joined with the next one,
nothing tells them apart. The others are joined with spaces, 30 a document.

A boundary is found where a piece ends at the character where a sentence does.
The splitters beside ours are: pip install pysbd blingfire sentence-splitter nltk
"""

import argparse
import functools
import itertools
import re
import time
import zipfile

import keras_transformer as kt

SENTENCES = 30


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpora", nargs="+", metavar="FILE:LANGUAGE")
    parser.add_argument("--limit", type=int, default=6000, help="sentences a corpus")
    arguments = parser.parse_args()
    print("| corpus | sentences | splitter | precision | recall | F1 | us/sentence |")
    print(f"|{' --- |' * 7}")
    for corpus in arguments.corpora:
        path, language = corpus.rsplit(":", 1)
        read = read_treebank if path.endswith(".zip") else kt.text.read_lines
        lines = [line.strip() for line in read(path) if line.strip()]
        sentences = [line for line in lines if is_closed(line)][: arguments.limit]
        name = f"{path.split('/')[-1]} ({language})"
        used = f"{len(sentences):,} of {len(lines):,}"
        for splitter in (ours, with_pysbd, with_sentence_splitter, with_blingfire):
            precision, recall, f1, seconds = measure(splitter, sentences, language)
            label = splitter.__name__.removeprefix("with_")
            print(
                f"| {name} | {used} | {label} | {precision:.2%} | {recall:.2%} | "
                f"{f1:.2%} | {1e6 * seconds / len(sentences):.1f} |",
                flush=True,
            )


def is_closed(line):
    return re.search(r"""[.!?…]["'”’“‘»«)\]]*$""", line) is not None


def read_treebank(path):
    """The sentences of a zip file of bracketed trees, as people write them."""
    from nltk.tokenize.treebank import TreebankWordDetokenizer

    quotes = {"``": '"', "''": '"', "-LRB-": "(", "-RRB-": ")"}
    detokenizer = TreebankWordDetokenizer()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".mrg"):
                continue
            trees = re.split(r"\n(?=\( )", archive.read(name).decode("utf-8"))
            for tree in trees:
                leaves = re.findall(r"\(([^\s()]+) ([^\s()]+)\)", tree)
                words = [word for tag, word in leaves if tag != "-NONE-"]
                text = detokenizer.detokenize([quotes.get(w, w) for w in words])
                # A full stop after an abbreviation's own isn't written.
                yield re.sub(r'\.\s*\.(["\')]*)$', r".\1", text.replace("\\/", "/"))


def measure(splitter, sentences, language):
    """Precision, recall, F1 of the boundaries inside of documents, and seconds."""
    documents, expected = [], []
    for start in range(0, len(sentences), SENTENCES):
        part = sentences[start : start + SENTENCES]
        documents.append(" ".join(part))
        expected.append(ends(part))
    splitter(documents[:2], language)
    begin = time.perf_counter()
    pieces = splitter(documents, language)
    seconds = time.perf_counter() - begin
    found = [ends(piece) for piece in pieces]
    right = sum(len(a & b) for a, b in zip(expected, found))
    precision = right / max(1, sum(map(len, found)))
    recall = right / max(1, sum(map(len, expected)))
    return precision, recall, 2 * precision * recall / (precision + recall), seconds


def ends(pieces):
    """Where pieces end, but for the last: the number of visible characters so far."""
    lengths = [len("".join(piece.split())) for piece in pieces]
    return set(itertools.accumulate(lengths[:-1])) - {0}


def ours(documents, language):
    pieces = kt.text.split_sentences(documents).to_list()
    return [[piece.decode("utf-8") for piece in row] for row in pieces]


def with_pysbd(documents, language):
    import pysbd

    segmenter = pysbd.Segmenter(language=language, clean=False)
    return [segmenter.segment(document) for document in documents]


@functools.cache
def sentence_splitter(language):
    from sentence_splitter import SentenceSplitter

    return SentenceSplitter(language=language)


def with_sentence_splitter(documents, language):
    return [sentence_splitter(language).split(document) for document in documents]


def with_blingfire(documents, language):
    import blingfire

    return [blingfire.text_to_sentences(d).split("\n") for d in documents]


if __name__ == "__main__":
    main()
