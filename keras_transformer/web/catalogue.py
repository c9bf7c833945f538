"""The models that are served, and their versions, which may change under way."""

import dataclasses
import os
import pathlib
import sys
import threading

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
    servable: object = None
    stamp: object = None


class Model:
    """One model: the newest of its versions that can be loaded is served.

    Args:
        name: Its name in addresses.
        folder: Folder of its versions, or of one version; None for a text model.
        text_model: A text model in memory, which is version 1.
        **joining: Arguments of `Joined`.
    """

    def __init__(self, name, folder=None, text_model=None, **joining):
        self.name = name
        self._folder = folder
        self._joining = joining
        self._versions = {}
        self._lock = threading.Lock()
        if text_model is not None:
            servable = build_servable(text_model, **joining)
            self._versions[1] = Version(1, "AVAILABLE", servable=servable)

    @property
    def newest(self):
        """The version that is served, or None."""
        available = [v for v in self._known() if v.state == "AVAILABLE"]
        return max(available, key=lambda version: version.number, default=None)

    def get(self, number=None):
        """The servable of a version, the newest by default.

        Raises:
            Refused: If it isn't available.
        """
        version = self.newest
        if version is None or number not in (None, version.number):
            which = "Latest" if number is None else "Specific"
            wanted = self.name if number is None else f"{self.name}, {number}"
            raise Refused(f"Servable not found for request: {which}({wanted})", 404)
        return version.servable

    def status(self, number=None):
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

    def refresh(self):
        """Looks for versions: loads a newer one, forgets those that are gone.

        A version that can't be loaded leaves the one before it served, and is tried
        again once its files have changed.
        """
        if self._folder is None:
            return
        found = self._found()
        for number in sorted(found, reverse=True):
            version = self._versions.get(number)
            if version and version.state == "AVAILABLE":
                break
            stamp = _stamp(found[number])
            if version is None or version.stamp != stamp:
                if self._load(number, found[number], stamp):
                    break
        if found:
            # While a file system stumbles, what is loaded stays.
            self._forget(found)

    def _forget(self, found):
        """Drops versions whose files are gone, and all but the newest available."""
        known = self._known()
        there = [v.number for v in known if v.number in found and v.servable]
        newest = max(there, default=None)
        with self._lock:
            for version in known:
                is_old = version.servable and version.number != newest
                if version.number not in found or is_old:
                    del self._versions[version.number]

    def warm_up(self):
        """Makes the first requests to the version that is served."""
        if version := self.newest:
            version.servable.warm_up()

    def _known(self):
        with self._lock:
            return [*self._versions.values()]

    def _found(self):
        if holds_graph(self._folder):
            return {version_number(self._folder.name) or 1: self._folder}
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
        **joining: Arguments of `Joined`.

    Raises:
        FileNotFoundError: If it holds no model.
        ValueError: If none of its models can be loaded.
    """

    def __init__(self, folder, **joining):
        self._joining = joining
        self._folder = None
        self.models = {}
        if not isinstance(folder, (str, os.PathLike)):
            self._add("model", folder)
            return
        path = pathlib.Path(folder)
        if path.is_dir() and find_exports(path):
            self._folder = path
            self.refresh()
            self._check_any_is_served()
        else:
            self._add(path.absolute().name, load_text_model(folder))

    def _add(self, name, text_model):
        self.models[name] = Model(name, text_model=text_model, **self._joining)

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

    def get(self, name):
        """The model of a name.

        Raises:
            Refused: If there is none.
        """
        if name not in self.models:
            raise Refused(f"Servable not found for request: Latest({name})", 404)
        return self.models[name]

    def refresh(self):
        """Picks up new models and new versions."""
        if self._folder is None:
            return
        for name, folder in find_exports(self._folder).items():
            if name not in self.models:
                self.models = {
                    **self.models,
                    name: Model(name, folder, **self._joining),
                }
        for model in self.models.values():
            model.refresh()


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
