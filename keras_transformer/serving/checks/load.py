"""Loads a version as the server does, in a process of its own, and asks it."""

import base64
import subprocess
from collections.abc import Iterator

from keras_transformer.serving.checks.finding import FAILS, STOPS, Finding, Version
from keras_transformer.serving.checks.request import (
    batching_problem,
    request_problem,
    sample_request,
)
from keras_transformer.serving.clean_process import try_in_clean_process
from keras_transformer.serving.warmup import read_logs


def check_load(version: Version, timeout: float = 600) -> Iterator[Finding]:
    """Loads it through the session API, and asks each signature.

    Requests are those of the warm-up; signatures without any get one that is made up.
    Those that XLA must compile aren't asked: here they would be answered.
    """
    requests = list(_requests(version))
    try:
        report = try_in_clean_process(
            version.path,
            [(name, inputs) for name, inputs, _ in requests],
            timeout,
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            STOPS, f"{version.path} isn't loaded and asked within {timeout} seconds."
        )
        return
    if "load" in report:
        yield Finding(STOPS, f"It can't be loaded: {report['load']}")
    answered = report["answered"]
    for (name, _, played), problem in zip(requests, answered):
        if problem:
            kind, what = (
                (STOPS, "A request of the warm-up")
                if played
                else (FAILS, "A request that was made up")
            )
            yield Finding(kind, f"{name}: {what} fails: {problem}")
    if report["code"]:
        name = requests[len(answered)][0] if len(answered) < len(requests) else None
        when = f"is asked {name}" if "loaded" in report else "loads it"
        yield Finding(
            FAILS if "loaded" in report else STOPS,
            f"A process that {when} ends with code {report['code']}. {report['words']}",
        )


def _requests(version):
    """Triples of a signature, its serialized inputs, and whether the warm-up has it."""
    asked = set()
    try:
        logs = read_logs(version.path)
    except ValueError:
        logs = []
    for log in logs:
        request = log.predict_log.request
        name = request.model_spec.signature_name or "serving_default"
        if request_problem(request, version.signatures):
            continue
        if batching_problem(request, version.signatures):
            continue
        if name not in version.xla_signatures:
            asked.add(name)
            yield name, _serialized(request.inputs), True
    for name, signature in version.signatures.items():
        if name not in asked and name not in version.xla_signatures:
            try:
                inputs = sample_request(signature)
            except (TypeError, ValueError):
                # Of a dtype that no request can hold, which is a finding already.
                continue
            yield name, _serialized(inputs), False


def _serialized(inputs):
    return {
        name: base64.b64encode(value.SerializeToString()).decode("ascii")
        for name, value in inputs.items()
    }
