"""TextGenerator and TextEncoder: strings in, strings, vectors or classes out."""

import random

import numpy as np
import pytest
from keras import ops

import keras_transformer as kt

SIZES = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
PROMPTS = ["the dog", "", "a small red cat sees the"]


@pytest.fixture(scope="module")
def generator(tokenizer):
    random.seed(0)
    model = kt.LanguageModel(320, position_encoding="rotary", **SIZES)
    return kt.TextGenerator(model, tokenizer)


@pytest.fixture(scope="module")
def encoder(tokenizer):
    random.seed(0)
    model = kt.EncoderModel(320, num_classes=3, **SIZES)
    return kt.TextEncoder(model, tokenizer, labels=["a", "b", "c"])


def test_text_goes_on_from_its_prompt_whatever_the_batch(generator):
    together = generator.generate(PROMPTS, max_new_tokens=6)
    assert all(text.startswith(prompt) for prompt, text in zip(PROMPTS, together))
    assert together == [generator.generate(p, max_new_tokens=6) for p in PROMPTS]


def test_scores_are_of_the_continuation_alone(generator):
    (text,), (score,) = generator.generate(
        PROMPTS[:1], max_new_tokens=4, min_length=20, return_scores=True
    )
    tokenizer = generator.source_tokenizer
    prompt = tokenizer.tokenize(PROMPTS[:1])[0].numpy()
    ids = ops.convert_to_numpy(
        generator.model.generate(prompt[None], extra_length=4, min_length=20)["ids"]
    )[0, 0]
    logits = generator.model(np.array([[tokenizer.start_id, *ids[:-1]]]))
    log_probs = ops.convert_to_numpy(ops.log_softmax(logits))[0]
    chosen = log_probs[np.arange(len(ids)), ids][len(prompt) :]
    assert len(chosen) == 4
    assert score == pytest.approx(chosen.sum(), abs=1e-4)


def test_sampling_gives_several_continuations(generator):
    found = generator.generate(
        PROMPTS[:1], sample=True, num_hypotheses=3, max_new_tokens=5, seed=1
    )
    assert len(set(found[0])) > 1
    again = generator.generate(
        PROMPTS[:1], sample=True, num_hypotheses=3, max_new_tokens=5, seed=1
    )
    assert found == again


def test_a_prompt_is_no_target_prefix(generator):
    with pytest.raises(ValueError, match="no target_prefix"):
        generator.model.generate(np.array([[5]]), target_prefix=np.array([[5]]))


def test_vectors_don_t_depend_on_the_batch(encoder):
    texts = ["the dog runs", "a cat", ""]
    together = encoder.embed(texts)
    assert together.shape == (3, 16)
    for text, vector in zip(texts, together):
        np.testing.assert_allclose(encoder.embed([text])[0], vector, atol=1e-5)
    assert encoder.embed([]).shape == (0, 16)


def test_classes_are_named(encoder):
    names, scores = encoder.classify(["the dog runs", "a cat"], return_scores=True)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert names == [encoder.labels[i] for i in scores.argmax(axis=1)]


def test_labels_must_fit_the_classes(encoder):
    with pytest.raises(ValueError, match="2 labels for num_classes=3"):
        kt.TextEncoder(encoder.model, encoder.source_tokenizer, labels=["a", "b"])


def test_folders_give_both_back(generator, encoder, tmp_path):
    generator.save(tmp_path / "generator")
    encoder.save(tmp_path / "encoder")
    loaded = kt.TextGenerator.load(tmp_path / "generator")
    assert loaded.generate(PROMPTS) == generator.generate(PROMPTS)
    again = kt.TextEncoder.load(tmp_path / "encoder")
    assert again.classify(PROMPTS) == encoder.classify(PROMPTS)
    with pytest.raises(FileNotFoundError, match="no Translator"):
        kt.Translator.load(tmp_path / "encoder")
