"""Trains English-German on Multi30k and scores it by sacreBLEU.

    python examples/translate_multi30k.py FOLDER --run-dir runs/multi30k

FOLDER holds task 1 of Multi30k, raw text, as the public repository multi30k/dataset
has it in data/task1/raw: train, val and test_2016_flickr, each .en.gz and .de.gz.
The recipe is the Transformer-tiny of Wu et al. 2021 (https://arxiv.org/abs/2105.14462).
Stopped, the same command goes on from the last checkpoint.
"""

import argparse
import pathlib
import time

from keras_transformer import evaluation
from keras_transformer.run import RunConfig, train
from keras_transformer.text import read_lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--run-dir", default="runs/multi30k")
    parser.add_argument("--steps", type=int, default=6500)
    parser.add_argument("--verbose", type=int, default=1)
    arguments = parser.parse_args()

    def path(split, language):
        return str(arguments.folder / f"{split}.{language}.gz")

    start = time.time()
    translator = train(
        RunConfig(
            source=path("train", "en"),
            target=path("train", "de"),
            valid_source=path("val", "en"),
            valid_target=path("val", "de"),
            preset="tiny",
            model={"dtype": "mixed_bfloat16"},
            vocabulary_size=8000,
            tokens_per_batch=4096,
            steps=arguments.steps,
            steps_per_epoch=500,
            peak_learning_rate=0.003,
            warmup_steps=2000,
            average_last=5,
            bleu_sentences=200,
        ),
        arguments.run_dir,
        verbose=arguments.verbose,
    )
    minutes = (time.time() - start) / 60
    sources = list(read_lines(path("test_2016_flickr", "en")))
    references = list(read_lines(path("test_2016_flickr", "de")))
    translations = translator.translate(sources, beam_size=4, verbose=1)
    cased, signature = evaluation.bleu(translations, references)
    print(f"\ntest_2016_flickr, beam 4, after {minutes:.0f} minutes of training")
    print(f"BLEU, cased, detokenized      {cased:.2f}  {signature}")
    moses, signature = evaluation.moses_bleu(translations, references, "de")
    print(f"BLEU, lower-cased, Moses      {moses:.2f}  {signature}")
    print("published for this recipe     41.02  (lower-cased, Moses; Wu et al. 2021)")
    for source, translation in list(zip(sources, translations))[:5]:
        print(f"\n{source}\n  {translation}")


if __name__ == "__main__":
    main()
