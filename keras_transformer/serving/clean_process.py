"""An export's answers from a process that knows TensorFlow and TF Text alone."""

import json
import subprocess
import sys
import tempfile

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
json.dump(answer, open(request["to"], "w"))
"""


def ask_in_clean_process(path, signature, inputs, timeout=600):
    """Loads an export as the stock server does, through the session API, and asks it.

    Args:
        path: Folder of one version of an export.
        signature: Name of the signature.
        inputs: Dict of nested lists by input's name.
        timeout: Seconds before the process is given up.

    Returns:
        Dict of nested lists by output's name.

    Raises:
        RuntimeError: If the process fails; its last words are quoted.
    """
    with tempfile.TemporaryDirectory() as folder:
        request = {
            "path": str(path),
            "signature": signature,
            "inputs": inputs,
            "to": f"{folder}/answer.json",
        }
        done = subprocess.run(
            [sys.executable, "-c", _CLIENT],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            raise RuntimeError(
                f"{path} doesn't answer in a process of its own: {done.stderr[-2000:]}"
            )
        with open(request["to"]) as file:
            return json.load(file)
