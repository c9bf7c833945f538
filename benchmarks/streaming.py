"""What an answer in pieces costs over one request: steps and processor time.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --size base --tokens 60 --pieces 8

A sentence's answer of `--tokens` tokens is asked for by the signature `stream`, some
tokens a request, and by one request. Weights are random, and answers end at the limit.
"step by step" is without prefill: each request goes through the tokens so far one by
one. Rounds are interleaved; the medians of processor seconds count.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from turns import SIZES, endless_transformer, use_threads

import keras_transformer as kt
from keras_transformer.decoding.cached_decoder import CachedDecoder
from keras_transformer.serving.translation import TranslationSignatures

TEXT = "a b c d e f g h " * 4


def translator_of(size, tokens):
    """A translator with random weights whose answers never end by themselves."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("a b c d e f g h i j k l m n o p\n" * 9)
        file.flush()
        tokenizer = kt.text.train_tokenizer(file.name, 290)
    model = endless_transformer(size, tokenizer.end_id)
    options = {"beam_size": 1, "max_length": tokens}
    return kt.Translator(model, tokenizer, search_options=options)


class Stream:
    """The signature `stream` of a translator, whose steps are counted."""

    def __init__(self, translator, has_prefill):
        prefill = sys.modules["keras_transformer.decoding.prefill"]
        kept = CachedDecoder.step, prefill.shared_length
        steps = self._steps = tf.Variable(0)

        def counted(decoder, *arguments):
            steps.assign_add(1)
            return kept[0](decoder, *arguments)

        CachedDecoder.step = counted
        if not has_prefill:
            prefill.shared_length = lambda *_: 0
        try:
            self._ask = TranslationSignatures(translator, 1).stream
            self.answer(10**6)
        finally:
            CachedDecoder.step, prefill.shared_length = kept

    def answer(self, num_tokens):
        """The answer in pieces: its ids, steps, and processor seconds."""
        ids, finished = np.zeros([1, 0], "int32"), False
        self._steps.assign(0)
        start = time.process_time()
        while not finished:
            found = self._ask(
                tf.constant([TEXT]),
                tf.constant(ids if ids.size else [[0]], tf.int32),
                tf.constant([ids.shape[1]]),
                tf.constant([num_tokens], tf.int32),
            )
            ids, finished = found["output_ids"].numpy(), found["finished"].numpy()[0]
        return ids.tolist(), int(self._steps), time.process_time() - start


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--tokens", type=int, default=32, help="of the answer")
    parser.add_argument("--pieces", type=int, action="append", help="may be repeated")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    use_threads()
    translator = translator_of(SIZES[options.size], options.tokens)
    pieces = [10**6, *(options.pieces or (4, 8, 16))]
    streams = {
        "step by step": Stream(translator, has_prefill=False),
        "prefill": Stream(translator, has_prefill=True),
    }
    seconds, steps, answers = {}, {}, []
    for number in range(options.rounds + 1):
        for name, stream in streams.items():
            for size in pieces:
                ids, steps[name, size], took = stream.answer(size)
                answers.append(ids)
                if number:
                    seconds.setdefault((name, size), []).append(took)
    assert all(ids == answers[0] for ids in answers), "answers differ"
    print(f"\n{options.size}, an answer of {options.tokens} tokens, greedy\n")
    print("| tokens a request | way | steps | CPU seconds | over one request |")
    print("| --- | --- | --- | --- | --- |")
    for size in pieces:
        for name in streams:
            took = statistics.median(seconds[name, size])
            ratio = took / statistics.median(seconds[name, pieces[0]])
            words = "all" if size == pieces[0] else size
            print(
                f"| {words} | {name} | {steps[name, size]} | {took:.3f} | {ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
