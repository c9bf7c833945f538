"""TF Serving's REST addresses: states, metadata and predictions."""

import re
import urllib.parse

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2
from werkzeug import Response

from keras_transformer.web.asking import Asker, Deadline
from keras_transformer.web.catalogue import Catalogue
from keras_transformer.web.protocol import (
    Refused,
    read_inputs,
    read_json,
    signature_name,
)
from keras_transformer.web.replies import json_response, write_outputs

_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)",
    re.IGNORECASE,
)
_STATUS = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?:/(?P<part>metadata))?",
    re.IGNORECASE,
)


class Rest:
    """Answers requests to `/v1/...` as TF Serving's REST handler does.

    Args:
        catalogue: The `Catalogue` of models.
        asker: The `Asker`.
    """

    def __init__(self, catalogue: Catalogue, asker: Asker) -> None:
        self._catalogue = catalogue
        self._asker = asker

    def __call__(
        self, method: str, path: str, body: bytes, deadline: Deadline
    ) -> Response:
        """The response to a request.

        Args:
            method: `"GET"` or `"POST"`.
            path: The address's path, percent signs and all.
            body: Bytes.
            deadline: The request's `Deadline`.

        Raises:
            Refused: If it can't be answered.
        """
        if method == "POST" and (found := _PREDICT.fullmatch(path)):
            name, number = self._model(found)
            return self._predict(name, number, found["method"], body, deadline)
        if method in ("GET", "HEAD") and (found := _STATUS.fullmatch(path)):
            if found["name"] is None:
                raise Refused("Missing model name in request.")
            name, number = self._model(found)
            return (
                self._metadata(name, number)
                if found["part"]
                else (self._status(name, number))
            )
        raise Refused(f"Malformed request: {method} {path}")

    def _model(self, found):
        """The model's name and the version's number, or None, of an address."""
        name, number = urllib.parse.unquote(found["name"]), found["version"]
        if found["label"]:
            label = urllib.parse.unquote(found["label"])
            if name not in self._catalogue.models:
                raise Refused(f"Unrecognized servable version label: {label}")
            return name, self._catalogue.get(name).labelled(label)
        # Python converts no more than some thousand digits.
        number = number and (number.lstrip("0") or "0")
        if number is not None and int(number[:30]) >= 2**63:
            raise Refused(f"Failed to convert version: {number[:30]} to numeric.")
        return name, None if number is None else int(number)

    def _status(self, name, number):
        if name not in self._catalogue.models:
            raise Refused(f"Could not find any versions of model {name}", 404)
        states = self._catalogue.get(name).status(number)
        return json_response({"model_version_status": states}, indent=1)

    def _metadata(self, name, number):
        version = self._catalogue.get(name).find(number)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for signature, definition in version.servable.definitions.items():
            signatures.signature_def[signature].CopyFrom(definition)
        found = json_format.MessageToDict(
            signatures,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        spec = {"name": name, "signature_name": "", "version": str(version.number)}
        return json_response(
            {"model_spec": spec, "metadata": {"signature_def": found}}, indent=1
        )

    def _predict(self, name, number, method, body, deadline):
        request = read_json(body)
        signature = signature_name(request)
        servable = self._catalogue.get(name).get(number)
        if method.lower() != "predict":
            raise Refused(
                f'Expected classification or regression signature for "{signature}": '
                "this server answers :predict alone.",
            )
        if signature not in servable.definitions:
            raise Refused(
                f'Serving signature name: "{signature}" not found in signature def'
            )
        infos = servable.definitions[signature].inputs
        inputs, by_rows = read_inputs(request, infos)
        found = self._asker.ask(name, servable, signature, inputs, deadline)
        return Response(write_outputs(found, by_rows), mimetype="application/json")
