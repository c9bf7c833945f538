"""What data needs of a tokenizer."""

from typing import Any

from keras_transformer import arguments
from keras_transformer.text.hub_tokenizer import as_tokenizer


def checked_tokenizers(source: Any, target: Any = None) -> tuple:
    """The tokenizers of source and target, those of KerasHub as `HubTokenizer`s.

    Args:
        source: The tokenizer of the source.
        target: That of the target, or None for the source's.

    Raises:
        TypeError: For what is no tokenizer; it is named.
    """
    target = source if target is None else target
    tokenizers = {"source_tokenizer": source, "target_tokenizer": target}
    found = {name: as_tokenizer(value, name) for name, value in tokenizers.items()}
    for name, tokenizer in found.items():
        _check_tokenizer(name, tokenizer)
    both = tuple(found.values())
    return both if target is not source else both[:1] * 2


def _check_tokenizer(name, tokenizer):
    for part in ("tokenize", "start_id", "end_id"):
        if not hasattr(tokenizer, part):
            raise TypeError(
                f"{name} must be a tokenizer, such as kt.text.train_tokenizer's; "
                f"received {name}={tokenizer!r}, which has no {part}."
            )
    for part in ("start_id", "end_id"):
        arguments.integer(f"{name}.{part}", getattr(tokenizer, part), minimum=0)
