"""What each signature answers, by value."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer import kernels
from keras_transformer.kernels import packed
from keras_transformer.serving import export_saved_model
from keras_transformer.serving.clean_process import ask_in_clean_process
from keras_transformer.serving.warmup import read_warmup
from keras_transformer.serving.weights import ONEDNN_FORMATS

TEXTS = ["the dog", "a small cat sees the old house", "woman \u00e9"]


def strings(values):
    return [[text.decode() for text in row] for row in values]


def test_left_out_options_are_the_export_s(
    signatures, small_translator, saved_path, meta_graph
):
    found = signatures("translate", text=TEXTS)
    answers = small_translator.translate(TEXTS, beam_size=3, max_length=6)
    assert strings(found["translations"]) == [[answer] for answer in answers]
    defaults = meta_graph(saved_path).signature_def["translate"].defaults
    values = {name: tf.make_ndarray(value).tolist() for name, value in defaults.items()}
    assert values == {
        "num_hypotheses": [1],
        "length_penalty": [pytest.approx(0.6)],
        "max_length": [6],
        "target_prefix": [b""],
    }


def test_each_row_has_options_of_its_own(signatures, small_translator):
    found = signatures(
        "translate",
        text=TEXTS,
        num_hypotheses=[1, 3, 2],
        length_penalty=np.array([0.0, 0.6, 2.0], "float32"),
        max_length=[4, 0, 9],
        target_prefix=["dog", "", "a"],
    )
    for row, (text, count, alpha, length, prefix) in enumerate(
        zip(TEXTS, [1, 3, 2], [0.0, 0.6, 2.0], [4, None, 9], ["dog", "", "a"])
    ):
        answers, scores = small_translator.translate(
            [text],
            beam_size=3,
            num_hypotheses=3,
            length_penalty=alpha,
            max_length=length,
            target_prefix=prefix,
            return_scores=True,
        )
        ours = strings(found["translations"])[row]
        assert ours == answers[0][:count] + [""] * (3 - count)
        np.testing.assert_allclose(
            found["scores"][row, :count], scores[0][:count], atol=1e-4
        )
        assert np.all(found["scores"][row, count:] == -1e9)


def test_explain_adds_up_to_the_score(signatures, small_translator):
    found = signatures("explain", text=TEXTS)
    scored = signatures("score", text=TEXTS, reference=list(found["translation"]))
    lengths = np.sum(found["tokens"] != b"", axis=1)
    source_lengths = np.sum(found["source_tokens"] != b"", axis=1)
    for row in range(len(TEXTS)):
        real = np.arange(found["tokens"].shape[1]) < lengths[row]
        aligned = found["aligned_source"][row]
        assert np.all((aligned >= 0) == real)
        assert np.all(aligned[real] < source_lengths[row])
        assert np.all(found["log_probs"][row][real] < 0)
        assert np.all(found["log_probs"][row][~real] == 0)
        # Answers that were cut off have no end token to score.
        if found["tokens"][row][lengths[row] - 1] == b"</s>":
            total = found["log_probs"][row].sum()
            assert total == pytest.approx(scored["log_prob"][row], abs=1e-3)
    joined = b"".join(found["source_tokens"][0]).replace(b"\xe2\x96\x81", b" ")
    assert joined == b" the dog</s>"


def test_encode_is_the_mean_of_the_encoder_s_output(signatures, small_translator):
    found = signatures("encode", text=TEXTS)["embedding"]
    for row, text in enumerate(TEXTS):
        ids, _ = small_translator.encode([text])
        states = np.asarray(small_translator.model.encode(ids.to_tensor()))[0]
        np.testing.assert_allclose(found[row], states.mean(axis=0), atol=1e-5)


@pytest.mark.process
@pytest.mark.parametrize(
    "weights", ("bfloat16", "bfloat16_packed", "int8", "int8_products")
)
def test_smaller_weights_answer_in_a_clean_process(
    small_translator, signatures, tmp_path, weights, request
):
    if weights in ONEDNN_FORMATS:
        request.getfixturevalue(weights)
    path = export_saved_model(
        small_translator,
        tmp_path,
        beam_size=2,
        max_length=5,
        weights=weights,
        signatures=["n_best", "score"],
    )
    found = ask_in_clean_process(path, "n_best", {"text": TEXTS})
    whole = small_translator.translate(
        TEXTS, beam_size=2, max_length=5, num_hypotheses=2, return_scores=True
    )
    np.testing.assert_allclose(found["scores"], whole[1], rtol=0.05)
    # The same of one translation, where the best may be others.
    scored = {"text": TEXTS, "reference": [row[0] for row in found["translations"]]}
    np.testing.assert_allclose(
        ask_in_clean_process(path, "score", scored)["log_prob"],
        signatures("score", **scored)["log_prob"],
        rtol=0.05,
    )


@pytest.mark.process
def test_a_feed_forward_network_with_units_more_answers_the_same(tokenizer, tmp_path):
    sizes = {"hidden_dim": 16, "num_heads": 2, "intermediate_dim": 512}
    model = kt.Transformer(320, **sizes, num_layers=1, activation="gelu")
    model.set_weights([w + 0.1 for w in model.get_weights()])
    translator = kt.Translator(model, tokenizer)
    options = {"beam_size": 2, "max_length": 5}
    path = export_saved_model(
        translator, tmp_path, signatures=["n_best", "encode"], **options
    )
    variables = tf.train.list_variables(f"{path}/variables/variables")
    assert {512, 544} & {shape[-1] for _, shape in variables if shape} == {544}
    found = ask_in_clean_process(path, "n_best", {"text": TEXTS})
    answers, scores = translator.translate(
        TEXTS, num_hypotheses=2, return_scores=True, **options
    )
    assert [list(row) for row in found["translations"]] == answers
    np.testing.assert_allclose(found["scores"], scores, atol=1e-4)


def test_float32_is_what_the_graph_computes_in(tokenizer, tmp_path):
    sizes = {"hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32, "num_layers": 1}
    model = kt.Transformer(320, **sizes, dtype="mixed_bfloat16")
    translator = kt.Translator(model, tokenizer)
    path = export_saved_model(translator, tmp_path, beam_size=1, signatures=[])
    graph = tf.saved_model.load(path).signatures["serving_default"].graph
    types = set(re.findall("DT_[A-Z0-9]+", str(graph.as_graph_def())))
    assert "DT_FLOAT" in types
    assert "DT_BFLOAT16" not in types


def test_int8_variables_are_a_quarter(small_translator, saved_path, tmp_path):
    def exported(weights):
        return export_saved_model(
            small_translator,
            tmp_path / weights,
            beam_size=1,
            weights=weights,
            signatures=[],
        )

    def size(path):
        names = tf.train.list_variables(f"{path}/variables/variables")
        reader = tf.train.load_checkpoint(f"{path}/variables/variables")
        return sum(
            reader.get_tensor(name).nbytes
            for name, shape in names
            if "OBJECT_GRAPH" not in name
        )

    whole = size(saved_path)
    assert size(exported("bfloat16")) == pytest.approx(whole / 2, rel=0.01)
    assert size(exported("int8")) < 0.4 * whole


def test_products_of_int8_read_variables(
    small_translator, tmp_path, meta_graph, int8_products
):
    options = {"beam_size": 1, "weights": "int8_products", "signatures": []}
    # In a run of the plain forms, too.
    with kernels.plain_only(False):
        path = export_saved_model(small_translator, tmp_path, **options)
    functions = meta_graph(path).graph_def.library.function
    nodes = [node for function in functions for node in function.node_def]
    assert {"_QuantizedMatMul", "_MklNativeFusedMatMul"} < {node.op for node in nodes}
    # Constants would be copied for each use.
    constants = {n.attr["dtype"].type for n in nodes if n.op == "Const"}
    assert not constants & {tf.int8.as_datatype_enum, tf.qint8.as_datatype_enum}
    problems = kt.serving.diagnose(tmp_path)
    assert any("Products of int8" in problem for problem in problems)
    assert any("Products of packed kernels" in problem for problem in problems)


def test_unknown_weights_are_an_error(small_translator, tmp_path):
    with pytest.raises(ValueError, match="weights must be one of .*int4"):
        export_saved_model(small_translator, tmp_path, weights="int4")


def test_only_the_chosen_signatures_are_written(small_translator, tmp_path):
    options = {"beam_size": 1, "warmup_batch_sizes": [1]}
    path = export_saved_model(
        small_translator, tmp_path, signatures=["encode"], **options
    )
    loaded = tf.saved_model.load(path)
    assert set(loaded.signatures) == {"serving_default", "encode"}
    assert [name for name, _ in read_warmup(path)] == ["serving_default", "encode"]
    with pytest.raises(ValueError, match="signatures must be among .*'embed'"):
        export_saved_model(small_translator, tmp_path, signatures=["embed"], **options)


@pytest.mark.long
def test_xla_signatures_give_the_same_answers(small_translator, tmp_path):
    path = export_saved_model(
        small_translator,
        tmp_path,
        beam_size=2,
        max_length=5,
        signatures=["serving_default_xla", "token_ids", "token_ids_xla"],
        xla_buckets=[(4, 16), (2, 8)],
    )
    loaded = tf.saved_model.load(path).signatures
    # One fits the first bucket, one the second, the last none.
    for texts in (TEXTS[:1], TEXTS, TEXTS * 2):
        plain = loaded["serving_default"](text=tf.constant(texts))
        compiled = loaded["serving_default_xla"](text=tf.constant(texts))
        assert plain["translation"].numpy().tolist() == (
            compiled["translation"].numpy().tolist()
        )
        np.testing.assert_allclose(plain["score"], compiled["score"], atol=1e-4)
    inputs = {
        "source_ids": tf.constant([[5, 6, 3, 9]]),
        "source_length": tf.constant([3]),
    }
    plain = loaded["token_ids"](**inputs)["output_ids"].numpy()[0]
    compiled = loaded["token_ids_xla"](**inputs)["output_ids"].numpy()[0]
    assert plain[plain > 0].tolist() == compiled[compiled > 0].tolist()


@pytest.mark.parametrize(
    "batch_size, weights",
    [
        (1, "float32"),
        (3, "bfloat16"),
        (1, "int8"),
        pytest.param(1, "bfloat16", marks=pytest.mark.slow),
        pytest.param(3, "int8", marks=pytest.mark.slow),
    ],
)
@pytest.mark.long
def test_a_compiled_search_gives_the_same_answers(
    tokenizer, tmp_path, batch_size, weights
):
    # Always the same weights: where two tokens are as good, half precision decides.
    keras.utils.set_random_seed(1)
    model = kt.Transformer(
        320, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32
    )
    loaded = tf.saved_model.load(
        export_saved_model(
            kt.Translator(model, tokenizer, max_source_length=32),
            tmp_path,
            beam_size=1,
            weights=weights,
            max_length=6,
            signatures=["token_ids", "token_ids_xla"],
            xla_buckets=[(batch_size, 8)],
            warmup_batch_sizes=(),
        )
    ).signatures
    tolerance = 1e-5 if weights == "float32" else 0.01
    for ids in ([5, 6, 3, 9], [7], [300, 12, 8, 8, 250, 31, 4, 99], [0]):
        inputs = {
            "source_ids": tf.constant([ids]),
            "source_length": tf.constant([np.count_nonzero(ids)]),
        }
        plain, compiled = (loaded[n](**inputs) for n in ("token_ids", "token_ids_xla"))
        np.testing.assert_allclose(compiled["score"], plain["score"], rtol=tolerance)
        plain, compiled = (
            found["output_ids"].numpy()[0] for found in (plain, compiled)
        )
        assert plain[plain > 0].tolist() == compiled[compiled > 0].tolist()


@pytest.mark.long
def test_parallel_searches_give_the_same_answers(
    small_translator, signatures, tmp_path, monkeypatch
):
    # A single sentence's products are cut into parts, as small as they are here.
    monkeypatch.setattr(packed, "_LARGE_KERNEL", 1)
    path = export_saved_model(
        small_translator,
        tmp_path,
        beam_size=3,
        max_length=6,
        signatures=["token_ids", "token_ids_xla", "n_best", "translate"],
        xla_buckets=[(35, 8)],
        parallel_searches=2,
        warmup_batch_sizes=(),
    )
    two = tf.saved_model.load(path).signatures
    generator = np.random.default_rng(0)
    for batch_size in (0, 1, 2, 31, 33, 40):
        lengths = generator.integers(1, 9, batch_size, dtype="int32")
        ids = generator.integers(4, 320, (batch_size, 8), dtype="int32")
        inputs = {
            "source_ids": tf.constant(ids),
            "source_length": tf.constant(lengths),
        }
        expected = signatures.run("token_ids", **inputs)
        for name in ("token_ids", "token_ids_xla"):
            found = two[name](**inputs)
            np.testing.assert_array_equal(found["output_ids"], expected["output_ids"])
            np.testing.assert_allclose(found["score"], expected["score"], atol=1e-4)
        # Options of its own for each row.
        texts = [f"dog {i} " * (i % 5) for i in range(batch_size)]
        inputs = {"text": tf.constant(texts, tf.string)}
        row = tf.range(batch_size)
        options = {
            "num_hypotheses": row % 2 + 1,
            "length_penalty": tf.cast(row, tf.float32) / 20.0,
            "max_length": row % 5,
            "target_prefix": tf.where(row % 2 == 0, "a ", ""),
        }
        for name in ("n_best", "translate"):
            if name == "translate":
                inputs |= options
            expected, found = signatures.run(name, **inputs), two[name](**inputs)
            np.testing.assert_array_equal(
                found["translations"], expected["translations"]
            )
            np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)


def test_answers_of_parallel_searches_are_as_long_as_the_longest(
    small_translator, tmp_path
):
    path = export_saved_model(
        small_translator,
        tmp_path,
        beam_size=1,
        signatures=["token_ids"],
        parallel_searches=2,
        warmup_batch_sizes=(),
    )
    lengths = np.ones(32, "int32")
    lengths[-1] = 8
    token_ids = tf.saved_model.load(path).signatures["token_ids"]
    answers = token_ids(
        source_ids=tf.fill([32, 8], 5), source_length=tf.constant(lengths)
    )["output_ids"]
    alone = token_ids(source_ids=tf.fill([1, 8], 5), source_length=tf.constant([8]))[
        "output_ids"
    ]
    assert answers.shape[0] == 32
    found = answers.numpy()[-1]
    expected = alone.numpy()[0]
    assert found[found > 0].tolist() == expected[expected > 0].tolist()


def test_no_parallel_search_is_an_error(small_translator, tmp_path):
    with pytest.raises(ValueError, match="parallel_searches must be positive.*0"):
        export_saved_model(small_translator, tmp_path, parallel_searches=0)


@pytest.mark.process
def test_verification_finds_an_export_that_answers_otherwise(
    small_translator, tmp_path, monkeypatch
):
    from keras_transformer.serving import export

    options = {"beam_size": 1, "signatures": [], "verify": True}
    export_saved_model(small_translator, tmp_path, **options)
    monkeypatch.setattr(
        export, "ask_in_clean_process", lambda *_: {"translation": ["else"] * 9}
    )
    with pytest.raises(RuntimeError, match="answers 'else'"):
        export_saved_model(small_translator, tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize(
    "position_encoding", ("learned", "rotary", "relative", "t5", "alibi", None)
)
@pytest.mark.long
def test_every_position_encoding_is_exported(tokenizer, tmp_path, position_encoding):
    model = kt.Transformer(
        320,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        position_encoding=position_encoding,
        seed=0,
    )
    translator = kt.Translator(model, tokenizer)
    path = export_saved_model(
        translator,
        tmp_path,
        beam_size=2,
        max_length=6,
        signatures=[],
        warmup_batch_sizes=(),
    )
    loaded = tf.saved_model.load(path).signatures["serving_default"]
    found = loaded(text=tf.constant(TEXTS))["translation"].numpy()
    answers = translator.translate(TEXTS, beam_size=2, max_length=6)
    assert [text.decode() for text in found] == answers
