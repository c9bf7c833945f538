"""The warm-up: a request that fails there keeps the server from loading the model."""

from collections.abc import Iterator

from keras_transformer.serving.checks.finding import ADVICE, STOPS, Finding, Version
from keras_transformer.serving.checks.request import (
    batching_problem,
    request_problem,
)
from keras_transformer.serving.warmup import MOST_REQUESTS, read_logs

_THEN = (
    "The server doesn't load a model whose warm-up fails, and tries again and again. "
    "Write requests that it answers with kt.serving.write_warmup"
)


def check_warmup(version: Version) -> Iterator[Finding]:
    """The file, and each request in it against the signatures."""
    try:
        logs = read_logs(version.path)
    except ValueError as error:
        yield Finding(STOPS, f"Warm-up: {error} {_THEN}.")
        return
    if not logs:
        yield Finding(
            ADVICE,
            "No warm-up: the first request will be slow. Write requests to "
            "assets.extra with kt.serving.write_warmup.",
        )
    if len(logs) > MOST_REQUESTS:
        yield Finding(
            STOPS,
            f"The warm-up has {len(logs)} requests, and the server reads "
            f"{MOST_REQUESTS}. {_THEN}.",
        )
    problems: dict[str, int] = {}
    compiled = set()
    for number, log in enumerate(logs):
        kind = log.WhichOneof("log_type")
        if kind in ("classify_log", "regress_log", "multi_inference_log"):
            continue
        if kind != "predict_log":
            problem = "it is no request that the server plays"
        else:
            request = log.predict_log.request
            problem = request_problem(request, version.signatures)
            name = request.model_spec.signature_name or "serving_default"
            if not problem:
                problem = batching_problem(request, version.signatures)
                compiled |= {name} & set(version.xla_signatures)
        if problem:
            problems.setdefault(problem, number)
    for problem, number in problems.items():
        yield Finding(STOPS, f"Warm-up, request {number}: {problem}. {_THEN}.")
    if compiled:
        yield Finding(
            STOPS,
            f"The warm-up asks {', '.join(sorted(compiled))}, which XLA must compile: "
            "a server without --xla_cpu_compilation_enabled doesn't load the model at "
            "all. Start the server with the flag (server-config --xla), or write a "
            "warm-up without these.",
        )
