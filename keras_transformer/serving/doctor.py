"""What would stop a SavedModel in the stock server."""

import os

from keras_transformer.serving.checks.finding import FAILS, SEVERITIES, Finding
from keras_transformer.serving.checks.folders import (
    find_version,
    read_version,
    unreadable,
)
from keras_transformer.serving.checks.graph import (
    check_operations,
    check_processor,
    check_xla,
)
from keras_transformer.serving.checks.interface import batching_notes, check_signatures
from keras_transformer.serving.checks.load import check_load
from keras_transformer.serving.checks.stored import check_assets, check_variables
from keras_transformer.serving.checks.warmup_file import check_warmup

CHECKS = (
    check_variables,
    check_assets,
    check_operations,
    check_processor,
    check_xla,
    check_signatures,
    check_warmup,
)


def diagnose(path: str | os.PathLike, *, load: bool = False) -> list[Finding]:
    """Reads any SavedModel and says what would stop or slow it in stock TF Serving.

    Args:
        path: Folder of one version of a model, or the folder of its versions, of which
            the newest is read.
        load: Whether to load it too, in a process of its own, and ask each signature:
            by the warm-up's requests, or by one that is made up.

    Returns:
        A list of findings, the worst first; empty if none was found. Each is a string,
        a problem and the way out, and has a `severity`: "stops the load", "fails
        requests" or "advice".

    Raises:
        FileNotFoundError: If the folder holds no SavedModel.

    Example:

    >>> kt.serving.diagnose("saved_models/en-de")
    []
    """
    folder, findings = find_version(path)
    if folder is None:
        return findings
    version, problems = read_version(folder)
    findings += problems
    if version is None:
        return findings
    for check in (*CHECKS, check_load) if load else CHECKS:
        try:
            findings += check(version)
        except OSError as error:
            findings.append(unreadable(error))
        except Exception as error:
            # Of files from anywhere: what nobody thought of is a finding, no traceback.
            words = f"{type(error).__name__}: {error}".splitlines()[0]
            findings.append(
                Finding(FAILS, f"{folder} can't be looked through ({words}).")
            )
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def serving_notes(path: str | os.PathLike) -> list[str]:
    """What holds of a sound model too, on a server that joins requests.

    Args:
        path: See `diagnose`.

    Returns:
        A list of strings; empty if there is no graph to read.
    """
    folder, _ = find_version(path)
    version = read_version(folder)[0] if folder else None
    return batching_notes(version) if version else []
