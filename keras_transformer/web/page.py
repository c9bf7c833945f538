"""The page and the addresses that it asks."""

import base64
import hashlib
import pathlib
import re
from typing import Any

from werkzeug import Response

from keras_transformer.web.exploring import Options, takes_options, whole_number
from keras_transformer.web.limits import Limits
from keras_transformer.web.protocol import Refused, read_json
from keras_transformer.web.replies import json_response
from keras_transformer.web.servable import kind_of

_FILE = pathlib.Path(__file__).with_name("page.html")
_MOST_HYPOTHESES = 10


class Page:
    """Answers a browser.

    Args:
        catalogue: The `Catalogue` of models.
        explorer: The `Explorer`.
        limits: The `Limits`, which the page tells.
    """

    def __init__(self, catalogue: Any, explorer: Any, limits: Limits) -> None:
        self._catalogue = catalogue
        self._explorer = explorer
        self._limits = limits
        self._html = _FILE.read_text(encoding="utf-8")
        self._policy = _policy(self._html)
        self._answers = {
            "/page/translate": self._translate,
            "/page/alternatives": self._alternatives,
            "/page/attention": self._attention,
        }

    def html(self) -> Response:
        """The page itself. Only its own script and style may run in it."""
        headers = {
            "Content-Security-Policy": self._policy,
            "Cache-Control": "no-cache",
        }
        return Response(self._html, mimetype="text/html", headers=headers)

    def models(self) -> Response:
        """The table of models."""
        found = []
        for name, model in sorted(self._catalogue.models.items()):
            about = {"name": name, "versions": _versions(model)}
            if (newest := model.newest) is not None:
                servable = newest.servable
                in_memory = servable.text_model is not None
                kind = kind_of(servable)
                about |= {
                    "version": newest.number,
                    "kind": kind,
                    "signatures": sorted(servable.definitions),
                    "explains": "explain" in servable.definitions,
                    "tells_alternatives": kind == "translator"
                    and ("n_best" in servable.definitions or takes_options(servable)),
                    "takes_options": takes_options(servable),
                    "chooses_beam": kind == "translator" and in_memory,
                    "shows_attention": kind == "translator" and in_memory,
                }
            found.append(about)
        limits = {"max_characters": self._limits.max_characters}
        return json_response({"models": found, "limits": limits})

    def answer(self, path: str, body: bytes, deadline: Any) -> Response:
        """The response to a POST request of the page."""
        request = read_json(body)
        name, text = request.get("model"), request.get("text")
        if not isinstance(name, str) or not isinstance(text, str):
            raise Refused("model and text must be strings.")
        model = self._catalogue.get(name)
        return json_response(self._answers[path](name, model, text, request, deadline))

    def _translate(self, name, model, text, request, deadline):
        options = Options.read(request)
        found = self._explorer.sentences(name, model.get(), text, options, deadline)
        return {"sentences": found, "version": model.newest.number}

    def _alternatives(self, name, model, text, request, deadline):
        count = whole_number(request, "num_hypotheses", _MOST_HYPOTHESES, 4)
        options = Options.read(request)
        found = self._explorer.alternatives(
            name, model.get(), text, count, options, deadline
        )
        return {"hypotheses": found}

    def _attention(self, name, model, text, request, deadline):
        translation = request.get("translation")
        if not isinstance(translation, str):
            raise Refused("translation must be a string.")
        return self._explorer.attention(model.get(), text, translation, deadline)


def _versions(model):
    return [
        {
            "number": state["version"],
            "state": state["state"],
            "error": state["status"]["error_message"],
        }
        for state in model.status()
    ]


def _policy(html):
    """The Content-Security-Policy under which just the page's own parts run."""
    allowed = []
    for tag in ("script", "style"):
        (part,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode("utf-8")).digest())
        allowed.append(f"{tag}-src 'sha256-{digest.decode('ascii')}'")
    return "; ".join(
        [
            "default-src 'none'",
            *allowed,
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
