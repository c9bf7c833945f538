"""What an export takes of a server's memory: TensorFlow, the model, first requests.

    python benchmarks/serving_memory.py saved_models/en-de/1
    python benchmarks/serving_memory.py saved_models/en-de/1 --each
    python benchmarks/serving_memory.py            # of a small model, exported first

A process loads the SavedModel by TensorFlow's C API, whose loader is TF Serving's, and
plays the warm-up requests. Python's part of TensorFlow isn't in it. Memory is resident,
in megabytes of 1e6 bytes. `in use` is without what was freed but not given back, which
`malloc_trim` tells. With --each a further process loads the model for each signature
and plays its requests alone.
"""

import argparse
import ctypes
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time


def resident():
    """This process's resident memory in megabytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 / 1e6


class Output(ctypes.Structure):
    """TF_Output of the C API."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Session:
    """A session of the C API.

    Args:
        libraries: Paths of TensorFlow's library, and then of those with operations.
    """

    def __init__(self, libraries):
        self._tf = ctypes.CDLL(libraries[0], mode=ctypes.RTLD_GLOBAL)
        for name in (
            *("NewStatus", "NewGraph", "NewSessionOptions", "AllocateTensor"),
            *("TensorData", "LoadSessionFromSavedModel", "GraphOperationByName"),
        ):
            getattr(self._tf, f"TF_{name}").restype = ctypes.c_void_p
        self._tf.TF_Message.restype = ctypes.c_char_p
        self._status = ctypes.c_void_p(self._tf.TF_NewStatus())
        for library in libraries[1:]:
            self._tf.TF_LoadLibrary(library.encode(), self._status)
            self._check()

    def _check(self):
        if self._tf.TF_GetCode(self._status):
            raise RuntimeError(self._tf.TF_Message(self._status).decode())

    def load(self, path):
        """Loads a SavedModel."""
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._graph = ctypes.c_void_p(self._tf.TF_NewGraph())
        options = ctypes.c_void_p(self._tf.TF_NewSessionOptions())
        self._session = ctypes.c_void_p(
            self._tf.TF_LoadSessionFromSavedModel(
                options, None, path.encode(), tags, 1, self._graph, None, self._status
            )
        )
        self._check()

    def run(self, inputs, outputs):
        """Computes outputs, and drops them.

        Args:
            inputs: Dict of triples `(dtype's number, shape, values)` by tensor's name.
            outputs: List of tensors' names.
        """
        values = [self._tensor(*value) for value in inputs.values()]
        found = (ctypes.c_void_p * len(outputs))()
        self._tf.TF_SessionRun(
            *(self._session, None),
            *(self._outputs(inputs), (ctypes.c_void_p * len(values))(*values)),
            *(len(values), self._outputs(outputs), found, len(outputs)),
            *(None, 0, None, self._status),
        )
        self._check()
        for tensor in (*values, *found):
            self._tf.TF_DeleteTensor(ctypes.c_void_p(tensor))

    def _outputs(self, names):
        found = (Output * len(names))()
        for each, name in zip(found, names):
            operation, _, index = name.partition(":")
            each.operation = self._tf.TF_GraphOperationByName(
                self._graph, operation.encode()
            )
            each.index = int(index)
        return found

    def _tensor(self, dtype, shape, values):
        # Strings are objects of 24 bytes; numbers have 4.
        size = 24 if isinstance(values[0], str) else 4
        length = ctypes.c_size_t(size * len(values))
        shape = (ctypes.c_int64 * len(shape))(*shape)
        tensor = self._tf.TF_AllocateTensor(dtype, shape, len(shape), length)
        data = self._tf.TF_TensorData(ctypes.c_void_p(tensor))
        for number, value in enumerate(values):
            place = ctypes.c_void_p(data + number * size)
            if isinstance(value, str):
                text = value.encode()
                self._tf.TF_StringInit(place)
                self._tf.TF_StringCopy(place, text, ctypes.c_size_t(len(text)))
            else:
                kind = ctypes.c_float if isinstance(value, float) else ctypes.c_int32
                ctypes.memmove(place, ctypes.byref(kind(value)), 4)
        return tensor


