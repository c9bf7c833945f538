"""Exports of a text generator and of a text encoder, asked in a clean process."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.serving import diagnose, export_saved_model
from keras_transformer.serving.clean_process import ask_in_clean_process
from keras_transformer.serving.weights import ONEDNN_FORMATS

TEXTS = ["the dog", "", "a small red cat"]


@pytest.mark.process
def test_generator_answers_in_a_clean_process(generator, tmp_path):
    path = export_saved_model(generator, tmp_path, verify=True)
    found = ask_in_clean_process(path, "serving_default", {"text": TEXTS})
    assert found["generated"] == generator.generate(TEXTS, max_new_tokens=5)
    assert diagnose(path) == []
    sampled = tf.saved_model.load(path).signatures["generate"]
    options = {
        "max_new_tokens": tf.constant([8]),
        "temperature": tf.constant([1.0]),
        "top_p": tf.constant([1.0]),
    }
    texts = tf.constant(TEXTS[:1])
    drawn = {
        sampled(text=texts, seed=tf.constant([seed]), **options)["generated"].numpy()[0]
        for seed in (1, 2, 3, 1)
    }
    assert len(drawn) == 3
    expected = generator.generate(TEXTS[:1], 8, sample=True, seed=1)[0]
    assert expected.encode() in drawn


def test_parallel_searches_generate_the_same(generator, tmp_path):
    one, two = (
        tf.saved_model.load(
            export_saved_model(
                generator,
                tmp_path / str(count),
                parallel_searches=count,
                warmup_batch_sizes=(),
            )
        ).signatures
        for count in (1, 2)
    )
    options = {
        "max_new_tokens": tf.constant([6]),
        "temperature": tf.constant([1.0]),
        "top_p": tf.constant([1.0]),
        "seed": tf.constant([1]),
    }
    for batch_size in (0, 1, 31, 33):
        # Of unequal length, so that the searches' answers are too.
        texts = [f"dog {i} " * (i % 5) for i in range(batch_size)]
        texts = tf.constant(texts, tf.string)
        for name, inputs in (("serving_default", {}), ("generate", options)):
            expected = one[name](text=texts, **inputs)
            found = two[name](text=texts, **inputs)
            np.testing.assert_array_equal(found["generated"], expected["generated"])
            np.testing.assert_allclose(found["score"], expected["score"], atol=1e-4)


@pytest.mark.process
@pytest.mark.parametrize(
    "weights", ["float32", "bfloat16_packed", "int8", "int8_products"]
)
def test_encoder_answers_in_a_clean_process(encoder, tmp_path, weights, request):
    if weights in ONEDNN_FORMATS:
        request.getfixturevalue(weights)
    path = export_saved_model(encoder, tmp_path, weights=weights, verify=True)
    found = ask_in_clean_process(path, "classify", {"text": TEXTS})
    labels, scores = encoder.classify(TEXTS, return_scores=True)
    tolerance = 1e-5 if weights == "float32" else 0.05
    np.testing.assert_allclose(found["scores"], scores, atol=tolerance)
    if weights == "float32":
        assert found["label"] == labels
    vectors = ask_in_clean_process(path, "embed", {"text": TEXTS})["embedding"]
    np.testing.assert_allclose(vectors, encoder.embed(TEXTS), atol=10 * tolerance)


def test_options_without_use_are_errors(generator, encoder, tmp_path):
    with pytest.raises(ValueError, match=r"TextGenerator.*xla_buckets=\[\(1, 8\)\]"):
        export_saved_model(generator, tmp_path, xla_buckets=[(1, 8)])
    with pytest.raises(ValueError, match="TextEncoder.*beam_size=2"):
        export_saved_model(encoder, tmp_path, beam_size=2)
    with pytest.raises(ValueError, match="TextEncoder.*parallel_searches=2"):
        export_saved_model(encoder, tmp_path, parallel_searches=2)
    assert not list(tmp_path.iterdir())
