"""Exports answer in a process that knows TensorFlow and TF Text alone."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_transformer.serving import diagnose, export_saved_model
from keras_transformer.serving.warmup import read_warmup

TEXTS = ["the dog", "a small cat sees the old house", "", "woman \u00e9"]
CLIENT = """
import json, sys
import tensorflow as tf, tensorflow_text
texts = json.loads(sys.argv[2])
graph = tf.Graph()
with graph.as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
    def ask(name, **inputs):
        signature = meta.signature_def[name]
        feed = {signature.inputs[k].name: v for k, v in inputs.items()}
        out = {k: v.name for k, v in signature.outputs.items()}
        return session.run(out, feed)
    answer = {
        "best": ask("serving_default", text=texts),
        "n_best": ask("n_best", text=texts),
        "score": ask("score", text=texts, reference=texts),
        "ids": ask("token_ids", source_ids=[[5, 6, 3, 9]], source_length=[3]),
        "short": ask("token_ids", source_ids=[[5, 6, 3]], source_length=[3]),
    }
def plain(x):
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if x.dtype == object:
        return [plain(y) if hasattr(y, "dtype") else y.decode() for y in x]
    return x.tolist()
assert not any(name.startswith("keras_transformer") for name in sys.modules)
print("ANSWER" + json.dumps(plain(answer)))
"""


@pytest.fixture(scope="module")
def answer(saved_path):
    """What the export answers there."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, saved_path, json.dumps(TEXTS)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("ANSWER")[1])


def test_serving_default_gives_the_translator_s_answers(small_translator, answer):
    texts, scores = small_translator.translate(
        TEXTS, beam_size=3, max_length=6, return_scores=True
    )
    assert answer["best"]["translation"] == texts
    np.testing.assert_allclose(answer["best"]["score"], scores, atol=1e-4)
    assert answer["best"]["truncated"] == [False] * len(TEXTS)


def test_n_best_gives_the_translator_s_answers(small_translator, answer):
    options = {"beam_size": 3, "max_length": 6, "num_hypotheses": 3}
    texts = small_translator.translate(TEXTS, **options)
    assert answer["n_best"]["translations"] == texts


def test_score_is_the_log_probability_of_the_reference(small_translator, answer):
    tokenizer = small_translator.target_tokenizer
    for text, log_prob, count in zip(
        TEXTS, answer["score"]["log_prob"], answer["score"]["num_tokens"]
    ):
        if not text.strip():
            # The answer to a blank text is the text itself, whatever the model is.
            assert (log_prob, count) == (0.0, 0)
            continue
        ids = tokenizer.tokenize([text])[0].numpy().tolist()
        logits = small_translator.model(
            {"source_ids": np.array([[*ids, 3]]), "target_ids": np.array([[2, *ids]])}
        )
        logits = np.asarray(logits)[0].astype("float64")
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        expected = sum(row[i] for row, i in zip(log_probs, [*ids, 3]))
        assert count == len(ids) + 1
        assert log_prob == pytest.approx(expected, abs=1e-3)


def test_token_ids_ignores_what_a_server_padded(answer):
    assert answer["ids"] == answer["short"]


@pytest.fixture
def few():
    """Options of an export that takes little time."""
    return {
        "beam_size": 1,
        "max_length": 2,
        "signatures": [],
        "warmup_batch_sizes": [1],
    }


def test_versions_count_up_and_nothing_else_is_left(
    small_translator, saved_path, few, tmp_path
):
    shutil.copytree(saved_path, tmp_path / "1")
    export_saved_model(small_translator, tmp_path, **few)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_old_versions_go_and_nothing_else_does(small_translator, few, tmp_path):
    for name in ("1", "3", "20", "v4", "5.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"")
    # Named like versions, but none.
    (tmp_path / "2").mkdir()
    (tmp_path / "4").write_text("a file")
    (tmp_path / "6").symlink_to(tmp_path / "20")
    export_saved_model(small_translator, tmp_path, keep=2, **few)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"20", "21", "v4", "5.old", "2", "4", "6"}


def test_the_number_of_versions_to_keep_is_positive(small_translator, tmp_path):
    for keep in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"keep must be .*keep={keep}"):
            export_saved_model(small_translator, tmp_path, keep=keep)
    assert not list(tmp_path.iterdir())


def test_the_warm_up_asks_the_signatures_that_were_chosen(
    small_translator, few, tmp_path
):
    few = {**few, "signatures": ["encode", "split"]}
    path = export_saved_model(
        small_translator, tmp_path, warmup_signatures=["split"], **few
    )
    names = [name for name, _ in read_warmup(path)]
    assert sorted(names) == ["serving_default", "split"]
    with pytest.raises(ValueError, match="warmup_signatures must be .*'explain'"):
        export_saved_model(
            small_translator, tmp_path, warmup_signatures=["explain"], **few
        )
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize("xla_warmup", [False, True])
def test_xla_is_warmed_up_only_if_asked_for(
    small_translator, few, tmp_path, xla_warmup
):
    """A server without XLA doesn't load a model whose warm-up needs it."""
    few["signatures"] = ["token_ids_xla"]
    path = export_saved_model(
        small_translator, tmp_path, xla_buckets=[(1, 4)], xla_warmup=xla_warmup, **few
    )
    names = {name for name, _ in read_warmup(path)}
    assert names == {"serving_default", *(["token_ids_xla"] if xla_warmup else [])}
    severities = {finding.severity for finding in diagnose(path)}
    assert ("stops the load" in severities) == xla_warmup


@pytest.mark.process
def test_graph_holds_what_the_stock_server_has_and_no_more(saved_path):
    """TF Serving links TensorFlow's own operations and those of TF Text."""
    code = f"""
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
saved = saved_model_pb2.SavedModel()
saved.ParseFromString(open({saved_path!r} + "/saved_model.pb", "rb").read())
graph = saved.meta_graphs[0].graph_def
nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
functions = {{f.signature.name for f in graph.library.function}}
# Only TensorFlow is imported here: what it doesn't know must come from TF Text.
foreign = {{n.op for n in nodes if n.op not in functions and not op_def_registry.get(n.op)}}
assert foreign == {{"SentencepieceOp", "SentencepieceTokenizeOp",
                   "SentencepieceDetokenizeOp"}}, foreign
python = {{n.op for n in nodes if "Py" in n.op or n.op.startswith("Xla")}}
assert not python, python
"""  # noqa: E501
    subprocess.run([sys.executable, "-c", code], check=True)
