"""The models that are served, and their versions, which may change under way."""

import dataclasses
import os
import pathlib
import re
import sys
import threading
from collections.abc import Mapping
from typing import Any

from keras_transformer import arguments
from keras_transformer.web.loading import (
    find_exports,
    holds_graph,
    load_text_model,
    version_number,
    versions_in,
)
from keras_transformer.web.protocol import Refused
from keras_transformer.web.servable import build_servable, load_export


@dataclasses.dataclass
class Version:
    """The state of one version, as TF Serving tells it.

    Args:
        number: Its number.
        state: `"LOADING"`, `"AVAILABLE"` or `"END"`.
        error: Why it couldn't be loaded, or `""`.
        servable: Its `Servable`, while it is available.
        stamp: What its files looked like when they were read.
    """

    number: int
    state: str = "LOADING"
    error: str = ""
    servable: Any = None
    stamp: object = None


class Model:
    """One model: the newest of its versions that can be loaded is served.

    Args:
        name: Its name in addresses.
        folder: Folder of its versions, or of one version; None for a text model.
        text_model: A text model in memory, which is version 1.
        labels: Dict of versions by label; they are served beside the newest.
        **joining: Arguments of `Joined`.
    """

    def __init__(
        self,
        name: str,
        folder: pathlib.Path | None = None,
        text_model: Any = None,
        labels: Mapping[str, int] | None = None,
        **joining: Any,
    ) -> None:
        self.name = name
        self._labels = dict(labels or {})
        self._folder = folder
        self._joining = joining
        self._versions = {}
        self._lock = threading.Lock()
        if text_model is not None:
            servable = build_servable(text_model, **joining)
            self._versions[1] = Version(1, "AVAILABLE", servable=servable)

    @property
    def newest(self) -> Version | None:
        """The version that is served, or None."""
        available = [v for v in self._known() if v.state == "AVAILABLE"]
        return max(available, key=lambda version: version.number, default=None)

    def find(self, number: int | None = None, label: str | None = None) -> Version:
        """The version of a number or a label, by default the newest.

        Raises:
            Refused: If it isn't available.
        """
        if label is not None:
            number = self.labelled(label)
        newest = self.newest
        for version in self._known() if number is not None else ():
            if (version.number, version.state) == (number, "AVAILABLE"):
                return version
        if number is not None or newest is None:
            which = "Latest" if number is None else "Specific"
            wanted = self.name if number is None else f"{self.name}, {number}"
            raise Refused(f"Servable not found for request: {which}({wanted})", 404)
        return newest

    def get(self, number: int | None = None, label: str | None = None) -> Any:
        """The servable of `find`."""
        return self.find(number, label).servable

    def labelled(self, label: str) -> int:
        """The number that a label stands for.

        Raises:
            Refused: If there is no such label.
        """
        if label not in self._labels:
            raise Refused(f"Unrecognized servable version label: {label}")
        return self._labels[label]

    def check_labels(self) -> None:
        """Raises a ValueError if a label's version isn't available."""
        there = {v.number for v in self._known() if v.state == "AVAILABLE"}
        for label, number in self._labels.items():
            if number not in there:
                raise ValueError(
                    f"labels: {self.name} has no version {number} for {label!r}; it "
                    f"has {', '.join(map(str, sorted({*there, *self._found()})))}."
                )

    def status(self, number: int | None = None) -> list[dict[str, Any]]:
        """The versions' states, newest first: dicts as the server's answers.

        Raises:
            Refused: If there is no such version.
        """
        found = [v for v in self._known() if number in (None, v.number)]
        if not found:
            which = "any versions" if number is None else f"version {number}"
            raise Refused(f"Could not find {which} of model {self.name}", 404)
        return [
            {
                "version": str(version.number),
                "state": version.state,
                "status": {
                    "error_code": "DATA_LOSS" if version.error else "OK",
                    "error_message": version.error,
                },
            }
            for version in sorted(found, key=lambda v: -v.number)
        ]

    def refresh(self) -> None:
        """Looks for versions: loads a newer one, forgets those that are gone.

        A version that can't be loaded leaves the one before it served, and is tried
        again once its files have changed.
        """
        if self._folder is None:
            return
        found = self._found()
        for number in sorted(found, reverse=True):
            if self._is_served(number, found[number]):
                break
        for number in {*self._labels.values()} & {*found}:
            self._is_served(number, found[number])
        if found:
            # While a file system stumbles, what is loaded stays.
            self._forget(found)

    def _is_served(self, number, path):
        """Whether a version is available, after a try if its files are new."""
        version = self._versions.get(number)
        if version and version.state == "AVAILABLE":
            return True
        stamp = _stamp(path)
        is_new = version is None or version.stamp != stamp
        return is_new and self._load(number, path, stamp)

    def _forget(self, found):
        """Drops versions whose files are gone, and those that none asks for."""
        known = self._known()
        there = [v.number for v in known if v.number in found and v.servable]
        kept = {max(there, default=None), *self._labels.values()}
        with self._lock:
            for version in known:
                is_old = version.servable and version.number not in kept
                if version.number not in found or is_old:
                    del self._versions[version.number]

    def warm_up(self) -> None:
        """Makes the first requests to the version that is served."""
        if version := self.newest:
            version.servable.warm_up()

    def _known(self):
        with self._lock:
            return [*self._versions.values()]

    def _found(self):
        if self._folder is None:
            return {}
        if holds_graph(self._folder):
            number = version_number(self._folder.name)
            return {1 if number is None else number: self._folder}
        return versions_in(self._folder)

    def _load(self, number, path, stamp):
        version = Version(number, stamp=stamp)
        with self._lock:
            self._versions[number] = version
        try:
            version.servable = load_export(path, **self._joining)
            if self.newest:
                # Users are with the old one until this is as quick.
                version.servable.warm_up()
        except Exception as error:
            # Whatever is wrong with it, the others go on.
            is_told = isinstance(error, ValueError)
            words = str(error) if is_told else f"an error ({type(error).__name__})"
            version.error, version.state = words, "END"
            serving = self.newest
            rest = f"; version {serving.number} goes on" if serving else ""
            print(
                f"{self.name}: version {number} can't be served: {words}{rest}.",
                file=sys.stderr,
                flush=True,
            )
            return False
        version.state = "AVAILABLE"
        print(f"{self.name}: version {number} is served.", flush=True)
        return True


