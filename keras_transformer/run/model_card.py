"""A run's MODEL_CARD.md: what a translator is, for those who are given it."""

from __future__ import annotations

import dataclasses
import os
import typing

from keras_transformer import __version__, evaluation
from keras_transformer.files import write_text
from keras_transformer.run.consistency import OF_INITIAL
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.start import TEXTS
from keras_transformer.run.validations import Validations
from keras_transformer.texts import markdown_table

NAME = "MODEL_CARD.md"
_SIDES = (
    ("training", "source", "target"),
    ("held out", "valid_source", "valid_target"),
)


def write_model_card(
    run: RunFolder,
    model: typing.Any,
    batches: typing.Any,
    validation: typing.Any,
    validations: Validations,
) -> None:
    """Writes what a run's translator is, of what it was made, and how good it is.

    It names files, but not where they lie on this machine.

    Args:
        run: The `RunFolder`, whose `translator/` is written already.
        model: The final model.
        batches: The batches that it was trained on, with their `report`.
        validation: Those it was validated on, or None.
        validations: The run's `Validations`.
    """
    reports = {"training": batches.report}
    if validation is not None:
        reports["held out"] = validation.report
    size = (run.path / "translator" / "model.keras").stat().st_size
    parts = [
        f"# {run.path.resolve().name}",
        _about(run.config),
        "## Licence\n\nTO BE FILLED IN: the licence of the model and of its texts.",
        f"## Model\n\n{model.count_params():,} parameters, {size / 1e6:,.1f} MB.\n\n"
        + _model(model),
        "## Texts\n\n" + _corpora(run, reports),
        "## Validations\n\n" + _validations(run.config, validations),
        "## Configuration\n\n" + _configuration(run.config),
        "## Use\n\n```python\nimport keras_transformer as kt\n\n"
        'translator = kt.Translator.load("translator")\n'
        'translator.translate(["..."])\n```',
    ]
    write_text(run.path / NAME, "\n\n".join(parts) + "\n")


def _about(config):
    started = ""
    if config.initial is not None:
        started = f" It started from `{_shown(config.initial)}`."
        if config.lora_rank is not None:
            started += f" LoRA of rank {config.lora_rank} was trained and merged."
    return (
        "A translator, trained with keras_transformer "
        f"{__version__} by `keras-transformer train`.{started}"
    )


def _model(model):
    plain = (bool, int, float, str, type(None))
    rows = [("argument of `kt.Transformer`", "value")]
    for name, value in model.get_config().items():
        if isinstance(value, plain) and name not in ("name", "trainable"):
            rows.append((f"`{name}`", f"`{value}`"))
    return markdown_table(rows)


def _corpora(run, reports):
    prints = run.fingerprints
    rows = [("texts", "files", "SHA-256", "pairs", "source tokens", "target tokens")]
    for name, *sides in _SIDES:
        if name not in reports:
            continue
        given = [side for side in sides if side in prints]
        files = [t for s in given for t in _as_list(getattr(run.config, s)) if t]
        checksums = [p for s in given for p in _as_list(prints[s]) if p]
        report = reports[name]
        rows.append(
            (
                name,
                "<br>".join(f"`{_shown(text)}`" for text in files),
                "<br>".join(f"`{checksum}`" for checksum in checksums),
                f"{report.pairs:,}",
                f"{report.source_tokens:,}",
                f"{report.target_tokens:,}",
            )
        )
    return markdown_table(rows)


def _validations(config, validations):
    if not validations.measured:
        return "None: the run had no held-out text."
    names = validations.names_of("val_loss", "val_bleu")
    words = [
        markdown_table(validations.lines(names)),
        f"The model is made of the checkpoints `keep={config.keep!r}` names"
        + (f", {config.average_last} of them." if config.keep == "average" else "."),
    ]
    if "val_bleu" in names:
        # What it says doesn't depend on the texts.
        _, signature = evaluation.bleu(["a"], ["a"])
        words.append(
            f"BLEU is that of {config.bleu_sentences} held-out pairs at most, "
            f"translated greedily; sacreBLEU's signature is `{signature}`."
        )
    return "\n\n".join(words)


def _configuration(config):
    paths = (*TEXTS, "initial")
    rows = [("setting", "value")]
    for name, value in dataclasses.asdict(config).items():
        if config.initial is not None and name in OF_INITIAL:
            continue
        shown = _shown(value) if name in paths else value
        rows.append((f"`{name}`", f"`{shown}`"))
    return markdown_table(rows)


def _shown(value):
    """A file's or a folder's name; a data set's or a hub's name as it is."""
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if not isinstance(value, str) or value.startswith("tfds:"):
        return value
    is_hub_name = value.count("/") == 1 and not os.path.exists(value)
    return value if is_hub_name else os.path.basename(os.path.normpath(value))


def _as_list(value):
    return value if isinstance(value, list) else [value]
