"""What doctor says of bad SavedModels: each is a damaged copy of one good one."""

import contextlib
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from keras_transformer.cli import main
from keras_transformer.serving import diagnose, write_server_config, write_warmup
from keras_transformer.serving.checks import graph, load
from keras_transformer.serving.checks.finding import ADVICE, FAILS, STOPS
from keras_transformer.serving.checks.request import request_problem, sample_request
from keras_transformer.serving.doctor import serving_notes

TEXTS = tf.TensorSpec([None], tf.string, name="text")


class Words(tf.Module):
    """A table of words from a file, and a score of numbers."""

    def __init__(self, file, width=3, name=None):
        super().__init__(name=name)
        initializer = tf.lookup.TextFileInitializer(
            file,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(initializer, -1)
        self.kernel = tf.Variable(tf.reshape(tf.range(width * 2.0), [width, 2]))
        self.width = width

    def signatures(self):
        numbers = tf.TensorSpec([None, self.width], tf.float32, name="x")
        limits = tf.TensorSpec([None], tf.int32, name="limit")
        limit = tf.constant([5])

        @tf.function(input_signature=[TEXTS])
        def serving_default(text):
            return {"id": self.table.lookup(text)}

        @tf.function(input_signature=[numbers])
        def score(x):
            return {"y": x @ self.kernel}

        @tf.function(input_signature=[TEXTS, limits])
        def cut(text, limit=limit):
            return {"text": tf.strings.substr(text, limit * 0, limit)}

        return {"serving_default": serving_default, "score": score, "cut": cut}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A model's folder, with version 1."""
    folder = tmp_path_factory.mktemp("good") / "words"
    vocabulary = folder.parent / "vocabulary.txt"
    vocabulary.write_text("a\nthe\n", encoding="utf-8")
    module = Words(str(vocabulary))
    tf.saved_model.save(module, str(folder / "1"), signatures=module.signatures())
    write_warmup(folder / "1", [("score", {"x": [[1.0, 2.0, 3.0]]})])
    return folder


@pytest.fixture
def model(good, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(good, tmp_path / "words")


# What is done to a copy. Each returns the change, a function of the model's folder.


def file(name, change):
    """Another content of a file of version 1, a function of its bytes."""

    def damage(folder):
        path = folder / "1" / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def removed(name):
    def damage(folder):
        path = folder / "1" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def turned(place):
    """One bit is another."""

    def change(data):
        data = bytearray(data)
        data[place] ^= 4
        return bytes(data)

    return change


def garbage(data):
    return random.Random(0).randbytes(300)


def proto(change):
    """Another graph: `change` is given the MetaGraphDef."""

    def damage(folder):
        path = folder / "1" / "saved_model.pb"
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        change(saved.meta_graphs[0])
        path.write_bytes(saved.SerializeToString())

    return damage


def signature(name, change):
    return proto(lambda meta: change(meta.signature_def[name]))


def tags(*names):
    def change(meta):
        del meta.meta_info_def.tags[:]
        meta.meta_info_def.tags.extend(names)

    return proto(change)


def operation(name, in_function=False):
    """A node more, of this operation."""

    def change(meta):
        library = meta.graph_def.library.function
        nodes = library[0].node_def if in_function else meta.graph_def.node
        nodes.add(name="more", op=name)

    return proto(change)


def compiled(meta):
    """Marks what `cut` calls as XLA's."""
    node = signature_node(meta, "cut")
    (function,) = (
        function
        for function in meta.graph_def.library.function
        if function.signature.name == node.attr["f"].func.name
    )
    function.attr["_XlaMustCompile"].b = True


def signature_node(meta, name):
    (info,) = meta.signature_def[name].outputs.values()
    (node,) = (
        node for node in meta.graph_def.node if node.name == info.name.split(":")[0]
    )
    return node


def shape(side, sizes):
    """Another shape of the one input or output of `serving_default`."""

    def change(definition):
        (info,) = getattr(definition, side).values()
        del info.tensor_shape.dim[:]
        info.tensor_shape.unknown_rank = sizes is None
        for size in sizes or ():
            info.tensor_shape.dim.add(size=size)

    return signature("serving_default", change)


def tensor(side, **fields):
    def change(definition):
        (info,) = getattr(definition, side).values()
        for name, value in fields.items():
            setattr(info, name, value)

    return signature("serving_default", change)


def sparse(definition):
    (info,) = definition.inputs.values()
    info.coo_sparse.values_tensor_name = "values:0"


def default(key, value):
    return signature(
        "cut",
        lambda definition: definition.defaults[key].CopyFrom(
            tf.make_tensor_proto(value)
        ),
    )


def clear(field):
    return signature("cut", lambda definition: definition.ClearField(field))


def variables(change):
    """Those of another model, as if two exports were mixed."""

    def damage(folder):
        path = folder.parent / "other"
        shutil.copytree(folder / "1" / "assets", folder.parent / "assets")
        other = Words(str(folder.parent / "assets" / "vocabulary.txt"))
        change(other)
        tf.saved_model.save(other, str(path))
        shutil.rmtree(folder / "1" / "variables")
        shutil.copytree(path / "variables", folder / "1" / "variables")

    return damage


def renamed_kernel(other):
    other.table_2 = tf.Variable([1.0])
    del other.kernel


def other_kernel(value):
    def change(other):
        other.kernel = tf.Variable(value)

    return change


def warmup(*logs):
    """A warm-up of these `PredictionLog`s, or bytes."""

    def damage(folder):
        path = folder / "1" / "assets.extra" / "tf_serving_warmup_requests"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for log in logs:
                writer.write(log if isinstance(log, bytes) else log.SerializeToString())

    return damage


def asked(name, **inputs):
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = name
    for key, value in inputs.items():
        if not isinstance(value, tensor_pb2.TensorProto):
            value = tf.make_tensor_proto(value)
        request.inputs[key].CopyFrom(value)
    return log


def too_few_values():
    value = tf.make_tensor_proto([[1.0, 2.0, 3.0]])
    value.tensor_content = b"1234567"
    return value


def both(*damages):
    def damage(folder):
        for each in damages:
            each(folder)

    return damage


def renamed(name):
    return lambda folder: (folder / "1").rename(folder / name)


def added(name, content=None, copy=False):
    """Something beside version 1: a copy of it, a file, or a folder with a file."""

    def damage(folder):
        if copy:
            shutil.copytree(folder / "1", folder / name)
        elif content is None:
            (folder / name).mkdir(parents=True)
        else:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)

    return damage


def linked(name):
    return lambda folder: (folder / name).symlink_to(folder / "nowhere")


def flat(folder):
    """The version's files in the model's folder."""
    for path in (folder / "1").iterdir():
        path.rename(folder / path.name)
    (folder / "1").rmdir()


PB, INDEX = "saved_model.pb", "variables/variables.index"
DATA = "variables/variables.data-00000-of-00001"
WARMUP = "assets.extra/tf_serving_warmup_requests"
ASSET = "assets/vocabulary.txt"

BAD = {
    # The graph's file.
    "pb cut in half": (file(PB, lambda x: x[: len(x) // 2]), STOPS, "cut short"),
    "pb cut by a byte": (file(PB, lambda x: x[:-1]), STOPS, "cut short"),
    "pb empty": (file(PB, lambda x: b""), STOPS, "has no graph: it is empty"),
    "pb garbage": (file(PB, garbage), STOPS, "no SavedModel"),
    "pb text": (file(PB, lambda x: b"version https://git-lfs"), STOPS, "no SavedModel"),
    "pb missing": (removed(PB), STOPS, "has no saved_model.pb"),
    "pb a folder": (
        both(removed(PB), added("1/saved_model.pb")),
        STOPS,
        "has no saved_model.pb",
    ),
    "pbtxt garbage": (
        both(removed(PB), added("1/saved_model.pbtxt", "meta_graphs { ]")),
        STOPS,
        "saved_model.pbtxt is cut short",
    ),
    "no tag": (tags(), STOPS, 'No graph has the tag "serve"'),
    "tag of training": (tags("train"), STOPS, 'No graph has the tag "serve"'),
    "a tag more": (tags("serve", "gpu"), STOPS, "and no other"),
    "a newer TensorFlow's": (
        proto(lambda meta: setattr(meta.graph_def.versions, "min_consumer", 10**6)),
        STOPS,
        "reads graphs of version 1000000",
    ),
    # Variables.
    "no variables": (removed("variables"), FAILS, "fails each request"),
    "no index": (removed(INDEX), FAILS, "no variables.index"),
    "index empty": (file(INDEX, lambda x: b""), STOPS, "variables.index is cut"),
    "index cut": (file(INDEX, lambda x: x[:-9]), STOPS, "variables.index is cut"),
    "index garbage": (file(INDEX, garbage), STOPS, "variables.index is cut"),
    "index turned": (file(INDEX, turned(3)), STOPS, "variables.index is cut"),
    "no data": (removed(DATA), STOPS, "cut short, damaged or missing"),
    "data empty": (file(DATA, lambda x: b""), STOPS, "can't be read"),
    "data cut": (file(DATA, lambda x: x[:-1]), STOPS, "can't be read"),
    "data half": (file(DATA, lambda x: x[: len(x) // 2]), STOPS, "can't be read"),
    "data turned": (file(DATA, turned(2)), STOPS, "can't be read"),
    "data's end turned": (file(DATA, turned(-2)), STOPS, "can't be read"),
    "other variables": (variables(renamed_kernel), STOPS, "another model's"),
    "variables' dtype": (
        variables(other_kernel(np.zeros((3, 2), "int32"))),
        STOPS,
        "another dtype than the graph's: kernel",
    ),
    "variables' shape": (
        variables(other_kernel(np.zeros((4, 2), "float32"))),
        FAILS,
        "another shape than the graph's: kernel",
    ),
    "variables NaN": (
        variables(other_kernel(np.full((3, 2), np.nan, "float32"))),
        ADVICE,
        "hold NaN: kernel",
    ),
    # Assets.
    "no asset": (removed(ASSET), STOPS, "vocabulary.txt is missing"),
    "no assets": (removed("assets"), STOPS, "vocabulary.txt is missing"),
    "asset a folder": (
        both(removed(ASSET), added("1/assets/vocabulary.txt")),
        STOPS,
        "vocabulary.txt is missing",
    ),
    "asset empty": (file(ASSET, lambda x: b""), STOPS, "vocabulary.txt is empty"),
    # The warm-up.
    "no warm-up": (removed("assets.extra"), ADVICE, "No warm-up"),
    "warm-up empty": (file(WARMUP, lambda x: b""), ADVICE, "No warm-up"),
    "warm-up garbage": (file(WARMUP, garbage), STOPS, "no file of warm-up requests"),
    "warm-up cut": (file(WARMUP, lambda x: x[:-3]), STOPS, "is cut short"),
    "warm-up turned": (file(WARMUP, turned(20)), STOPS, "is cut short"),
    "no request": (
        warmup(prediction_log_pb2.PredictionLog()),
        STOPS,
        "no request that the server plays",
    ),
    "another message": (warmup(b"\xff\xff\xff"), STOPS, "no file of warm-up requests"),
    "too many requests": (
        warmup(*[asked("score", x=[[1.0, 2.0, 3.0]])] * 1001),
        STOPS,
        "has 1001 requests",
    ),
    "unknown signature": (
        warmup(asked("serving_default", text=["a"]), asked("scores", x=[[1.0]])),
        STOPS,
        "request 1: the signature 'scores' isn't in the export",
    ),
    "dtype of a request": (
        warmup(asked("score", x=[[1, 2, 3]])),
        STOPS,
        "takes float32 for 'x', not int32",
    ),
    "text for numbers": (
        warmup(asked("score", x=[["a", "b", "c"]])),
        STOPS,
        "not string",
    ),
    "rank of a request": (
        warmup(asked("score", x=[1.0, 2.0, 3.0])),
        STOPS,
        "takes the shape (None, 3) for 'x', not (3,)",
    ),
    "width of a request": (
        warmup(asked("score", x=[[1.0, 2.0]])),
        STOPS,
        "takes the shape (None, 3) for 'x', not (1, 2)",
    ),
    "input too many": (
        warmup(asked("", text=["a"], language=["de"])),
        STOPS,
        "serving_default has no input 'language'",
    ),
    "input too few": (warmup(asked("cut", limit=[1])), STOPS, "cut needs text too"),
    "too few values": (
        warmup(asked("score", x=too_few_values())),
        STOPS,
        "aren't as many as its shape",
    ),
    "no rows": (warmup(asked("", text=np.array([], "S1"))), STOPS, "never answers"),
    "unequal rows": (
        warmup(asked("cut", text=["a", "b"], limit=[1])),
        STOPS,
        "unequal numbers of rows",
    ),
    "rows of defaults": (
        warmup(asked("cut", text=["a", "b"])),
        STOPS,
        "unequal numbers of rows",
    ),
    "XLA in the warm-up": (
        both(proto(compiled), warmup(asked("cut", text=["a"]))),
        STOPS,
        "doesn't load the model at all",
    ),
    # Operations.
    "XLA": (proto(compiled), FAILS, "must compile (jit_compile=True) cut"),
    "JAX's program": (
        proto(lambda meta: setattr(signature_node(meta, "cut"), "op", "XlaCallModule")),
        FAILS,
        "must compile (jit_compile=True) cut",
    ),
    "Python": (operation("EagerPyFunc"), FAILS, "call Python: EagerPyFunc"),
    "unknown operation": (operation("Nowhere"), STOPS, "lacks: Nowhere"),
    "one in a function": (operation("Nowhere", True), STOPS, "lacks: Nowhere"),
    "TensorFlow Addons": (
        operation("Addons>GatherTree"),
        STOPS,
        "lacks: Addons>GatherTree",
    ),
    "named like TF Text's": (operation("SplitMore"), STOPS, "lacks: SplitMore"),
    "no function": (
        proto(lambda meta: meta.graph_def.library.ClearField("function")),
        STOPS,
        "Functions are called that the graph lacks",
    ),
    # Signatures.
    "no signature": (
        both(
            proto(lambda meta: meta.ClearField("signature_def")),
            removed("assets.extra"),
        ),
        FAILS,
        "No signature",
    ),
    "no default signature": (
        proto(lambda meta: meta.signature_def.pop("serving_default")),
        ADVICE,
        'No signature "serving_default"',
    ),
    "no inputs": (clear("inputs"), FAILS, "cut has no inputs"),
    "no outputs": (clear("outputs"), FAILS, "cut has no outputs"),
    "input gone": (
        tensor("inputs", name="gone:0"),
        FAILS,
        "input 'text' is the tensor 'gone:0', which the graph lacks",
    ),
    "output gone": (tensor("outputs", name="gone:0"), FAILS, "which the graph lacks"),
    "output out of range": (
        signature(
            "serving_default",
            lambda definition: setattr(
                definition.outputs["id"],
                "name",
                definition.outputs["id"].name.split(":")[0] + ":7",
            ),
        ),
        FAILS,
        "which the graph lacks",
    ),
    "input's dtype": (
        tensor("inputs", dtype=types_pb2.DT_INT32),
        FAILS,
        "is said to be int32, but the graph's tensor is string",
    ),
    "output's dtype": (
        tensor("outputs", dtype=types_pb2.DT_FLOAT),
        FAILS,
        "is said to be float32, but the graph's tensor is int64",
    ),
    "no dtype": (tensor("inputs", dtype=0), FAILS, "input 'text' is said to be"),
    "input no tensor": (
        signature(
            "serving_default",
            lambda definition: definition.inputs["text"].ClearField("encoding"),
        ),
        FAILS,
        "input 'text' is no tensor",
    ),
    "input sparse": (
        signature("serving_default", sparse),
        FAILS,
        "is a coo_sparse: requests hold dense tensors only",
    ),
    "input a scalar": (shape("inputs", []), FAILS, "input 'text' is a scalar"),
    "output a scalar": (shape("outputs", []), FAILS, "output 'id' is a scalar"),
    "input of one row": (shape("inputs", [1]), FAILS, "dimension is always 1"),
    "output of 8 rows": (shape("outputs", [8]), FAILS, "dimension is always 8"),
    "input of any rank": (shape("inputs", None), ADVICE, "shape of unknown rank"),
    "padded without lengths": (
        shape("inputs", [-1, -1]),
        ADVICE,
        "no lengths beside them",
    ),
    "default's input": (
        default("most", [1]),
        FAILS,
        "default of 'most' is of no input",
    ),
    "default's dtype": (default("limit", [1.5]), FAILS, "is float32 for int32"),
    "default's shape": (default("limit", [[1]]), FAILS, "another shape than the input"),
    # Folders.
    "named v1": (renamed("v1"), STOPS, "rename it to 1"),
    "named 1.0": (renamed("1.0"), STOPS, "looks for versions, whose names are numbers"),
    "named latest": (renamed("latest"), STOPS, "looks for versions"),
    "named by another digit": (renamed("\u0661"), STOPS, "looks for versions"),
    "named by a number too large": (renamed("9" * 20), STOPS, "looks for versions"),
    "named -1": (renamed("-1"), ADVICE, "no request by REST can ask for it"),
    "no version": (flat, STOPS, "move the model to"),
    "next one empty": (added("2"), STOPS, "the newest"),
    "next one half copied": (
        added("2/assets.txt", "a"),
        STOPS,
        "/2 has no saved_model.pb",
    ),
    "next one a file": (added("2", ""), STOPS, "is no folder"),
    "next one a broken link": (linked("2"), STOPS, "is no folder"),
    "left over": (added("writing-17", copy=True), ADVICE, "one that was stopped"),
    "another name beside": (added("v2", copy=True), ADVICE, "/v2, no version by name"),
    "the same number": (added("01", copy=True), ADVICE, "same number, [1]"),
    "files beside": (
        lambda folder: shutil.copy(folder / "1" / PB, folder / PB),
        ADVICE,
        "own files, beside its versions",
    ),
}


def test_there_are_many_bad_models():
    assert len(BAD) >= 60


@pytest.mark.parametrize("name", BAD)
def test_doctor_says_what_is_wrong(model, name):
    damage, severity, words = BAD[name]
    damage(model)
    findings = diagnose(model)
    found = [finding for finding in findings if words in finding]
    assert found, findings
    assert found[0].severity == severity
    # The worst comes first, and nothing is said that is worse than what was done.
    assert findings[0].severity == severity, findings
    assert not any("can't be looked through" in finding for finding in findings)


def test_doctor_has_nothing_to_say_of_good_models(good, tmp_path):
    assert diagnose(good) == []
    assert diagnose(good / "1") == []
    text = tmp_path / "text" / "1"
    shutil.copytree(good / "1", text)
    saved = saved_model_pb2.SavedModel.FromString((text / PB).read_bytes())
    (text / PB).unlink()
    (text / "saved_model.pbtxt").write_text(
        text_format.MessageToString(saved), encoding="utf-8"
    )
    assert diagnose(text) == []


def test_doctor_has_nothing_to_say_of_the_next_version(model):
    shutil.copytree(model / "1", model / "12")
    shutil.copytree(model / "1", model / "2")
    file(PB, garbage)(model)
    assert diagnose(model) == []


def test_doctor_reads_the_graphs_of_sessions(tmp_path):
    path = tmp_path / "1"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2], name="x")
        kernel = tf.compat.v1.get_variable("kernel", [2, 2], use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(
            session, str(path), {"x": x}, {"y": x @ kernel}
        )
    (finding,) = diagnose(path)
    assert "No warm-up" in finding
    shutil.rmtree(path / "variables")
    assert "fails each request" in diagnose(path)[0]


def test_no_damage_is_a_traceback(model):
    """Whatever a file holds, doctor has an answer."""
    draw = random.Random(0)
    for name in (PB, INDEX, DATA, WARMUP):
        path = model / "1" / name
        whole = path.read_bytes()
        for _ in range(25):
            data = bytearray(whole)
            for _ in range(draw.randrange(1, 8)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            path.write_bytes(
                data[: draw.choice((len(data), draw.randrange(len(data))))]
            )
            for finding in diagnose(model):
                assert "can't be looked through" not in finding, finding
        path.write_bytes(whole)


@contextlib.contextmanager
def as_an_ordinary_user():
    """Root may read what nobody else may."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    "name, unreadable",
    [
        (".", "m"),
        ("1", "m/1"),
        ("1/saved_model.pb", "m/1/saved_model.pb"),
        ("1/variables", "m/1/variables"),
        ("1/variables/variables.index", "variables.index"),
        ("1/assets", "m/1/assets"),
        ("1/assets.extra", "m/1/assets.extra"),
    ],
)
def test_what_may_not_be_read_stops_the_load(good, name, unreadable):
    # The folders of `tmp_path` are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        model = pathlib.Path(folder, "m")
        shutil.copytree(good, model)
        (model / name).chmod(0)
        with as_an_ordinary_user():
            found = diagnose(model)
            with pytest.raises(ValueError, match="A server can't serve"):
                write_server_config(folder)
        (model / name).chmod(0o755)
    assert found[0].severity == STOPS
    assert unreadable in found[0]
    assert "ermission denied" in found[0]


def test_folders_beside_the_version_need_not_be_readable(good):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        model = pathlib.Path(folder, "m")
        shutil.copytree(good, model)
        closed = [model / "0", model / "copying"]
        for path in closed:
            path.mkdir(mode=0)
        with as_an_ordinary_user():
            assert diagnose(model) == diagnose(model / "1")
        for path in closed:
            path.chmod(0o755)


def test_what_nobody_thought_of_is_a_finding(model, monkeypatch):
    def check(version):
        raise KeyError("odd")

    monkeypatch.setattr("keras_transformer.serving.doctor.CHECKS", (check,))
    (finding,) = diagnose(model)
    assert "can't be looked through (KeyError: 'odd')" in finding


@pytest.mark.parametrize("path", ["nothing", "file", "empty"])
def test_without_a_model_there_is_an_error(path, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=f"{path}.* holds no SavedModel"):
        diagnose(tmp_path / path)


def test_the_folder_of_all_models_is_told_from_a_model(good):
    with pytest.raises(FileNotFoundError, match=f"It holds models: .*{good.name}"):
        diagnose(good.parent)


@pytest.mark.parametrize(
    "name, words", [("_QuantizedMatMul", "int8"), ("_MklNativeFusedMatMul", "packed")]
)
def test_doctor_knows_what_this_processor_lacks(model, monkeypatch, name, words):
    operation(name)(model)
    monkeypatch.setattr(graph, "check_products", lambda weights: None)
    (finding,) = diagnose(model)
    assert finding.severity == ADVICE and f"Products of {words}" in finding

    def lacks(weights):
        raise RuntimeError("it needs AVX-512")

    monkeypatch.setattr(graph, "check_products", lacks)
    (finding,) = diagnose(model)
    assert finding.severity == FAILS and "it needs AVX-512" in finding


def test_notes_tell_what_batching_refuses(good, tmp_path):
    notes = "\n".join(serving_notes(good))
    assert '{"inputs": {"text": []}}' in notes
    assert "cut: the defaults of limit have one row" in notes
    assert "score" not in notes
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / PB).write_bytes(b"garbage")
    assert serving_notes(tmp_path) == []


def test_loading_shows_what_no_file_does(model):
    """Without variables the server loads the model, and fails what reads them."""
    removed("variables")(model)
    warmup(asked("score", x=[[1.0, 2.0, 3.0]]))(model)
    findings = [
        f for f in diagnose(model, load=True) if "request" in f and "fails:" in f
    ]
    (finding,) = findings
    assert finding.severity == STOPS
    assert finding.startswith("score: A request of the warm-up fails:")
    assert "Could not find variable" in finding


@pytest.mark.parametrize("dtype", ["string", "bool", "int64", "bfloat16", "float32"])
def test_made_up_requests_are_ones_that_the_signature_takes(dtype):
    definition = meta_graph_pb2.SignatureDef()
    info = definition.inputs["x"]
    info.dtype = tf.as_dtype(dtype).as_datatype_enum
    info.tensor_shape.CopyFrom(tf.TensorShape([None, 3]).as_proto())
    request = predict_pb2.PredictRequest()
    for name, value in sample_request(definition).items():
        request.inputs[name].CopyFrom(value)
    assert request_problem(request, {"serving_default": definition}) is None
    assert tf.make_ndarray(request.inputs["x"]).shape == (1, 3)


def test_a_load_that_fails_ends_or_hangs_is_a_finding(model, monkeypatch):
    def trial(report):
        def answer(path, requests, timeout):
            if report is None:
                raise subprocess.TimeoutExpired("python", timeout)
            return report

        monkeypatch.setattr(load, "try_in_clean_process", answer)
        (finding,) = diagnose(model, load=True)
        return finding

    report = {"answered": [], "code": 0, "words": ""}
    finding = trial({**report, "load": "Data loss"})
    assert finding.severity == STOPS and "can't be loaded: Data loss" in finding
    finding = trial({**report, "loaded": True, "code": -4, "answered": [None]})
    assert finding.severity == FAILS and "is asked cut ends with code -4" in finding
    finding = trial({**report, "code": -9})
    assert finding.severity == STOPS and "loads it ends with code -9" in finding
    assert "within 600 seconds" in trial(None)


def test_the_command_s_code_tells_whether_something_stops_it(model, capsys):
    main(["doctor", str(model)])
    shown = capsys.readouterr()
    assert shown.out == "Nothing that would stop it.\n"
    assert "never answered" in shown.err
    removed("assets.extra")(model)
    main(["doctor", str(model)])
    assert capsys.readouterr().out.startswith("- advice: No warm-up")
    file(PB, garbage)(model)
    with pytest.raises(SystemExit) as stop:
        main(["doctor", str(model)])
    assert stop.value.code == 1
    assert capsys.readouterr().out.startswith("- stops the load: ")


@pytest.mark.parametrize(
    "request_, words",
    [
        (("scores", {"x": [[1.0, 2.0, 3.0]]}), "'scores' isn't in the export"),
        (("score", {"x": [[1, 2, 3]]}), "takes float32 for 'x', not int32"),
        (("score", {"x": [[1.0]]}), r"not \(1, 1\)"),
        (("cut", {"limit": [1]}), "cut needs text too"),
        (("cut", {"text": ["a"], "limits": [1]}), "no input 'limits'"),
    ],
)
def test_requests_that_would_fail_aren_t_written(model, request_, words):
    before = (model / "1" / WARMUP).read_bytes()
    with pytest.raises(ValueError, match=rf"requests\[0\].*{words}"):
        write_warmup(model / "1", [request_])
    assert (model / "1" / WARMUP).read_bytes() == before


def test_xla_s_requests_are_written_only_if_asked_for(model):
    proto(compiled)(model)
    requests = [("cut", {"text": ["a"]})]
    with pytest.raises(ValueError, match="xla=True"):
        write_warmup(model / "1", requests)
    write_warmup(model / "1", requests, xla=True)
    assert any("doesn't load the model at all" in each for each in diagnose(model))
