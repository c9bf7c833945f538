"""Settings of a run that depend on one another."""

import dataclasses
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
    defaults = {field.name: field for field in dataclasses.fields(config)}
    for name in OF_INITIAL:
        value, field = getattr(config, name), defaults[name]
        default = {} if field.default is dataclasses.MISSING else field.default
        if value != default:
            raise ValueError(
                f"{name} doesn't apply to a run that starts from a translator, which "
                f"has one of its own; received {name}={value!r}, "
                f"initial={config.initial!r}. Leave it out."
            )


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
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name.startswith("plateau_") and value != field.default:
            raise ValueError(
                f"{field.name} is for schedule='plateau'; received "
                f"{field.name}={value}, schedule={config.schedule!r}. Leave it out."
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
