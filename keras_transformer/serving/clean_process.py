"""An export's answers from a process that knows TensorFlow and TF Text alone."""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

_CLIENT = """
import json, sys
import tensorflow as tf, tensorflow_text
request = json.load(sys.stdin)
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], request["path"])
    signature = meta.signature_def[request["signature"]]
    found = session.run(
        {name: info.name for name, info in signature.outputs.items()},
        {signature.inputs[k].name: v for k, v in request["inputs"].items()},
    )
assert not any(name.split(".")[0] == "keras_transformer" for name in sys.modules)
def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.decode("utf-8") if isinstance(value, bytes) else value
answer = {name: plain(value.tolist()) for name, value in found.items()}
json.dump(answer, open(request["to"], "w", encoding="utf-8"))
"""

# Writes a line for each step, so that a process that ends tells how far it came.
# Python's loader refuses a model without variables, which the server's takes as it is.
_TRIAL = """
import base64, json, os, sys
import tensorflow as tf, tensorflow_text
from tensorflow.core.framework import tensor_pb2
from tensorflow.python.saved_model import loader_impl
request = json.load(sys.stdin)
steps = open(request["to"], "w", encoding="utf-8")
def step(**what):
    print(json.dumps(what), file=steps, flush=True)
def words(error):
    return " ".join(str(getattr(error, "message", None) or error).split())[:500]
with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
    try:
        loader = loader_impl.SavedModelLoader(request["path"])
        saver, _ = loader.load_graph(graph, ["serve"])
        if os.path.exists(request["path"] + "/variables/variables.index"):
            loader.restore_variables(session, saver)
        loader.run_init_ops(session, ["serve"])
        meta = loader.get_meta_graph_def_from_tags(["serve"])
    except Exception as error:
        step(load=words(error))
        sys.exit()
    step(loaded=True)
    for name, inputs in request["requests"]:
        signature = meta.signature_def[name]
        try:
            feed = {**signature.defaults}
            for key, value in inputs.items():
                feed[key] = tensor_pb2.TensorProto.FromString(base64.b64decode(value))
            session.run(
                {key: info.name for key, info in signature.outputs.items()},
                {signature.inputs[k].name: tf.make_ndarray(v) for k, v in feed.items()},
            )
            step(answered=None)
        except Exception as error:
            step(answered=words(error))
"""


def ask_in_clean_process(
    path: str | os.PathLike,
    signature: str,
    inputs: dict[str, Any],
    timeout: float = 600,
) -> dict[str, Any]:
    """Loads an export as the stock server does, through the session API, and asks it.

    Args:
        path: Folder of one version of an export.
        signature: Name of the signature.
        inputs: Dict of nested lists by input's name.
        timeout: Seconds before the process is given up.

    Returns:
        Dict of nested lists by output's name.

    Raises:
        RuntimeError: If the process fails or takes too long; its last words are quoted.
    """
    with tempfile.TemporaryDirectory() as folder:
        to = f"{folder}/answer.json"
        try:
            done = _run(
                _CLIENT,
                timeout,
                path=str(path),
                signature=signature,
                inputs=inputs,
                to=to,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(
                f"{path} doesn't answer within {timeout} seconds in a process of its "
                "own."
            ) from None
        if done.returncode:
            raise RuntimeError(
                f"{path} doesn't answer in a process of its own: {done.stderr[-2000:]}"
            )
        with open(to, encoding="utf-8") as file:
            return json.load(file)


def try_in_clean_process(
    path: str | os.PathLike,
    requests: list[tuple[str, dict[str, str]]],
    timeout: float = 600,
) -> dict[str, Any]:
    """Loads an export as the stock server does, and says how far it comes.

    Args:
        path: Folder of one version of a SavedModel.
        requests: List of pairs of a signature's name and its inputs, `TensorProto`s in
            base64 by name.
        timeout: Seconds before the process is given up.

    Returns:
        Dict of `load`, why it can't be loaded; `loaded`, if it was; `answered`, a list
        of what went wrong with each request, or None; `code`, the process's own; and
        `words`, its last.

    Raises:
        subprocess.TimeoutExpired: If it takes too long.
    """
    report: dict[str, Any] = {"answered": []}
    with tempfile.TemporaryDirectory() as folder:
        to = f"{folder}/steps.jsonl"
        done = _run(_TRIAL, timeout, path=str(path), requests=requests, to=to)
        if os.path.exists(to):
            with open(to, encoding="utf-8") as file:
                for line in file:
                    step = json.loads(line)
                    if "answered" in step:
                        report["answered"].append(step["answered"])
                    report |= {k: v for k, v in step.items() if k != "answered"}
    last = done.stderr.strip().splitlines()[-1:]
    return {**report, "code": done.returncode, "words": "".join(last)[:500]}


def _run(code, timeout, **request):
    return subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
    )
