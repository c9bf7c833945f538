"""The prepared corpora of runs, which runs of the same texts and tokenizers share."""

import hashlib
import json
import os
import pathlib
import sys
import time
from typing import TYPE_CHECKING

from keras_transformer.data import PreparedCorpus, prepare
from keras_transformer.run.config import RunConfig
from keras_transformer.run.initial import open_translator
from keras_transformer.run.lock import FolderInUse, locked
from keras_transformer.text import Tokenizer

if TYPE_CHECKING:
    from keras_transformer.run.folder import RunFolder

# Names the folder of all corpora, if it isn't to be beside the run's.
VARIABLE = "KERAS_TRANSFORMER_CORPORA"
_SECONDS_BETWEEN_LOOKS = 2


def is_prepared(source: str) -> bool:
    """Whether a training text is the folder of a prepared corpus."""
    return os.path.isdir(source)


def check_corpus(config: RunConfig) -> None:
    """Checks that a run can train on a prepared corpus.

    Args:
        config: A `RunConfig` whose `source` is the folder of one.

    Raises:
        ValueError: If the corpus isn't whole, or has other tokenizers than a run.
    """
    corpus = PreparedCorpus(config.source)
    tokenizers = corpus.source_tokenizer, corpus.target_tokenizer
    if config.target is not None:
        raise ValueError(
            "target must be left out, as a prepared corpus holds both sides; received "
            f"target={config.target!r}."
        )
    if config.initial is not None:
        _check_same_tokenizers(config, tokenizers)
        return
    if not all(type(tokenizer) is Tokenizer for tokenizer in tokenizers):
        raise ValueError(
            "A run needs a corpus whose tokenizers are kt.text.Tokenizer; "
            f"{config.source} has {' and '.join(type(t).__name__ for t in tokenizers)}."
        )
    if config.joint_vocabulary != (tokenizers[0] is tokenizers[1]):
        raise ValueError(
            "joint_vocabulary must say whether both sides share a tokenizer, as those "
            f"of {config.source} do or don't; received "
            f"joint_vocabulary={config.joint_vocabulary}."
        )


def _check_same_tokenizers(config, tokenizers):
    """Raises a ValueError if a corpus has others than what a run starts from."""
    initial = open_translator(config.initial)
    own = initial.source_tokenizer, initial.target_tokenizer
    for side, of_corpus, of_initial in zip(("source", "target"), tokenizers, own):
        found = [
            (type(each), each.vocabulary_size, each.tokens(range(each.vocabulary_size)))
            for each in (of_corpus, of_initial)
        ]
        if found[0] != found[1]:
            raise ValueError(
                f"source={config.source!r} is a corpus whose {side} tokenizer isn't "
                f"that of initial={config.initial!r}. Give the texts, or prepare them "
                "with its tokenizers."
            )


def corpus_of_run(run: "RunFolder") -> pathlib.Path:
    """Path of the folder of a run's training corpus, which may be still to prepare.

    It is in `corpora/` beside the run's folder, or in the folder that the variable
    `KERAS_TRANSFORMER_CORPORA` names. Its own name is a checksum of the texts, the
    tokenizers and `max_length`. So runs that need the same corpus share it.

    Args:
        run: The `RunFolder`, with its tokenizers.
    """
    config = run.config
    if is_prepared(config.source):
        return pathlib.Path(config.source)
    names = ("source", "target", "source.spm", "target.spm")
    prints = {name: run.fingerprints.get(name) for name in names}
    content = json.dumps([prints, _max_length(config)])
    digest = hashlib.sha256(content.encode("utf-8")).hexdigest()
    corpora = os.environ.get(VARIABLE) or run.path.absolute().parent / "corpora"
    return pathlib.Path(corpora) / digest[:16]


def prepare_corpus(run: "RunFolder", verbose: int) -> None:
    """Tokenizes a run's training texts, unless a run has done so.

    It waits for another run that prepares a corpus in the same place.

    Args:
        run: The `RunFolder`, with its tokenizers.
        verbose: 0 for silence.
    """
    config, folder = run.config, corpus_of_run(run)
    waits = False
    while not (folder / "corpus.json").exists():
        try:
            with locked(folder.parent):
                source_tokenizer, target_tokenizer = run.tokenizers()
                prepare(
                    config.source,
                    config.target,
                    folder,
                    source_tokenizer=source_tokenizer,
                    target_tokenizer=target_tokenizer,
                    max_length=_max_length(config),
                    verbose=verbose,
                )
        except FolderInUse as error:
            if verbose and not waits:
                print(f"Another run prepares a corpus. {error}", file=sys.stderr)
            waits = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _max_length(config):
    return config.max_length or min(256, config.tokens_per_batch)
