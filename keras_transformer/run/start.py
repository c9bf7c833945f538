"""What is checked before a run is started."""

from __future__ import annotations

import os
from collections.abc import Sequence

from keras_transformer.data.corpus import read_pairs
from keras_transformer.run.config import RunConfig
from keras_transformer.run.corpora import check_corpus, is_prepared

TEXTS = ("source", "target", "valid_source", "valid_target")


def check_files(config: RunConfig, names: Sequence[str] = TEXTS) -> None:
    """Checks that a run's texts are there.

    Args:
        config: A `RunConfig`.
        names: Those that are looked for.

    Raises:
        FileNotFoundError: If a text isn't there.
    """
    for name in names:
        text = getattr(config, name)
        if text and not text.startswith("tfds:") and not os.path.exists(text):
            raise FileNotFoundError(f"{name}={text!r} isn't there.")


def check_start(config: RunConfig) -> None:
    """Checks the texts and the model's arguments, before a run's first file is written.

    Args:
        config: A `RunConfig`.

    Raises:
        ValueError: If a text can't be read to its end or holds no pair, or an argument
            of the model is out of range.
        FileNotFoundError: If a text isn't there.
    """
    for source, target in (
        ("source", "target"),
        ("valid_source", "valid_target"),
    ):
        paths = getattr(config, source), getattr(config, target)
        if source == "source" and is_prepared(config.source):
            check_corpus(config)
            continue
        if paths[0] and not sum(1 for _ in read_pairs(*paths)):
            raise ValueError(f"{source}={paths[0]!r} is empty: it holds no pair.")
    # Here, as the command line checks files before it imports Keras.
    from keras_transformer.run.model import make_model

    # The vocabulary is still unknown, and nothing depends on its size.
    make_model(config, *([8] if config.joint_vocabulary else [8, 8]))
