"""LibreTranslate's API: `POST /translate` and `GET /languages`.

Reference: [LibreTranslate](https://docs.libretranslate.com).
"""

import re
from typing import Any

import babel
import numpy as np
import tensorflow as tf

from keras_transformer.web.asking import Asker, Deadline
from keras_transformer.web.exploring import Options
from keras_transformer.web.protocol import Refused, read_json
from keras_transformer.web.servable import kind_of

# "opus-mt-en-de", "en-de", "en_fr", "wmt.zh-en"
_PAIR = re.compile(r"(?:.*[-_.])?([A-Za-z]{2,3})[-_]([A-Za-z]{2,3})")
# The code of a language that isn't known, by ISO 639.
UNDETERMINED = "und"
_MOST_ALTERNATIVES = 9


def language_pair(name: str) -> tuple[str, str]:
    """The languages of a model, by its name.

    A name that ends in two languages' codes, `"opus-mt-en-de"`, has these. Of another
    one the source is `"und"`, any language, and the name is the target's code.
    """
    found = _PAIR.fullmatch(name)
    if found:
        source, target = found[1].lower(), found[2].lower()
        if _language(source) and _language(target):
            return source, target
    return UNDETERMINED, name


def _language(code):
    try:
        return babel.Locale.parse(code).english_name
    except (babel.UnknownLocaleError, ValueError):
        return None


class LibreTranslate:
    """Answers LibreTranslate's clients.

    Args:
        catalogue: The `Catalogue` of models.
        asker: The `Asker`.
        explorer: The `Explorer`.
    """

    def __init__(self, catalogue: Any, asker: Asker, explorer: Any) -> None:
        self._catalogue = catalogue
        self._asker = asker
        self._explorer = explorer

    def languages(self) -> list[dict[str, Any]]:
        """Each language with the codes that it is translated to."""
        targets: dict[str, set[str]] = {}
        for source, target in map(language_pair, self._translators()):
            targets.setdefault(source, set()).add(target)
            targets.setdefault(target, set())
        names = {UNDETERMINED: "Any language"}
        return [
            {
                "code": code,
                "name": names.get(code) or _language(code) or code,
                "targets": sorted(found),
            }
            for code, found in sorted(targets.items())
        ]

    def translate(self, request: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        """The answer to a request.

        Args:
            request: Dict of `q`, `source`, `target`, and maybe `format` and
                `alternatives`.
            deadline: The request's `Deadline`.
        """
        for name in ("q", "source", "target"):
            if request.get(name) in (None, "") and not (name == "q" and "q" in request):
                raise Refused(f"Invalid request: missing {name} parameter")
        if request.get("format", "text") not in ("text", "", None):
            raise Refused(
                f"format must be text; received {request['format']!r}: markup would "
                "be translated as if it were text."
            )
        count = _alternatives(request)
        model = self._model(request["source"], request["target"])
        texts = request["q"] if isinstance(request["q"], list) else [request["q"]]
        if not all(isinstance(text, str) for text in texts):
            raise Refused("q must be a string or a list of strings.")
        self._asker.check_texts(texts)
        servable = model.get()
        answers = [self._answer(model, servable, text, deadline) for text in texts]
        found = {"translatedText": answers}
        if count:
            found["alternatives"] = [
                self._others(model, servable, text, answer, count, deadline)
                for text, answer in zip(texts, answers)
            ]
        if request["source"] == "auto":
            source, _ = language_pair(model.name)
            detected = {"language": source, "confidence": 0}
            found["detectedLanguage"] = [detected] * len(texts)
        if not isinstance(request["q"], list):
            found = {name: value[0] for name, value in found.items()}
        return found

    def _answer(self, model, servable, text, deadline):
        """A text's translation, sentence by sentence, white space kept."""
        if inputs := _document_inputs(servable, text):
            found = self._asker.ask(model.name, servable, "document", inputs, deadline)
            return found["translation"][0].decode("utf-8", "replace")
        sentences = self._explorer.sentences(
            model.name, servable, text, Options(), deadline
        )
        end = text[len(text.rstrip()) :] if sentences else text
        return "".join(s["before"] + s["translation"] for s in sentences) + end

    def _others(self, model, servable, text, answer, count, deadline):
        if not text.strip():
            return []
        found = self._explorer.alternatives(
            model.name, servable, text, count + 1, Options(), deadline
        )
        others = [each["text"] for each in found if each["text"] != answer]
        return others[:count]

    def _translators(self):
        """Names of the models that translate and are there."""
        return [
            name
            for name, model in sorted(self._catalogue.models.items())
            if model.newest is not None and kind_of(model.get()) == "translator"
        ]

    def _model(self, source, target):
        for name in self._translators():
            own_source, own_target = language_pair(name)
            fits = source in (own_source, "auto") or own_source == UNDETERMINED
            if fits and target == own_target:
                return self._catalogue.get(name)
        raise Refused(
            f"{source} to {target} is not supported: GET /languages lists what is."
        )


def _document_inputs(servable, text):
    """The inputs of the signature `document`, or None if there is no such signature."""
    definition = servable.definitions.get("document")
    if definition is None or "translation" not in definition.outputs:
        return None
    inputs = {n: tf.make_ndarray(v) for n, v in definition.defaults.items()}
    inputs["text"] = np.array([text.encode("utf-8", "replace")], object)
    return inputs if set(inputs) == set(definition.inputs) else None


def read_form_or_json(request: Any) -> dict[str, Any]:
    """The fields of a LibreTranslate request, which may be a form."""
    body = request.get_data()
    # curl says "form" of whatever it sends.
    if "form" in request.mimetype and not body.lstrip().startswith(b"{"):
        form = request.form.to_dict(flat=False)
        found = {name: v if len(v) > 1 else v[0] for name, v in form.items()}
        if re.fullmatch("[0-9]{1,9}", str(found.get("alternatives"))):
            found["alternatives"] = int(found["alternatives"])
        return found
    return read_json(body)


def _alternatives(request):
    count = request.get("alternatives")
    count = 0 if count in (None, "") else count
    is_whole = isinstance(count, int) and not isinstance(count, bool)
    if not is_whole or not 0 <= count <= _MOST_ALTERNATIVES:
        raise Refused(
            f"alternatives must be from 0 to {_MOST_ALTERNATIVES}; "
            f"received {request['alternatives']!r}."
        )
    return count
