"""`score` and `explain` say what an export's signatures of these names say."""

import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.layers.lora import lora_layers
from keras_transformer.serving.translation import TranslationSignatures

TEXTS = ["the red dog", "", "a cat sleeps", "woman \u732b"]
REFERENCES = ["dog red the", "a", "", "sleeps cat a " * 100]


@pytest.fixture(scope="module")
def pair(tokenizer):
    """A translator and the signatures of its export."""
    import random

    random.seed(0)
    model = kt.Transformer(tokenizer.vocabulary_size, None, 2, 32, 2, 64)
    options = {"beam_size": 2, "max_length": 7}
    translator = kt.Translator(
        model, tokenizer, max_source_length=20, search_options=options
    )
    return translator, TranslationSignatures(translator, num_hypotheses=1)


def test_score_is_that_of_an_export(pair):
    translator, signatures = pair
    found = translator.score(TEXTS, REFERENCES)
    expected = signatures.score(tf.constant(TEXTS), tf.constant(REFERENCES))
    assert set(found) == set(expected)
    np.testing.assert_allclose(found["log_prob"], expected["log_prob"], rtol=1e-5)
    np.testing.assert_array_equal(found["num_tokens"], expected["num_tokens"])
    np.testing.assert_array_equal(found["truncated"], expected["truncated"])
    assert found["truncated"].tolist() == [False, False, False, True]
    assert found["num_tokens"][2] == 1 and (found["log_prob"] < 0).all()


def test_a_blank_text_has_one_answer_itself(pair):
    translator, signatures = pair
    texts, references = ["", " ", "\n"], ["", "\t", "a dog"]
    found = translator.score(texts, references)
    expected = signatures.score(tf.constant(texts), tf.constant(references))
    np.testing.assert_array_equal(found["log_prob"], expected["log_prob"])
    np.testing.assert_array_equal(found["num_tokens"], expected["num_tokens"])
    assert found["log_prob"].tolist() == [0, 0, -1e9]
    assert [row["translation"] for row in translator.explain(texts)] == texts


def test_scores_don_t_depend_on_their_batch(pair):
    translator, _ = pair
    together = translator.score(TEXTS, REFERENCES)
    for limit in (1, 30):
        found = translator.score(TEXTS, REFERENCES, tokens_per_batch=limit)
        np.testing.assert_allclose(found["log_prob"], together["log_prob"], rtol=1e-5)
    one = translator.score(TEXTS[0], REFERENCES[0])
    np.testing.assert_allclose(one["log_prob"], together["log_prob"][0], rtol=1e-5)
    assert np.ndim(one["log_prob"]) == 0 and one["num_tokens"].dtype == "int32"


def test_weights_that_change_change_scores(pair):
    translator, _ = pair
    before = translator.score(TEXTS, REFERENCES)["log_prob"]
    weights = translator.model.get_weights()
    try:
        translator.model.set_weights([weight * 1.5 for weight in weights])
        after = translator.score(TEXTS, REFERENCES)["log_prob"]
    finally:
        translator.model.set_weights(weights)
    visible = [bool(text) for text in TEXTS]
    assert (np.abs(after - before) > 1e-3)[visible].all()


def test_explain_is_that_of_an_export(pair):
    translator, signatures = pair
    found = translator.explain(TEXTS)
    expected = {
        name: value.numpy() for name, value in signatures.explain(TEXTS).items()
    }
    for i, row in enumerate(found):
        count, sources = expected["num_tokens"][i], expected["num_source_tokens"][i]
        assert row["translation"] == expected["translation"][i].decode("utf-8")
        for name, width in (("tokens", count), ("source_tokens", sources)):
            own = [piece.decode("utf-8") for piece in expected[name][i, :width]]
            assert row[name] == own
        aligned = expected["aligned_source"][i, :count]
        np.testing.assert_array_equal(row["aligned_source"], aligned)
        log_probs = expected["log_probs"][i, :count]
        np.testing.assert_allclose(row["log_probs"], log_probs, rtol=1e-4)
        assert row["truncated"] == expected["truncated"][i]


def test_explain_is_of_what_translate_answers(pair):
    translator, _ = pair
    found = translator.explain("the red dog", beam_size=4)
    assert found["translation"] == translator.translate("the red dog", beam_size=4)
    score = translator.score("the red dog", found["translation"])
    assert len(found["tokens"]) == len(found["log_probs"]) <= 7
    assert np.isfinite(score["log_prob"])


def test_nothing_is_explained_and_scored_as_nothing(pair):
    translator, _ = pair
    assert translator.explain([]) == []
    assert {len(values) for values in translator.score([], []).values()} == {0}


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ((["a"], ["b", "c"]), ValueError, "received 2 for 1"),
        (("a", ["b"]), ValueError, "references must have one string for each"),
        (([1], ["b"]), TypeError, "texts must be strings"),
        ((["a"], [b"b"]), TypeError, "references must be strings"),
        ((["a"], ["b"], 0), ValueError, "tokens_per_batch must be at least 1"),
        (([], [], "x"), TypeError, "tokens_per_batch must be an integer"),
    ],
)
def test_what_can_t_be_scored_is_named(pair, arguments, error, words):
    with pytest.raises(error, match=words):
        pair[0].score(*arguments)


def test_a_misspelled_option_of_explain_is_named(pair):
    with pytest.raises(TypeError, match="beam_size"):
        pair[0].explain("a", beem_size=2)


def test_what_explain_has_no_use_for_is_named(pair):
    with pytest.raises(ValueError, match="num_hypotheses must be 1.*=2"):
        pair[0].explain("a", num_hypotheses=2)
    with pytest.raises(ValueError, match="tokens_per_batch must be at least 1"):
        pair[0].explain([], tokens_per_batch=0)


def test_other_weights_have_other_scores(tokenizer):
    """Those of LoRA, merged or not, and those of int8."""
    model = kt.Transformer(tokenizer.vocabulary_size, None, 1, 32, 2, 64)
    translator = kt.Translator(model, tokenizer)

    def log_prob():
        return translator.score("the red dog", "dog red the")["log_prob"]

    before = log_prob()
    kt.training.enable_lora(model, 2)
    np.testing.assert_allclose(log_prob(), before, rtol=1e-5)
    for layer in lora_layers(model):
        layer.lora_weights[2].assign(np.full(layer.lora_weights[2].shape, 0.2))
    changed = log_prob()
    assert abs(changed - before) > 0.01
    kt.training.merge_lora(model)
    np.testing.assert_allclose(log_prob(), changed, rtol=1e-4)
    model.quantize("int8")
    assert log_prob() != changed
