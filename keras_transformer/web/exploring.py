"""What the page shows of a text: its sentences, words, alternatives and attention."""

import dataclasses
import threading
from typing import Any, Self

import numpy as np
import tensorflow as tf
from keras import ops

from keras_transformer.tasks.translator import Translator
from keras_transformer.web.asking import Asker, Deadline
from keras_transformer.web.explanations import (
    by_words,
    explained,
    ids_of,
    in_words,
    rows_of_explain,
    sentences_of,
)
from keras_transformer.web.protocol import Refused
from keras_transformer.web.servable import Servable
from keras_transformer.web.words import words_of

_MOST_BEAMS = 16
_MOST_LENGTH = 1024
# Sentences of a text that are answered together.
_SENTENCES = 32


@dataclasses.dataclass(frozen=True)
class Options:
    """What a user of the page may choose; None for the model's own.

    Args:
        beam_size: Number of hypotheses followed, for text models in memory.
        max_length: Most tokens of an answer.
        target_prefix: What the first sentence's answer begins with.
    """

    beam_size: int | None = None
    max_length: int | None = None
    target_prefix: str = ""

    @classmethod
    def read(cls, request: dict[str, Any]) -> Self:
        """The options of a request, a dict from JSON.

        Raises:
            Refused: For values out of range.
        """
        prefix = request.get("target_prefix") or ""
        if not isinstance(prefix, str):
            raise Refused(f"target_prefix must be a string; received {prefix!r}.")
        return cls(
            whole_number(request, "beam_size", _MOST_BEAMS),
            whole_number(request, "max_length", _MOST_LENGTH),
            prefix,
        )


def whole_number(
    request: dict[str, Any], name: str, most: int, default: int | None = None
) -> int | None:
    """A number of a request, from 1 to `most`; or the default.

    Raises:
        Refused: For anything else.
    """
    value = request.get(name)
    if value is None:
        return default
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not 1 <= value <= most:
        raise Refused(f"{name} must be from 1 to {most}; received {value!r}.")
    return value


