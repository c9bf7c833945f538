"""Settings of a run that depend on one another."""

import dataclasses
from collections.abc import Iterable
from typing import Any

# What a translator that a run starts from has of its own.
OF_INITIAL = ("preset", "model", "vocabulary_size", "joint_vocabulary", "tokenizer")


def check_initial(config: Any) -> None:
    """Checks what depends on whether a run starts from a translator.

    Args:
        config: A `RunConfig`.

    Raises:
        ValueError: If it has no use for another setting, or is missed.
    """
    if config.initial is None:
        if config.lora_rank is not None:
            raise ValueError(
                "lora_rank needs an initial, the translator whose weights get updates; "
                f"received lora_rank={config.lora_rank}, initial=None."
            )
        return
    for name in changed(config, OF_INITIAL):
        raise ValueError(
            f"{name} doesn't apply to a run that starts from a translator, which has "
            f"one of its own; received {name}={getattr(config, name)!r}, "
            f"initial={config.initial!r}. Leave it out."
        )


def changed(config: Any, names: Iterable[str]) -> list[str]:
    """Those of some settings of a `RunConfig` that don't have their defaults."""
    defaults = {
        field.name: {} if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(config)
    }
    return [name for name in names if getattr(config, name) != defaults[name]]


def check_uses(config: Any) -> None:
    """Checks that no setting is one that the others leave without a use.

    Args:
        config: A `RunConfig`.

    Raises:
        ValueError: If there is one.
    """
    if config.temperature is not None and not isinstance(config.source, list):
        raise ValueError(
            "temperature mixes several corpora; received "
            f"temperature={config.temperature}, source={config.source!r}. Leave it "
            "out, or give source and target lists."
        )
    if config.schedule == "plateau":
        return
    names = [field.name for field in dataclasses.fields(config)]
    for name in changed(config, [n for n in names if n.startswith("plateau_")]):
        raise ValueError(
            f"{name} is for schedule='plateau'; received "
            f"{name}={getattr(config, name)}, schedule={config.schedule!r}. Leave it "
            "out."
        )


def check_validation(config: Any) -> None:
    """Checks that there are validations for what depends on them.

    Args:
        config: A `RunConfig`.

    Raises:
        ValueError: If there are none, or not of the monitored kind.
    """
    needs = [
        f"{name}={value!r}"
        for name, value in (
            ("patience", config.patience),
            ("keep", config.keep if config.keep == "best" else None),
            ("schedule", config.schedule if config.schedule == "plateau" else None),
            ("monitor", config.monitor if config.monitor != "val_loss" else None),
        )
        if value is not None
    ]
    if needs and config.valid_source is None:
        raise ValueError(
            f"{needs[0]} needs a valid_source, held-out text; received "
            f"{', '.join(needs)}, valid_source=None."
        )
    if config.monitor == "val_bleu" and not config.bleu_sentences:
        raise ValueError(
            "monitor='val_bleu' needs bleu_sentences, held-out pairs to translate; "
            "received bleu_sentences=0."
        )
