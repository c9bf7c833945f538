"""What an export takes of a server's memory: TensorFlow, the model, first requests.

    python benchmarks/serving_memory.py
    python benchmarks/serving_memory.py saved_models/en-de/1

Each row is a process of its own that loads the SavedModel through the session API, as
TF Serving does, plays the warm-up requests, and then asks each signature again. Without
a path it exports a model of `tiny`'s size with random weights first. Memory is
resident, in megabytes of 1e6 bytes. The operations are those of the graph and of its
function library; `instantiated` are those that the runtime made of them.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

PROGRAM = """
import gc, json, re, sys, time
def resident(name="VmRSS"):
    with open("/proc/self/status") as file:
        return int(re.search(name + r":\\s+(\\d+)", file.read())[1]) * 1024 / 1e6
import tensorflow as tf, tensorflow_text
from keras_transformer.serving.warmup import read_warmup
path, names = sys.argv[1], sys.argv[2].split(",") if sys.argv[2] else None
requests = [r for r in read_warmup(path) if names is None or r[0] in names]
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    session.run(tf.constant(0))
    gc.collect()
    found = {"tensorflow": resident()}
    start = time.process_time()
    meta = tf.compat.v1.saved_model.load(session, ["serve"], path)
    gc.collect()
    found["loaded"] = resident()
    found["load_seconds"] = time.process_time() - start
    found["first"], found["seconds"] = {}, {}
    for name, inputs in requests:
        before, start = resident(), time.process_time()
        signature = meta.signature_def[name]
        session.run(
            {key: info.name for key, info in signature.outputs.items()},
            {signature.inputs[key].name: value for key, value in inputs.items()},
        )
        took = time.process_time() - start
        found["first"][name] = found["first"].get(name, 0) + resident() - before
        found["seconds"].setdefault(name, took)
    found["warm"], found["most"] = resident(), resident("VmHWM")
print(json.dumps(found))
"""


def measure(path, names=()):
    """Memory of a process that loads an export and asks its signatures."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), ",".join(names)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def count_operations(path):
    """Number of operations of a SavedModel's graph and functions."""
    from tensorflow.core.protobuf import saved_model_pb2

    data = (pathlib.Path(path) / "saved_model.pb").read_bytes()
    (meta,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
    functions = meta.graph_def.library.function
    return len(meta.graph_def.node) + sum(len(f.node_def) for f in functions)


def write_export(folder):
    """Exports a model as large as `tiny`, with random weights."""
    import keras_transformer as kt
    from keras_transformer.demo import write_dates

    raise NotImplementedError(write_dates)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", nargs="?", help="a version of an export")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.path or write_export(folder)
        found = measure(path)
        print(json.dumps(found, indent=1), count_operations(path))


if __name__ == "__main__":
    main()
