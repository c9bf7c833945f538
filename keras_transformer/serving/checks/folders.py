"""Which folder the server takes for a model's version, and the file that it reads."""

import os
import pathlib
import re

from google.protobuf import message, text_format

from keras_transformer.serving.checks.finding import ADVICE, STOPS, Finding, Version

_FILES = ("saved_model.pb", "saved_model.pbtxt")


def version_number(name: str) -> int | None:
    """A folder's name as the server reads it: its number, or None."""
    if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", name, re.ASCII):
        return None
    number = int(name)
    return number if -(2**63) <= number < 2**63 else None


def find_version(path: str | os.PathLike) -> tuple[pathlib.Path | None, list[Finding]]:
    """The folder of the version that the server would load.

    Args:
        path: Folder of a version, or of a model's versions.

    Returns:
        The folder, or None if there is none that can be read on, and a list of
        findings.

    Raises:
        FileNotFoundError: If there is no SavedModel, nor a part of one.
    """
    # Not resolved: a link's own name is what the server reads.
    path = pathlib.Path(os.path.abspath(path))
    try:
        return _find(path)
    except PermissionError as error:
        return None, [unreadable(error)]


def unreadable(error: OSError) -> Finding:
    """What an error of the file system means for the server."""
    return _stops(
        f"{error.filename} can't be read ({error.strerror}). The server can't read it "
        "either, if it runs as this user."
    )


def _find(path):
    if not path.is_dir():
        raise FileNotFoundError(f"{path} isn't a folder, so it holds no SavedModel.")
    children = sorted(path.iterdir())
    versions = [child for child in children if version_number(child.name) is not None]
    whole = [child for child in children if _holds_model(child)]
    if _holds_model(path) and not set(versions) & set(whole):
        return path, list(_name_findings(path))
    if versions:
        return _newest(path, versions, whole)
    named = [child for child in whole if not child.name.startswith("writing-")]
    if named:
        return named[-1], list(_name_findings(named[-1]))
    if version_number(path.name) is not None and children:
        return None, [_half_written(path)]
    raise FileNotFoundError(
        f"{path} holds no SavedModel: no saved_model.pb in it, nor in a folder whose "
        f"name is a number.{_way_out(children)}"
    )


def read_version(path: pathlib.Path) -> tuple[Version | None, list[Finding]]:
    """The version in a folder.

    Returns:
        A `Version`, or None if the server can't read it, and a list of findings.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        file = next(path / name for name in _FILES if (path / name).exists())
        data = file.read_bytes()
        if file.suffix == ".pb":
            saved = saved_model_pb2.SavedModel.FromString(data)
        else:
            saved = text_format.Parse(data, saved_model_pb2.SavedModel())
    except OSError as error:
        return None, [unreadable(error)]
    except (message.DecodeError, text_format.ParseError, UnicodeDecodeError):
        return None, [
            _stops(f"{file} is cut short, or no SavedModel: copy or export it anew.")
        ]
    if not saved.meta_graphs:
        return None, [
            _stops(f"{file} has no graph: it is empty or was cut. Copy it anew.")
        ]
    tags = [list(graph.meta_info_def.tags) for graph in saved.meta_graphs]
    if ["serve"] not in tags:
        return None, [
            _stops(
                'No graph has the tag "serve", and no other: the server asks for just '
                f"that one; found {tags}. Save the model with tf.saved_model.save."
            )
        ]
    return Version(path, saved.meta_graphs[tags.index(["serve"])]), []


def _newest(path, versions, whole):
    newest = max(versions, key=lambda child: version_number(child.name))
    findings = list(_name_findings(newest))
    if _holds_model(path):
        findings.append(
            _advice(f"The server passes over {path}'s own files, beside its versions.")
        )
    for child in sorted(set(whole) - set(versions)):
        way_out = "Give it a number if it should be served, or take it away."
        if child.name.startswith("writing-"):
            way_out = "It is an export under way, or one that was stopped: delete that."
        findings.append(
            _advice(f"The server passes over {child}, no version by name. {way_out}")
        )
    numbers = [version_number(child.name) for child in versions]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        findings.append(
            _advice(
                f"Several folders have the same number, {twice}: the server takes one "
                "of them. Rename the others."
            )
        )
    if newest in whole:
        return newest, findings
    return None, [*findings, _half_written(newest)]


def _half_written(path):
    what = "has no saved_model.pb" if path.is_dir() else "is no folder"
    if path.is_dir():
        # Raises an error where that can't be told.
        (path / _FILES[0]).exists()
    return _stops(
        f"Version {path} {what}: the server tries to load it, as it is the newest. "
        "Delete it, or copy it anew: to another name first, then rename it."
    )


def _name_findings(path):
    number = version_number(path.name)
    if number is None:
        yield _stops(
            f"The folder's name is {path.name!r}, but the server looks for versions, "
            f"whose names are numbers: move the model to {path / '1'} and serve "
            f"{path}, or rename it to 1 and serve {path.parent}."
        )
    elif number < 0:
        yield _advice(
            f"The version's number is {path.name}: no request by REST can ask for it. "
            "Name versions 1, 2, 3 ..."
        )


def _way_out(children):
    patterns = [f"*/{name}" for name in _FILES]
    models = [
        child
        for child in children
        if any(True for pattern in patterns for _ in child.glob(pattern))
    ]
    return f" It holds models: give one of them, {models[0]}." if models else ""


def _holds_model(path):
    try:
        return any((path / name).is_file() for name in _FILES)
    except PermissionError:
        return False


def _stops(words):
    return Finding(STOPS, words)


def _advice(words):
    return Finding(ADVICE, words)
