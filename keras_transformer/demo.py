"""The demo: dates as people write them in many languages -> ISO 8601.

Nothing is downloaded: Babel writes the dates, by Unicode's CLDR. The training goes
through the same functions as a user's own text.
"""

import datetime
import os
import pathlib
import random
import time
from collections.abc import Iterable, Iterator

import babel.dates
import tensorflow as tf

from keras_transformer import plotting
from keras_transformer.evaluation import exact_match
from keras_transformer.files import write_text
from keras_transformer.run import RunConfig, train
from keras_transformer.serving import export_saved_model

LOCALES = (
    "cs da de el en en_GB es fi fr hu id it ja ko nl pl pt ro ru sv tr uk vi zh".split()
)
_STYLES = ("full", "long", "medium")
_SKELETONS = ("yMd", "yMMMd", "yMMMMd", "yMMMEd")
_FIRST, _LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)


def write_date(date: datetime.date, locale: str, form: str) -> str:
    """A date as people of a locale write it, by one of the forms of CLDR.

    A date in digits alone could be read in more than one order, so it carries its
    locale: `"<en> 3/4/2021"` is in March, `"<en_GB> 03/04/2021"` in April.

    >>> write_date(datetime.date(2021, 3, 4), "de", "long")
    '4. März 2021'
    """
    if form in _STYLES:
        text = babel.dates.format_date(date, form, locale=locale)
    else:
        text = babel.dates.format_skeleton(form, date, locale=locale)
    return text if any(map(str.isalpha, text)) else f"<{locale}> {text}"


def date_pairs(
    dates: Iterable[datetime.date], generator: random.Random
) -> Iterator[tuple[str, str]]:
    """One pair `(written, ISO 8601)` for each date, in random locales and forms."""
    for date in dates:
        form = generator.choice(_STYLES + _SKELETONS)
        yield write_date(date, generator.choice(LOCALES), form), date.isoformat()


def write_corpus(
    folder: pathlib.Path,
    num_train: int = 120_000,
    num_held_out: int = 2_000,
    seed: int = 1,
) -> None:
    """Writes `train.tsv`, `valid.tsv` and `test.tsv`, with no date in two of them."""
    generator = random.Random(seed)
    days = (_LAST - _FIRST).days + 1
    dates = [_FIRST + datetime.timedelta(days=day) for day in range(days)]
    generator.shuffle(dates)
    test, valid = dates[:num_held_out], dates[num_held_out : 2 * num_held_out]
    parts = {
        "train": generator.choices(dates[2 * num_held_out :], k=num_train),
        "valid": valid,
        "test": test,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        rows = [f"{text}\t{iso}\n" for text, iso in date_pairs(part, generator)]
        write_text(folder / f"{name}.tsv", "".join(rows))


def run_demo(
    folder: str | os.PathLike = "runs/dates",
    export_folder: str | os.PathLike = "saved_models/dates",
    steps: int = 2_400,
) -> float:
    """Learns to read dates, exports the model, loads it back and asks it.

    Args:
        folder: Folder of the run.
        export_folder: Folder of the exported SavedModel.
        steps: Number of updates.

    Returns:
        The share of 2,000 strings, their dates held out, that the loaded export reads
        without a mistake.
    """
    start = time.time()
    folder = pathlib.Path(folder)
    if not (folder / "test.tsv").exists():
        print(f"Writing dates in {len(LOCALES)} locales to {folder} ...")
        write_corpus(folder)
    config = RunConfig(
        source=str(folder / "train.tsv"),
        valid_source=str(folder / "valid.tsv"),
        preset="mini",
        model={"dropout": 0.0},
        vocabulary_size=1000,
        tokenizer={
            "split_digits": True,
            "character_coverage": 1.0,
            "symbols": [f"<{locale}>" for locale in LOCALES],
        },
        steps=steps,
        steps_per_epoch=steps // 12,
        peak_learning_rate=0.002,
        warmup_steps=steps // 6,
        average_last=3,
        bleu_sentences=0,
        samples=2,
    )
    translator = train(config, folder)
    print(f"\nTrained after {_minutes(start)}. Exporting ...")
    path = export_saved_model(
        translator, export_folder, beam_size=2, num_hypotheses=2, max_length=16
    )
    read = tf.saved_model.load(path).signatures["serving_default"]
    rows = (folder / "test.tsv").read_text(encoding="utf-8").splitlines()
    texts, dates = zip(*(row.split("\t") for row in rows))
    answers = []
    for i in range(0, len(texts), 200):
        found = read(text=tf.constant(texts[i : i + 200]))["translation"]
        answers += [answer.decode("utf-8") for answer in found.numpy()]
    accuracy = exact_match(answers, dates)
    print(f"\nWhat {path} reads:\n")
    for text, answer in list(zip(texts, answers))[:10]:
        print(f"  {text:<44} {answer}")
    picture = folder / "attention.png"
    plotting.plot_attention(translator, texts[0], answers[0]).savefig(picture)
    print(
        f"\n{accuracy:.2%} of {len(texts):,} strings read without a mistake; none of "
        f"their dates was trained on. All of it took {_minutes(start)}.\n"
        f"What the model looks at while it writes: {picture}\n\n"
        "Try next:\n"
        f"  keras-transformer translate {folder} 'Le 14 juillet 1989'\n"
        f"  keras-transformer plot attention {folder} 'March 4, 2021' --to a.png\n"
        f"  tensorboard --logdir {folder}/tensorboard\n"
        "  keras-transformer train --help\n\n"
        "See it work, in a browser:\n"
        f"  keras-transformer serve {folder}"
    )
    return accuracy


def _minutes(start):
    seconds = int(time.time() - start)
    return f"{seconds // 60} min {seconds % 60} s"