def measure_here(libraries, path, requests):
    """Memory and seconds of the processor in this process; prints them as JSON."""
    libc = ctypes.CDLL(None)
    session = Session(libraries)
    found = {"tensorflow": resident()}
    start = time.process_time()
    session.load(path)
    found |= {"loaded": resident(), "load seconds": time.process_time() - start}
    libc.malloc_trim(0)
    found["loaded, in use"] = resident()
    found["first requests"] = {}
    for name, inputs, outputs in requests:
        start = time.process_time()
        session.run(inputs, outputs)
        took = time.process_time() - start
        found["first requests"].setdefault(name, took)
    found["warm"] = resident()
    libc.malloc_trim(0)
    found["warm, in use"] = resident()
    print(json.dumps(found))


def measure(libraries, path, requests):
    """As `measure_here`, in a process of its own: a dict."""
    done = subprocess.run(
        [sys.executable, __file__, "--here"],
        input=json.dumps([libraries, path, requests]),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return json.loads(done.stdout.splitlines()[-1])


def read_libraries():
    """Paths of TensorFlow's library and of TF Text's operations."""
    import tensorflow as tf
    import tensorflow_text

    core = pathlib.Path(tf.__file__).parent / "libtensorflow_cc.so.2"
    operations = pathlib.Path(tensorflow_text.__file__).parent.rglob("ops/*.so")
    return [str(core), *sorted(map(str, operations))]


def read_requests(path):
    """The warm-up of an export: triples of signature, inputs and outputs."""
    import tensorflow as tf

    from keras_transformer.serving.warmup import read_warmup

    signatures, found = read_meta_graph(path).signature_def, []
    for name, inputs in read_warmup(path):
        signature = signatures[name]
        given = {}
        for key, value in inputs.items():
            values = [
                each.decode() if isinstance(each, bytes) else each
                for each in value.ravel().tolist()
            ]
            dtype = tf.as_dtype(value.dtype).as_datatype_enum
            given[signature.inputs[key].name] = dtype, value.shape, values
        found.append((name, given, [x.name for x in signature.outputs.values()]))
    return found


def read_meta_graph(path):
    """What the server reads of an export's graph."""
    from tensorflow.core.protobuf import saved_model_pb2

    data = pathlib.Path(path, "saved_model.pb").read_bytes()
    (meta,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
    return meta


def count_operations(path):
    """Number of operations in an export's graph and functions."""
    graph = read_meta_graph(path).graph_def
    functions = graph.library.function
    return len(graph.node) + sum(len(each.node_def) for each in functions)


def write_export(folder):
    """Exports a translator of 4 + 4 layers, 128 wide, with random weights."""
    import keras_transformer as kt
    from keras_transformer.text import train_tokenizer

    words = pathlib.Path(folder) / "words.txt"
    numbers = [f"{n} {n * n} {n * n * n}\n" for n in range(2000)]
    words.write_text("".join(numbers), encoding="utf-8")
    tokenizer = train_tokenizer([str(words)], 500)
    model = kt.Transformer(
        tokenizer.vocabulary_size,
        num_layers=4,
        hidden_dim=128,
        num_heads=4,
        intermediate_dim=256,
    )
    translator = kt.Translator(model, tokenizer)
    return kt.serving.export_saved_model(translator, f"{folder}/model")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", nargs="?", help="a version of an export")
    parser.add_argument("--each", action="store_true", help="each signature alone too")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        measure_here(*json.load(sys.stdin))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.path or write_export(folder)
        requests, libraries = read_requests(path), read_libraries()
        print(f"{count_operations(path)} operations\n")
        found = measure(libraries, path, requests)
        base = found["tensorflow"]
        print("| | MB | more than TensorFlow |\n| --- | --- | --- |")
        for name, value in found.items():
            if isinstance(value, float) and "seconds" not in name:
                print(f"| {name} | {value:.0f} | {value - base:.0f} |")
        print(f"\nLoading took {found['load seconds']:.1f} s of the processor.\n")
        print("| first request | s of the processor |\n| --- | --- |")
        for name, took in found["first requests"].items():
            print(f"| `{name}` | {took:.2f} |")
        if options.each:
            print("\n| signature alone | loaded | warm | in use |\n| --- | --- | --- |")
            for name in found["first requests"]:
                own = [request for request in requests if request[0] == name]
                alone = measure(libraries, path, own)
                names = "loaded", "warm", "warm, in use"
                more = " | ".join(f"{alone[n] - base:.0f}" for n in names)
                print(f"| `{name}` | {more} |")


if __name__ == "__main__":
    main()
