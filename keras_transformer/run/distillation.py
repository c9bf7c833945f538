"""Sequence-level knowledge distillation: a small run learns a teacher's answers."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import re
import typing

import keras
import sacrebleu

from keras_transformer import arguments
from keras_transformer.files import file_fingerprint, write_text, written_aside
from keras_transformer.reading import read_json, read_lines
from keras_transformer.run.config import RunConfig
from keras_transformer.run.config_file import check_folder, has_checkpoint
from keras_transformer.run.initial import (
    find_translator,
    initial_fingerprint,
    open_translator,
)
from keras_transformer.run.lock import locked
from keras_transformer.run.model import check_model
from keras_transformer.run.start import check_files
from keras_transformer.run.trainer import train
from keras_transformer.tasks.translator import Translator
from keras_transformer.training.adapters import base_fingerprint

# Sentences that a file of answers has; a kill costs no more than these.
_PART = 1000
_SETTINGS = "settings.json"
_LINE_ENDS = re.compile(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
SIMILARITIES = {
    "bleu": lambda: sacrebleu.metrics.BLEU(effective_order=True),
    "chrf": sacrebleu.metrics.CHRF,
}


def distill(
    teacher: Translator | str | os.PathLike,
    source: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    references: str | os.PathLike | None = None,
    beam_size: int | None = None,
    similarity: str = "bleu",
    verbose: int = 1,
    **settings: typing.Any,
) -> Translator:
    """Trains a translator on a teacher's answers, or goes on where that stopped.

    A small model learns more from what a large one answers than from what people
    wrote: the answers are more alike. The teacher translates the sources once, to the
    folder's `distilled/`; then `train` trains on them.

    With references, of the teacher's n-best answers the one nearest to the reference is
    taken (sequence-level interpolation).

    Args:
        teacher: A `kt.Translator`, or what `RunConfig(initial=...)` takes.
        source: Text to translate, a sentence a line, plain or `.gz`.
        folder: The student's run folder; it is created.
        references: The sources' translations, line by line.
        beam_size: Number of the teacher's hypotheses; its own if left out.
        similarity: What tells which answer is nearest to a reference, by sentence:
            `"bleu"` or `"chrf"`.
        verbose: 0, 1 for progress bars or 2 for lines.
        **settings: Arguments of the student's `RunConfig`, such as `preset` and
            `steps`; all but `source` and `target`.

    Returns:
        The student, a `kt.Translator`.

    Raises:
        ValueError: Before anything is translated: for a wrong setting of the run, texts
            of different lengths, or a folder that holds another run or the answers of
            another teacher.
        FileNotFoundError: If a text or the teacher isn't there.
        TypeError: For an unknown setting, or one of another type.

    Example:

    >>> student = kt.distill(
    ...     translator, "train.en", "runs/small", preset="mini", vocabulary_size=320,
    ...     steps=2, steps_per_epoch=1)

    Reference: [Sequence-Level Knowledge Distillation](https://arxiv.org/abs/1606.07947).
    """
    if not isinstance(teacher, Translator):
        teacher = arguments.path("teacher", teacher)
    source = arguments.path("source", source)
    if references is not None:
        references = arguments.path("references", references)
    verbose = arguments.integer("verbose", verbose, minimum=0)
    corpus = pathlib.Path(arguments.path("folder", folder)) / "distilled"
    texts = corpus / "source.txt", corpus / "target.txt"
    config = _checked_config(texts, settings)
    check_folder(folder)
    answers = _Answers(corpus, teacher, source, references, beam_size, similarity)
    answers.check()
    if has_checkpoint(folder) and not answers.are_whole:
        raise ValueError(
            f"folder={os.fspath(folder)!r} holds a run that isn't one of distillation; "
            "use another folder."
        )
    if not answers.are_whole:
        with locked(folder):
            answers.write(verbose)
    return train(config, folder, verbose=verbose)


def _checked_config(texts, settings):
    """The student's configuration, checked before the teacher begins."""
    for name in ("source", "target"):
        if name in settings:
            raise TypeError(
                f"{name} is given by distill itself, the teacher's answers; received "
                f"{name}={settings[name]!r}."
            )
    try:
        config = RunConfig.from_json(
            {"source": str(texts[0]), "target": str(texts[1]), **settings}
        )
    except ValueError as error:
        if "has no argument" in str(error):
            raise TypeError(str(error)) from None
        raise
    check_files(config, ("valid_source", "valid_target"))
    check_model(config)
    return config


class _Answers:
    """The teacher's answers to a text, in a folder: in parts, and then as two texts."""

    def __init__(self, folder, teacher, source, references, beam_size, similarity):
        self.folder = folder
        self.teacher = teacher
        self.source = source
        self.references = references
        self.beam_size = beam_size
        self.similarity = similarity
        self.count = 0

    @property
    def are_whole(self) -> bool:
        """Whether both texts are written, the target last."""
        return (self.folder / "target.txt").exists()

    def check(self) -> None:
        """Checks the texts, the options, and whose answers the folder has."""
        if self.similarity not in SIMILARITIES:
            raise ValueError(
                f"similarity must be one of {', '.join(SIMILARITIES)}; received "
                f"similarity={self.similarity!r}."
            )
        if self.similarity != "bleu" and self.references is None:
            raise ValueError(
                "similarity is for references, which answers are compared with; "
                f"received similarity={self.similarity!r}, references=None."
            )
        for name in ("source", "references"):
            path = getattr(self, name)
            if path is not None and not os.path.isfile(path):
                raise FileNotFoundError(f"{name}={os.fspath(path)!r} isn't there.")
        # A blank line has no answer to learn, but is counted for references.
        blank = [not line.strip() for line in read_lines(self.source)]
        self.count = len(blank)
        if self.references is not None:
            other = sum(1 for _ in read_lines(self.references))
            if other != self.count:
                raise ValueError(
                    "references must have a line for each of source; received "
                    f"{other} for {self.count}."
                )
        if all(blank):
            raise ValueError(f"source={self.source!r} is empty: it holds no text.")
        now = self._settings()
        path = self.folder / _SETTINGS
        if not path.exists():
            return
        before = read_json(path, "the settings of a distillation")
        if now["teacher"] is None and self.are_whole:
            # It isn't needed any more.
            now["teacher"] = before.get("teacher")
        changed = [name for name in now if before.get(name) != now[name]]
        if changed:
            raise ValueError(
                f"{self.folder} holds the answers of another distillation: other are "
                f"{', '.join(changed)}. Use another folder, or the same to go on."
            )

    def _settings(self):
        """What the answers depend on."""
        if isinstance(self.teacher, Translator):
            options = json.dumps(self.teacher.search_options, default=str)
            teacher = f"{base_fingerprint(self.teacher.model)} {options}"
        else:
            if not self.are_whole:
                find_translator(self.teacher)
            teacher = initial_fingerprint(self.teacher)
        return {
            "teacher": teacher,
            "source": file_fingerprint(self.source),
            "references": self.references and file_fingerprint(self.references),
            "beam_size": self.beam_size,
            "similarity": self.similarity if self.references else None,
        }

    def write(self, verbose: int) -> None:
        """Translates what isn't translated yet, and writes the two texts."""
        teacher = self.teacher
        if not isinstance(teacher, Translator):
            teacher = open_translator(teacher)
        # Raises before the first text for options that mean nothing.
        teacher.options(**self._search(teacher))
        write_text(self.folder / _SETTINGS, json.dumps(self._settings(), indent=2))
        bar = keras.utils.Progbar(self.count, unit_name="sentence", verbose=verbose)
        parts = []
        for number, lines in enumerate(_parts(self._lines())):
            part = self.folder / f"part-{number:06d}.json"
            if not part.exists():
                sources, references = map(list, zip(*lines))
                answers = self._answers(teacher, sources, references)
                write_text(part, json.dumps([sources, answers], ensure_ascii=False))
            parts.append(part)
            bar.update(min(_PART * (number + 1), self.count))
        self._join(parts)

    def _lines(self):
        """Pairs of each source and its reference, or None."""
        references = itertools.repeat(None)
        if self.references is not None:
            references = read_lines(self.references)
        return zip(read_lines(self.source), references)

    def _search(self, teacher):
        given = {} if self.beam_size is None else {"beam_size": self.beam_size}
        if self.references is not None:
            given["num_hypotheses"] = teacher.options(**given).beam_size
        return given

    def _answers(self, teacher, sources, references):
        search = self._search(teacher)
        found = teacher.translate(sources, **search)
        if self.references is None:
            return found
        if search["num_hypotheses"] == 1:
            found = [[answer] for answer in found]
        metric = SIMILARITIES[self.similarity]()
        return [nearest(*pair, metric) for pair in zip(found, references)]

    def _join(self, parts):
        """Writes what the student reads; pairs with an empty side are left out."""
        with contextlib.ExitStack() as stack:
            # The target is the last one to get its name.
            paths = [
                stack.enter_context(written_aside(self.folder / f"{name}.txt"))
                for name in ("target", "source")
            ]
            target, source = (
                stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
                for path in paths
            )
            for part in parts:
                for pair in zip(*read_json(part, "a teacher's answers", list)):
                    one, other = (_LINE_ENDS.sub(" ", text) for text in pair)
                    if one.strip() and other.strip():
                        source.write(one + "\n")
                        target.write(other + "\n")
        for part in parts:
            part.unlink()


def nearest(answers: list[str], reference: str, metric: typing.Any) -> str:
    """The answer that is nearest to a reference, the first of equals.

    Args:
        answers: Translations of one sentence, best first.
        reference: Its translation.
        metric: A metric of sacreBLEU.
    """
    return max(answers, key=lambda a: metric.sentence_score(a, [reference]).score)


def _parts(lines):
    """Lists of `_PART` lines, the last one of fewer."""
    while part := list(itertools.islice(lines, _PART)):
        yield part