class Catalogue:
    """All models of a folder.

    Args:
        folder: See `serve`; or a text model.
        labels: See `serve`.
        **joining: Arguments of `Joined`.

    Raises:
        FileNotFoundError: If it holds no model.
        ValueError: If none of its models can be loaded, or there is no such version as
            a label stands for.
    """

    def __init__(
        self, folder: Any, labels: Mapping[str, int] | None = None, **joining: Any
    ) -> None:
        self._labels = _read_labels(labels or {})
        self._joining = joining
        self._folder = None
        self.models: dict[str, Model] = {}
        if not isinstance(folder, (str, os.PathLike)):
            self._add("model", folder)
            self._check_labels()
            return
        path = pathlib.Path(folder)
        if path.is_dir() and find_exports(path):
            self._folder = path
            self.refresh()
            self._check_any_is_served()
        else:
            self._add(path.absolute().name, load_text_model(folder))
        self._check_labels()

    def _add(self, name, text_model):
        self.models[name] = self._model(name, text_model=text_model)

    def _model(self, name, **source):
        labels = {
            label: number
            for (model, label), number in self._labels.items()
            if model in ("", name)
        }
        return Model(name, labels=labels, **source, **self._joining)

    def _check_labels(self):
        for (model, label), _ in self._labels.items():
            if model and model not in self.models:
                raise ValueError(
                    f"labels: there is no model {model!r} for '{model}:{label}'; the "
                    f"models are {', '.join(sorted(self.models))}."
                )
        for model in self.models.values():
            model.check_labels()

    def _check_any_is_served(self):
        if not any(model.newest for model in self.models.values()):
            errors = [
                f"{model.name}: {state['status']['error_message']}"
                for model in self.models.values()
                for state in model.status()
            ]
            raise ValueError(
                f"folder={str(self._folder)!r} holds no model that can be loaded: "
                f"{'; '.join(errors)}. keras-transformer doctor says more of each."
            )

    def get(self, name: str) -> Model:
        """The model of a name.

        Raises:
            Refused: If there is none.
        """
        if name not in self.models:
            raise Refused(f"Servable not found for request: Latest({name})", 404)
        return self.models[name]

    def refresh(self) -> None:
        """Picks up new models and new versions."""
        if self._folder is None:
            return
        for name, folder in find_exports(self._folder).items():
            if name not in self.models:
                model = self._model(name, folder=folder)
                self.models = {**self.models, name: model}
        for model in self.models.values():
            model.refresh()


def _read_labels(labels):
    """Versions by label, `"LABEL"` or `"MODEL:LABEL"` -> by model, or `""`, and label.

    Raises:
        ValueError: For what is no label, or no version's number.
        TypeError: For a number that is no integer.
    """
    found = {}
    for key, number in labels.items():
        if not isinstance(key, str) or not re.fullmatch("([^/:]+:)?[^/:]+", key):
            raise ValueError(
                "labels must be versions by 'LABEL' or 'MODEL:LABEL', without a '/'; "
                f"received {key!r}."
            )
        model, _, label = key.rpartition(":")
        found[model, label] = arguments.integer(f"labels[{key!r}]", number)
    return found


def _stamp(path):
    """What a folder's files look like: a value that changes when they do."""
    found = []
    for file in sorted(path.rglob("*")):
        try:
            state = file.stat()
        except OSError:
            continue
        found.append((str(file), state.st_size, state.st_mtime_ns))
    return found
