"""Text classification: in which of 24 languages is a name written?

    python examples/tell_languages.py

Names of countries, languages and currencies in Unicode's CLDR, by way of Babel, which
is installed with the package: no download. Every seventh thing is held out in all
languages, so that no name of it has been seen. The baseline is naive Bayes over
letters; over trigrams of letters it is hard to beat with so few names. The classifier
answers strings, is saved with `--folder` and exported for TF Serving with `--export`.
"""

import argparse
import collections
import math
import pathlib
import tempfile
import time

import babel
import keras
import numpy as np

import keras_transformer as kt

LANGUAGES = (
    "af ca cs da de en es et fi fr ga hr hu id it lt lv nl pl pt ro sk sv tr".split()
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--folder", help="saves the classifier here")
    parser.add_argument("--export", help="writes a SavedModel here")
    parser.add_argument("--verbose", type=int, default=1)
    arguments = parser.parse_args()
    (texts, labels), (test_texts, test_labels) = names()
    print(f"{len(texts):,} names to learn from, {len(test_texts):,} held out")
    start = time.time()
    classifier = train_classifier(texts, labels, arguments.epochs, arguments.verbose)
    minutes = (time.time() - start) / 60

    def accuracy(answers):
        return np.mean([a == b for a, b in zip(answers, test_labels)])

    print("\n| classifier | names told right |\n| --- | --- |")
    for size, name in ((1, "letters"), (3, "trigrams")):
        bayes = naive_bayes(texts, labels, test_texts, size)
        print(f"| naive Bayes, {name} | {accuracy(bayes):.1%} |")
    answers = classifier.classify(test_texts)
    print(f"| EncoderModel, {minutes:.0f} minutes | {accuracy(answers):.1%} |\n")
    for text, answer, label in list(zip(test_texts, answers, test_labels))[::311][:8]:
        print(f"{text:<36} {answer}  ({label})")
    if arguments.folder:
        classifier.save(arguments.folder)
    if arguments.export:
        print(kt.serving.export_saved_model(classifier, arguments.export, verify=True))


def names():
    """Texts and labels, to learn from and held out; what two languages share is out."""
    owners = collections.defaultdict(set)
    for language in LANGUAGES:
        locale = babel.Locale(language)
        for kind in ("territories", "languages", "currencies"):
            for key, name in getattr(locale, kind).items():
                owners[name].add((language, kind, key))
    things = sorted({owner[1:] for owned in owners.values() for owner in owned})
    held_out = set(things[::7])
    parts = ([], []), ([], [])
    for name, owned in sorted(owners.items()):
        if len({language for language, _, _ in owned}) == 1:
            language, *thing = min(owned)
            texts, labels = parts[tuple(thing) in held_out]
            texts.append(name)
            labels.append(language)
    return parts


def train_classifier(texts, labels, epochs, verbose):
    keras.utils.set_random_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "names.txt")
        path.write_text("\n".join(texts) + "\n", "utf-8")
        tokenizer = kt.text.train_tokenizer(path, vocabulary_size=1000)
    model = kt.EncoderModel.from_preset(
        "mini",
        tokenizer.vocabulary_size,
        position_encoding="rotary",
        num_classes=len(LANGUAGES),
        dropout=0.3,
    )
    classifier = kt.TextEncoder(model, tokenizer, labels=LANGUAGES)
    schedule = kt.training.WarmupInverseSqrt.from_peak(0.002, 128, warmup_steps=500)
    model.compile(
        kt.training.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    ids, _ = classifier.encode(texts)
    numbers = np.array([LANGUAGES.index(label) for label in labels])
    ids = ids.to_tensor().numpy()
    model.fit(ids, numbers, batch_size=64, epochs=epochs, verbose=verbose)
    return classifier


def naive_bayes(texts, labels, test_texts, size):
    """The most probable language by n-grams of letters, each with one added count."""
    counts = {language: collections.Counter() for language in LANGUAGES}
    for text, label in zip(texts, labels):
        counts[label].update(ngrams(text, size))
    kinds = len({gram for counter in counts.values() for gram in counter})
    sums = {language: sum(counter.values()) for language, counter in counts.items()}
    prior = collections.Counter(labels)

    def score(text, language):
        counter, total = counts[language], sums[language] + kinds
        return math.log(prior[language]) + sum(
            math.log((counter[gram] + 1) / total) for gram in ngrams(text, size)
        )

    return [max(LANGUAGES, key=lambda one: score(text, one)) for text in test_texts]


def ngrams(text, size):
    edge = " " * (size - 1)
    text = f"{edge}{text.lower()}{edge}"
    return [text[i : i + size] for i in range(len(text) - size + 1)]


if __name__ == "__main__":
    main()