class Explorer:
    """Answers the page.

    Args:
        asker: The `Asker`.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        # Keras traces and keeps functions of a model where it is called.
        self._lock = threading.Lock()

    def sentences(
        self,
        name: str,
        servable: Servable,
        text: str,
        options: Options,
        deadline: Deadline,
    ) -> list[dict[str, Any]]:
        """A text's sentences with their translations, word for word.

        Args:
            name: The model's name.
            servable: Its `Servable`.
            text: A string, one sentence or many.
            options: `Options`.
            deadline: The request's `Deadline`.

        Returns:
            A list of dicts, one a sentence: `before`, the white space before it;
            `source`, its words; `translation`, `words` of that, with `log_prob` and
            `from`, the numbers of source words; and `truncated`. Words are dicts of
            `text` and `after`. Where nothing explains an answer, its `words` have
            neither.
        """
        self._asker.check_texts([text])
        found = [
            {"before": before, "text": source} for before, source in sentences_of(text)
        ]
        for start in range(0, len(found), _SENTENCES):
            part = found[start : start + _SENTENCES]
            texts = [sentence["text"] for sentence in part]
            answers = self._answers(name, servable, texts, options, deadline)
            for sentence, answer in zip(part, answers):
                sentence.update(in_words(sentence.pop("text"), answer))
            # It begins the first sentence alone.
            options = dataclasses.replace(options, target_prefix="")
        return found

    def alternatives(
        self,
        name: str,
        servable: Servable,
        text: str,
        count: int,
        options: Options,
        deadline: Deadline,
    ) -> list[dict[str, Any]]:
        """The best answers to a sentence, best first: dicts of `text` and `score`."""
        self._asker.check_texts([text])
        if isinstance(servable.text_model, Translator) and options.beam_size:
            beam = max(options.beam_size, count)
            options = dataclasses.replace(options, beam_size=beam)
            texts, scores = self._translate(
                servable, [text], options, deadline, num_hypotheses=count
            )
            texts, scores = (texts[0], scores[0]) if count > 1 else (texts, scores)
        elif takes_options(servable):
            found = self._with_options(name, servable, [text], options, deadline, count)
            own = min(count, found["scores"].shape[1])
            if "num_hypotheses" in found:
                own = found["num_hypotheses"][0]
            texts = [t.decode("utf-8", "replace") for t in found["translations"][0]]
            texts, scores = texts[:own], found["scores"][0].tolist()[:own]
        elif "n_best" in servable.definitions and options == Options():
            found = self._ask(name, servable, "n_best", [text], deadline)
            texts = [t.decode("utf-8", "replace") for t in found["translations"][0]]
            scores = found["scores"][0].tolist()[:count]
        else:
            raise Refused("This model tells no alternatives.")
        return [
            {"text": text, "score": round(float(score), 4)}
            for text, score in zip(texts, scores)
        ]

    def attention(
        self, servable: Servable, text: str, translation: str, deadline: Deadline
    ) -> dict[str, Any]:
        """Where each word of an answer looked, by block and head.

        Returns:
            A dict: `source` and `words`, lists of strings; and `heads`, nested lists
            `[block][head][word][source word]` of weights.
        """
        if not isinstance(servable.text_model, Translator):
            raise Refused(
                "Attention needs a run or a translator: an export doesn't tell it."
            )
        self._asker.check_texts([text, translation])
        with self._held(deadline):
            source_ids, target_ids, source, tokens = ids_of(
                servable.text_model, text, translation
            )
            start = servable.text_model.target_tokenizer.start_id
            shifted = np.concatenate([[[start]], target_ids[:, :-1]], axis=1)
            cross = servable.text_model.model.attention_scores(source_ids, shifted)
            blocks = [
                ops.convert_to_numpy(ops.cast(block, "float32"))[0]
                for block in cross["cross"]
            ]
        read, written = words_of(text, source), words_of(translation, tokens)
        return {
            "source": [word["text"] for word in read],
            "words": [word["text"] for word in written],
            "heads": [
                [by_words(head, written, read) for head in block] for block in blocks
            ],
        }

    def _answers(self, name, servable, texts, options, deadline):
        """Each text's answer: a dict of its `translation` and what explains it."""
        explains = "explain" in servable.definitions
        if options == Options():
            if not explains:
                return self._plain(name, servable, texts, deadline)
            found = self._ask(name, servable, "explain", texts, deadline)
            return rows_of_explain(found)
        if isinstance(servable.text_model, Translator):
            answers, _ = self._translate(servable, texts, options, deadline)
            with self._held(deadline):
                return [
                    explained(servable.text_model, text, answer)
                    for text, answer in zip(texts, answers)
                ]
        if options.beam_size is not None:
            raise Refused("beam_size can't be changed in an export.")
        found = self._with_options(name, servable, texts, options, deadline, 1)
        answers = [
            {"translation": row[0].decode("utf-8", "replace")}
            for row in found["translations"]
        ]
        if explains:
            # An export explains the answer of its own options alone.
            found = self._ask(name, servable, "explain", texts, deadline)
            for row, default in enumerate(rows_of_explain(found)):
                if answers[row]["translation"] == default["translation"]:
                    answers[row] = default
        return answers

    def _plain(self, name, servable, texts, deadline):
        """Answers of models that explain none: their first output of strings."""
        found = self._ask(name, servable, "serving_default", texts, deadline)
        for key in ("translation", "generated", "label"):
            if key in found:
                break
        else:
            raise Refused(
                "This model answers with no text; ask it by its REST address."
            )
        answers = [{"translation": t.decode("utf-8", "replace")} for t in found[key]]
        for row, answer in enumerate(answers):
            if key == "label":
                answer["scores"] = [round(float(s), 4) for s in found["scores"][row]]
            answer["truncated"] = bool(
                found.get("truncated", [False] * len(texts))[row]
            )
        return answers

    def _with_options(self, name, servable, texts, options, deadline, count):
        if not takes_options(servable):
            raise Refused("This model takes no options.")
        prefixes = [options.target_prefix, *[""] * (len(texts) - 1)]
        if "with_options" not in servable.definitions:
            definition = servable.definitions["translate"]
            penalty = tf.make_ndarray(definition.defaults["length_penalty"])
            inputs = {
                "text": _strings(texts),
                "target_prefix": _strings(prefixes),
                "num_hypotheses": np.full(len(texts), count, "int32"),
                "length_penalty": np.repeat(penalty, len(texts)),
                "max_length": np.full(len(texts), options.max_length or 0, "int32"),
            }
            return self._asker.ask(name, servable, "translate", inputs, deadline)
        words = f"num_hypotheses={count}"
        if options.max_length:
            words += f" max_length={options.max_length}"
        rows = [
            f"{words} target_prefix={prefix}" if prefix else words
            for prefix in prefixes
        ]
        return self._ask(name, servable, "with_options", texts, deadline, options=rows)

    def _ask(self, name, servable, signature, texts, deadline, **inputs):
        inputs = {
            key: _strings(values) for key, values in {"text": texts, **inputs}.items()
        }
        return self._asker.ask(name, servable, signature, inputs, deadline)

    def _translate(self, servable, texts, options, deadline, num_hypotheses=1):
        prefix = None
        if options.target_prefix:
            prefix = [options.target_prefix, *[""] * (len(texts) - 1)]
        with self._held(deadline):
            try:
                return servable.text_model.translate(
                    texts,
                    beam_size=options.beam_size,
                    max_length=options.max_length,
                    num_hypotheses=num_hypotheses,
                    return_scores=True,
                    target_prefix=prefix,
                )
            except ValueError as error:
                raise Refused(str(error)) from error

    def _held(self, deadline):
        return _Held(self._lock, deadline)


class _Held:
    """A lock, with a deadline."""

    def __init__(self, lock, deadline):
        self._lock, self._deadline = lock, deadline

    def __enter__(self):
        if not self._lock.acquire(timeout=self._deadline.left):
            raise self._deadline.refused()

    def __exit__(self, *_):
        self._lock.release()


def takes_options(servable: Servable) -> bool:
    """Whether requests to a translator may choose options."""
    definitions = servable.definitions
    if "with_options" in definitions:
        return "translations" in definitions["with_options"].outputs
    # Exports of before `with_options`.
    return "translate" in definitions and "length_penalty" in (
        definitions["translate"].defaults
    )


def _strings(values):
    found = np.empty(len(values), object)
    found[:] = [value.encode("utf-8", "replace") for value in values]
    return found
