"""Makes a small translator of a large one on Multi30k, and compares the two.

    python examples/translate_multi30k.py FOLDER --run-dir runs/multi30k
    python examples/distill.py FOLDER --teacher runs/multi30k --run-dir runs/student

FOLDER holds Multi30k as for translate_multi30k.py, whose run is the teacher. Two small
models are trained: one on the teacher's beam answers, one on the original texts.
Stopped, the same command goes on.

Reference: Kim & Rush 2016, https://arxiv.org/abs/1606.07947.
"""

import argparse
import pathlib
import time

import keras_transformer as kt
from keras_transformer import evaluation


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--teacher", type=pathlib.Path, required=True)
    parser.add_argument("--run-dir", type=pathlib.Path, default="runs/student")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--verbose", type=int, default=1)
    arguments = parser.parse_args()

    def path(split, language):
        return str(arguments.folder / f"{split}.{language}.gz")

    settings = {
        "valid_source": path("val", "en"),
        "valid_target": path("val", "de"),
        "preset": "mini",
        "vocabulary_size": 8000,
        "steps": arguments.steps,
        "steps_per_epoch": arguments.steps // 8,
        "peak_learning_rate": 0.003,
        "warmup_steps": arguments.steps // 4,
    }
    student = kt.distill(
        arguments.teacher,
        path("train", "en"),
        arguments.run_dir / "distilled",
        verbose=arguments.verbose,
        **settings,
    )
    alone = kt.train(
        kt.RunConfig(path("train", "en"), path("train", "de"), **settings),
        arguments.run_dir / "alone",
        verbose=arguments.verbose,
    )
    teacher = kt.Translator.load(arguments.teacher / "translator")
    sources = list(kt.text.read_lines(path("test_2016_flickr", "en")))
    references = list(kt.text.read_lines(path("test_2016_flickr", "de")))
    print("| test_2016_flickr | beam | BLEU | parameters | sentences a second |")
    print("| --- | --- | --- | --- | --- |")
    signature = None
    for name, translator in (
        ("teacher", teacher),
        ("student of the teacher's answers", student),
        ("student of the original texts", alone),
    ):
        for beam_size in (4, 1):
            # The first call compiles.
            translator.translate(sources[:100], beam_size=beam_size)
            start = time.perf_counter()
            answers = translator.translate(sources, beam_size=beam_size)
            speed = len(sources) / (time.perf_counter() - start)
            score, signature = evaluation.bleu(answers, references)
            parameters = translator.model.count_params()
            print(
                f"| {name} | {beam_size} | {score:.2f} | {parameters:,} | {speed:.0f} |"
            )
    print(f"\nBLEU: {signature}")


if __name__ == "__main__":
    main()
