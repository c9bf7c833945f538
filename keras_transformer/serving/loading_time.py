"""How long a server takes to load an export and to play its warm-up."""

import json
import os
import subprocess
import sys

import numpy as np

from keras_transformer.serving.warmup import read_warmup

_LOAD = """
import json, sys, time
import tensorflow as tf, tensorflow_text
request = json.load(sys.stdin)
start = time.perf_counter()
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], request["path"])
    loaded = time.perf_counter()
    for name, inputs in request["requests"]:
        signature = meta.signature_def[name]
        session.run(
            {name: info.name for name, info in signature.outputs.items()},
            {signature.inputs[name].name: value for name, value in inputs.items()},
        )
print(json.dumps([loaded - start, time.perf_counter() - loaded]))
"""


def loading_seconds(
    path: str | os.PathLike, timeout: float = 3600
) -> tuple[float, float]:
    """The seconds that loading an export takes on this machine.

    They are measured in a process of its own, through the session API, as the stock
    server loads it. A server that does other work meanwhile takes longer.

    Args:
        path: Folder of one version of an export.
        timeout: Seconds before the process is given up.

    Returns:
        A tuple of the seconds for the model, and those for its warm-up.

    Raises:
        RuntimeError: If the export can't be loaded, or a request fails.
    """
    requests = [
        (name, {key: _plain(value) for key, value in inputs.items()})
        for name, inputs in read_warmup(path)
    ]
    done = subprocess.run(
        [sys.executable, "-c", _LOAD],
        input=json.dumps({"path": str(path), "requests": requests}),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
    )
    if done.returncode:
        raise RuntimeError(f"{path} can't be loaded: {done.stderr[-2000:]}")
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def _plain(values):
    """An array as JSON has it, of any shape, with strings for bytes."""
    if isinstance(values, np.ndarray):
        values = values.astype("object").tolist()
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return values.decode("utf-8") if isinstance(values, bytes) else values
