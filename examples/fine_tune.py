"""Teaches a translator a new domain with 500 pairs, and looks at what it forgets.

    python examples/fine_tune.py runs/fine_tune

A small model first learns to read dates in eight languages. Then it learns Finnish
dates, from 500 of them, in three ways:

- plain: it is trained on the new pairs alone;
- replay: on the new pairs mixed with as many old ones;
- LoRA: on the new pairs alone, but only low-rank updates of the weights are trained.

Each is scored on held-out dates of the old languages and of the new one. Stopped, the
same command goes on.

Catastrophic forgetting: https://arxiv.org/abs/1612.00796. Replay in translation, mixed
fine-tuning: https://aclanthology.org/P17-2061. LoRA: https://arxiv.org/abs/2106.09685.
"""

import argparse
import datetime
import pathlib
import random

import keras_transformer as kt
from keras_transformer.demo import write_date
from keras_transformer.evaluation import exact_match
from keras_transformer.training.freezing import trainable_count

OLD = ("de", "en", "es", "fr", "it", "nl", "pt", "sv")
NEW = ("fi",)
FORMS = ("full", "long", "medium", "yMMMd", "yMMMMd", "yMMMEd")
FIRST, DAYS = datetime.date(1900, 1, 1), 73_000
WAYS = {
    "plain": {},
    "replay": {},
    "LoRA": {"lora_rank": 8},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=1200, help="of the base (1200)")
    parser.add_argument("--new-steps", type=int, default=200, help="of each way (200)")
    parser.add_argument("--verbose", type=int, default=2)
    arguments = parser.parse_args()
    rows = compare(
        arguments.folder,
        steps=arguments.steps,
        new_steps=arguments.new_steps,
        verbose=arguments.verbose,
    )
    print(table(rows))


def compare(folder, steps, new_steps, num_old=40_000, num_new=500, verbose=0):
    """Trains the base, then a copy of it in each way.

    Args:
        folder: Where texts and runs go.
        steps: Number of updates of the base.
        new_steps: Number of updates of each way.
        num_old: Number of pairs that the base is trained on.
        num_new: Number of pairs of the new domain.
        verbose: As of `kt.train`.

    Returns:
        A list of dicts: `"way"`, the shares of held-out dates read without a mistake,
        `"old"` and `"new"`, and the number of `"trained"` parameters.
    """
    write_texts(folder, num_old, num_new)
    base = kt.train(
        kt.RunConfig(
            folder / "old.tsv",
            preset="mini",
            model={"dropout": 0.0},
            vocabulary_size=600,
            tokenizer={"split_digits": True, "character_coverage": 1.0},
            steps=steps,
            steps_per_epoch=steps // 4,
            peak_learning_rate=0.002,
            warmup_steps=max(1, steps // 6),
            average_last=1,
        ),
        folder / "base",
        verbose=verbose,
    )
    rows = [row("before", base, folder, base.model.count_params())]
    for way, changes in WAYS.items():
        config = kt.RunConfig(
            folder / ("mixed.tsv" if way == "replay" else "new.tsv"),
            initial=folder / "base",
            tokens_per_batch=2048,
            steps=new_steps,
            steps_per_epoch=new_steps,
            schedule="linear",
            peak_learning_rate=0.004 if way == "LoRA" else 0.001,
            warmup_steps=max(1, new_steps // 10),
            average_last=1,
            **changes,
        )
        translator = kt.train(config, folder / way, verbose=verbose)
        trained = base.model.count_params()
        if config.lora_rank is not None:
            model = kt.Translator.load(folder / "base" / "translator").model
            kt.training.load_adapter(model, folder / way / "adapter.safetensors")
            trained = trainable_count(model)
        rows.append(row(way, translator, folder, trained))
    return rows


def write_texts(folder, num_old, num_new, num_test=500):
    """Writes the training texts, and held-out ones, of other dates."""
    generator = random.Random(1)
    days = list(range(DAYS))
    generator.shuffle(days)
    held_out, rest = days[:num_test], days[num_test:]
    old = pairs(generator.choices(rest, k=num_old), OLD, generator)
    new = pairs(generator.sample(rest, num_new), NEW, generator)
    texts = {
        "old": old,
        "new": new,
        "mixed": new + generator.sample(old, min(num_new, num_old)),
        "test-old": pairs(held_out, OLD, generator),
        "test-new": pairs(held_out, NEW, generator),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in texts.items():
        text = "".join(f"{source}\t{target}\n" for source, target in lines)
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")


def pairs(days, locales, generator):
    """A pair of a written date and ISO 8601 for each day."""
    found = []
    for day in days:
        date = FIRST + datetime.timedelta(days=day)
        locale, form = generator.choice(locales), generator.choice(FORMS)
        found.append((write_date(date, locale, form), date.isoformat()))
    return found


def row(way, translator, folder, trained):
    """How well a translator reads the held-out dates."""
    shares = {}
    for name in ("old", "new"):
        sources, targets = zip(*kt.text.read_pairs(folder / f"test-{name}.tsv"))
        answers = translator.translate(list(sources), beam_size=1, max_length=16)
        shares[name] = exact_match(answers, list(targets))
    return {"way": way, **shares, "trained": trained}


def table(rows):
    """The rows as a table of Markdown."""
    lines = ["| | old languages | new language | trained parameters |"]
    lines.append("| --- | --- | --- | --- |")
    lines += [
        f"| {r['way']} | {r['old']:.1%} | {r['new']:.1%} | {r['trained']:,} |"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
