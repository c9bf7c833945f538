"""The prepared corpora of runs, which runs of the same texts and tokenizers share."""

import hashlib
import json
import os
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from keras_transformer.data import Filters, prepare
from keras_transformer.data.preparation import MAX_LENGTH
from keras_transformer.data.prepared import CORPUS_FILE
from keras_transformer.data.sources import prepared_corpus
from keras_transformer.data.subword_sampling import subword_samplers
from keras_transformer.data.tags import tag_ids
from keras_transformer.run.config import RunConfig
from keras_transformer.run.consistency import changed
from keras_transformer.run.initial import open_translator
from keras_transformer.run.lock import FolderInUse, locked
from keras_transformer.run.texts import training_texts
from keras_transformer.text import Tokenizer

if TYPE_CHECKING:
    from keras_transformer.run.folder import RunFolder

# Names the folder of all corpora, if it isn't to be beside the run's.
VARIABLE = "KERAS_TRANSFORMER_CORPORA"
_SECONDS_BETWEEN_LOOKS = 2


def is_prepared(source: str) -> bool:
    """Whether a training text is the folder of a prepared corpus."""
    return os.path.isdir(source)


def check_corpora(config: RunConfig) -> None:
    """Checks that a run can train on the prepared corpora among its texts.

    Args:
        config: A `RunConfig`.

    Raises:
        ValueError: If one isn't whole, or has other tokenizers than a run; if there are
            filters and no texts, settings of a tokenizer that isn't trained, or a tag
            or a drawn segmentation that the tokenizers don't have.
    """
    texts = training_texts(config)
    prepared = [one for one in texts if is_prepared(one.source)]
    if not prepared:
        return
    tokenizers = [_checked_tokenizers(config, one) for one in prepared]
    if config.filters and len(prepared) == len(texts):
        raise ValueError(
            "filters are for texts, and source is prepared already; received "
            f"filters={config.filters}, source={config.source!r}."
        )
    _check_no_new_tokenizer(config, tokenizers[0])
    check_tokens(config, tokenizers[0])


def _check_no_new_tokenizer(config, tokenizers):
    """Raises a ValueError for settings of a tokenizer that a prepared corpus has."""
    sizes = [tokenizer.vocabulary_size for tokenizer in tokenizers]
    for name in changed(config, ("tokenizer", "vocabulary_size")):
        if name == "vocabulary_size" and {*sizes} == {config.vocabulary_size}:
            continue
        raise ValueError(
            f"{name} is for tokenizers that a run trains, and source is prepared with "
            f"its own, of {' and '.join(map(str, dict.fromkeys(sizes)))} tokens; "
            f"received {name}={getattr(config, name)!r}. Leave it out."
        )


def _checked_tokenizers(config, texts):
    """The tokenizers of a prepared corpus, which a run can have."""
    corpus = prepared_corpus(texts.source, texts.target)
    tokenizers = corpus.source_tokenizer, corpus.target_tokenizer
    if config.initial is not None:
        _check_same_tokenizers(config, tokenizers)
        return tokenizers
    if not all(type(tokenizer) is Tokenizer for tokenizer in tokenizers):
        raise ValueError(
            "A run needs a corpus whose tokenizers are kt.text.Tokenizer; "
            f"{texts.source} has {' and '.join(type(t).__name__ for t in tokenizers)}."
        )
    if config.joint_vocabulary != (tokenizers[0] is tokenizers[1]):
        raise ValueError(
            "joint_vocabulary must say whether both sides share a tokenizer, as those "
            f"of {texts.source} do or don't; received "
            f"joint_vocabulary={config.joint_vocabulary}."
        )
    return tokenizers


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


def check_tokens(config: RunConfig, tokenizers: tuple[Any, Any]) -> None:
    """Checks that tokenizers have what a configuration asks for.

    Args:
        config: A `RunConfig`.
        tokenizers: The source's and the target's.

    Raises:
        ValueError: If they lack a tag, or can't draw segmentations.
    """
    texts = training_texts(config)
    tag_ids(config.tags, tokenizers[0], len(texts))
    subword_samplers(tokenizers, config.bpe_dropout, config.unigram_alpha)


def corpora_of_run(run: "RunFolder") -> list[pathlib.Path]:
    """Paths of the folders of a run's training corpora, maybe still to prepare.

    They are in `corpora/` beside the run's folder, or in the folder that the variable
    `KERAS_TRANSFORMER_CORPORA` names. A folder's own name is a checksum of the texts,
    the tokenizers, filters and `max_length`. So runs that need the same corpus share
    it.

    Args:
        run: The `RunFolder`, with its tokenizers.
    """
    config, prints = run.config, run.fingerprints
    corpora = os.environ.get(VARIABLE) or run.path.absolute().parent / "corpora"
    tokenizers = [prints.get(name) for name in ("source.spm", "target.spm")]
    folders = []
    for i, texts in enumerate(training_texts(config)):
        if is_prepared(texts.source):
            folders.append(pathlib.Path(texts.source))
            continue
        files = [_of_corpus(prints.get(name), i) for name in ("source", "target")]
        content = [files, tokenizers, texts.options, config.filters]
        content = json.dumps([*content, _max_length(config)], sort_keys=True)
        digest = hashlib.sha256(content.encode("utf-8")).hexdigest()
        folders.append(pathlib.Path(corpora) / digest[:16])
    return folders


def _of_corpus(fingerprint, index):
    """The fingerprint of one of several texts, or of the only one."""
    return fingerprint[index] if isinstance(fingerprint, list) else fingerprint


def prepare_corpora(run: "RunFolder", verbose: int) -> None:
    """Tokenizes a run's training texts, unless a run has done so.

    It waits for another run that prepares a corpus in the same place.

    Args:
        run: The `RunFolder`, with its tokenizers.
        verbose: 0 for silence.

    Raises:
        ValueError: If the tokenizers lack a tag, or can't draw segmentations.
    """
    tokenizers = run.tokenizers()
    check_tokens(run.config, tokenizers)
    for texts, folder in zip(training_texts(run.config), corpora_of_run(run)):
        _prepare(run.config, texts, folder, tokenizers, verbose)


def _prepare(config, texts, folder, tokenizers, verbose):
    waits = False
    while not (folder / CORPUS_FILE).exists():
        try:
            with locked(folder.parent):
                prepare(
                    texts.source,
                    texts.target,
                    folder,
                    source_tokenizer=tokenizers[0],
                    target_tokenizer=tokenizers[1],
                    max_length=_max_length(config),
                    filters=Filters.from_json(config.filters),
                    verbose=verbose,
                    **texts.options,
                )
        except FolderInUse as error:
            if verbose and not waits:
                print(f"Another run prepares a corpus. {error}", file=sys.stderr)
            waits = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _max_length(config):
    return config.max_length or min(MAX_LENGTH, config.tokens_per_batch)
