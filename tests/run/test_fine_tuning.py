"""Runs that start from a translator: whole, with frozen parts, with LoRA."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import time

import keras
import numpy as np
import pytest
import safetensors.numpy

import keras_transformer as kt
from keras_transformer import training
from keras_transformer.layers.lora import base_weights
from keras_transformer.run import RunConfig, train
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.held_out_loss import HeldOutLoss
from keras_transformer.run.initial import initial_fingerprint, initial_model
from keras_transformer.training import Checkpoints, Preempted

MARIAN = pathlib.Path(__file__).parents[1] / "interop" / "tiny-marian"


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    """A translator with settings of its own, in a folder."""
    keras.utils.set_random_seed(3)
    model = kt.Transformer(
        tokenizer.vocabulary_size,
        num_layers=1,
        hidden_dim=32,
        num_heads=2,
        intermediate_dim=64,
        dropout=0.1,
    )
    folder = tmp_path_factory.mktemp("base") / "base"
    options = {"beam_size": 2, "force_end": True, "banned_ids": (7,)}
    translator = kt.Translator(
        model, tokenizer, max_source_length=40, search_options=options
    )
    translator.save(folder)
    return folder


@pytest.fixture(scope="module")
def texts(corpus, tmp_path_factory):
    """The first 300 pairs."""
    folder = tmp_path_factory.mktemp("texts")
    for name, path in zip("ab", corpus):
        lines = pathlib.Path(path).read_text("utf-8").splitlines()[:300]
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return str(folder / "a"), str(folder / "b")


def config(texts, **changes):
    options = {
        "valid_source": texts[0],
        "valid_target": texts[1],
        "tokens_per_batch": 512,
        "steps": 6,
        "steps_per_epoch": 2,
        "warmup_steps": 2,
        "peak_learning_rate": 0.01,
        "average_last": 2,
        "bleu_sentences": 2,
        "samples": 0,
        **changes,
    }
    return RunConfig(*texts, **options)


def arrays(variables):
    return [keras.ops.convert_to_numpy(v) for v in variables]


def assert_same(found, expected):
    """To the last bit."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def stop_at(step, monkeypatch):
    """Makes the next run stop after an update."""
    count = Checkpoints.on_train_batch_end

    def stop(checkpoints, batch, logs=None):
        count(checkpoints, batch, logs)
        if checkpoints.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", stop)


def test_a_run_has_tokenizers_settings_and_frozen_weights_of_what_it_starts_from(
    base, texts, tmp_path, capsys
):
    options = config(
        texts, initial=base, freeze=["encoder", "embeddings"], schedule="cosine"
    )
    translator = train(options, tmp_path, verbose=2)
    before = kt.Translator.load(base)
    loaded = kt.Translator.load(tmp_path / "translator")
    for each in (translator, loaded):
        assert each.source_tokenizer.model == before.source_tokenizer.model
        assert each.max_source_length == 40
        assert json.loads(json.dumps(each.search_options)) == {
            "beam_size": 2,
            "force_end": True,
            "banned_ids": [7],
        }
    frozen = ("embedding/", "encoder")
    for old, new in zip(before.model.weights, loaded.model.weights, strict=True):
        old_value, value = arrays([old, new])
        assert (value == old_value).all() == new.path.startswith(frozen), new.path
    count = sum(np.prod(v.shape) for v in before.model.weights)
    trained = sum(
        np.prod(v.shape) for v in before.model.weights if v.path.startswith("decoder")
    )
    out = capsys.readouterr().out
    assert f"{count:,} parameters, {trained:,} of them trained" in out
    checkpoint = keras.models.load_model(
        Checkpoints(tmp_path / "checkpoints").paths()[-1]
    )
    moments = checkpoint.optimizer.variables[1:]
    assert sum(np.prod(v.shape) for v in moments) == 2 * trained


@pytest.fixture(scope="module")
def with_lora(base, texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    train(config(texts, initial=str(base), lora_rank=2), folder, verbose=0)
    return folder


@pytest.mark.long
def test_a_run_with_lora_that_is_stopped_ends_with_the_same_bits(
    base, texts, with_lora, tmp_path, monkeypatch
):
    """Though what it started from is gone by then."""
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    options = config(texts, initial=copy, lora_rank=2)
    with monkeypatch.context() as patch:
        stop_at(3, patch)
        with pytest.raises(Preempted, match="step-00000003"):
            train(options, tmp_path / "run", verbose=0)
    shutil.rmtree(copy)
    with monkeypatch.context() as patch:
        patch.setattr(
            HeldOutLoss, "on_epoch_end", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
        )
        with pytest.raises(Preempted, match="step-00000004"):
            train(options, tmp_path / "run", verbose=0)
    train(options, tmp_path / "run", verbose=0)
    found, expected = (
        kt.Translator.load(folder / "translator").model
        for folder in (tmp_path / "run", with_lora)
    )
    assert_same(found.get_weights(), expected.get_weights())
    found, expected = (
        safetensors.numpy.load_file(folder / "adapter.safetensors")
        for folder in (tmp_path / "run", with_lora)
    )
    assert found.keys() == expected.keys()
    assert_same(found.values(), [expected[name] for name in found])


def test_the_adapter_on_the_base_is_the_merged_translator(base, with_lora):
    merged = kt.Translator.load(with_lora / "translator")
    again = kt.Translator.load(base)
    before = again.model.get_weights()
    training.load_adapter(again.model, with_lora / "adapter.safetensors")
    assert_same(arrays(base_weights(again.model)), before)
    ids = np.random.default_rng(0).integers(4, 300, (3, 6))
    inputs = {"source_ids": ids, "target_ids": ids}
    logits, of_base = (
        keras.ops.convert_to_numpy(each(inputs))
        for each in (again.model, kt.Translator.load(base).model)
    )
    np.testing.assert_allclose(merged.model(inputs), logits, atol=1e-5)
    assert np.abs(logits - of_base).max() > 1e-3
    assert not merged.model.compiled
    size = (with_lora / "adapter.safetensors").stat().st_size
    assert size < (base / "model.keras").stat().st_size / 3


def test_checkpoints_of_lora_have_the_base_as_it_was(base, with_lora):
    path = Checkpoints(with_lora / "checkpoints").paths()[-1]
    model = keras.models.load_model(path)
    expected = kt.Translator.load(base).model.get_weights()
    assert_same(arrays(base_weights(model)), expected)


def test_what_a_run_started_from_binds_it(base, texts, with_lora, tmp_path):
    for path in with_lora.glob("*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    moved = tmp_path / "moved"
    shutil.copytree(base, moved)
    options = config(texts, initial=moved, lora_rank=2)
    RunFolder(tmp_path, options)
    with pytest.raises(ValueError, match="initial: .* before, None now"):
        RunFolder(tmp_path, config(texts))
    with pytest.raises(ValueError, match="lora_rank: 2 before, 3 now"):
        RunFolder(tmp_path, dataclasses.replace(options, lora_rank=3))
    with pytest.raises(ValueError, match="freeze: "):
        RunFolder(tmp_path, dataclasses.replace(options, freeze=["encoder"]))
    text = (moved / "translator.json").read_text("utf-8")
    (moved / "translator.json").write_text(text.replace("40", "41"), "utf-8")
    with pytest.raises(ValueError, match="initial: its content isn't what it was"):
        RunFolder(tmp_path, options)


def test_a_translator_that_is_saved_anew_is_the_same_start(base, tmp_path):
    """As when the run that it is of is called again."""
    translator = kt.Translator.load(base)
    translator.save(tmp_path / "again")
    time.sleep(1.1)
    kt.Translator.load(tmp_path / "again").save(tmp_path / "later")
    first, again = map(initial_fingerprint, (base, tmp_path / "again"))
    assert first == again == initial_fingerprint(tmp_path / "later")
    embedding = translator.model.source_embedding
    embedding.embeddings.assign(embedding.embeddings + 1e-3)
    translator.save(tmp_path / "other")
    assert initial_fingerprint(tmp_path / "other") != first
    assert initial_fingerprint(tmp_path / "nothing") is None
    assert initial_fingerprint("someone/a-model") == "someone/a-model"


@pytest.mark.parametrize("lora_rank", [None, 2])
@pytest.mark.long
def test_a_marian_model_keeps_its_details_in_a_run(tmp_path, lora_rank):
    original = kt.interop.load_marian(MARIAN)
    text = tmp_path / "text"
    text.write_text("an apple\na plane\nflying home\n", "utf-8")
    options = RunConfig(
        text,
        text,
        initial=MARIAN,
        lora_rank=lora_rank,
        tokens_per_batch=128,
        steps=1,
        steps_per_epoch=1,
        # It computes what the original does, but for rounding.
        peak_learning_rate=1e-12,
    )
    train(options, tmp_path / "run", verbose=0)
    found = kt.Translator.load(tmp_path / "run" / "translator")
    before, after = (t.model.get_config() for t in (original, found))
    assert after["position_encoding"]["config"]["layout"] == "concatenated"
    for name in before.keys() - {"name", "position_encoding"}:
        assert before[name] == after[name], name
    for old, new in zip(original.model.get_weights(), found.model.get_weights()):
        np.testing.assert_allclose(new, old, atol=1e-6)
    assert json.loads(json.dumps(found.search_options)) == json.loads(
        json.dumps(original.search_options)
    )
    assert found.max_source_length == original.max_source_length
    assert found.source_tokenizer.vocabulary == original.source_tokenizer.vocabulary
    texts = ["apple", "a plane flying"]
    answers, scores = found.translate(texts, return_scores=True)
    expected = original.translate(texts, return_scores=True)
    assert answers == expected[0]
    np.testing.assert_allclose(scores, expected[1], atol=1e-4)


def test_seeds_of_dropout_are_the_run_s_own(base):
    """Not those that the file has, which would be the same in every run."""
    states = []
    for seed in (1, 2, 1):
        keras.utils.set_random_seed(seed)
        model = initial_model(base)
        states.append(arrays([model.embedding_dropout.seed_generator.state])[0])
    assert (states[0] != states[1]).any() and (states[0] == states[2]).all()


def test_wrong_starts_write_no_file(base, texts, tmp_path):
    in_int8 = kt.Translator.load(base)
    in_int8.model.source_embedding.quantize("int8")
    in_int8.save(tmp_path / "int8")
    (tmp_path / "run").mkdir()
    shutil.copy(texts[0], tmp_path / "text")
    for changes, words in (
        ({"initial": tmp_path / "nothing"}, "isn't there"),
        ({"initial": tmp_path / "text"}, "text"),
        ({"initial": tmp_path / "run"}, "holds no Translator"),
        ({"initial": tmp_path / "int8"}, "int8"),
        ({"initial": base, "freeze": ["encoder_3"]}, "encoder_0, decoder_0"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            train(config(texts, **changes), tmp_path / "new", verbose=0)
        assert not (tmp_path / "new").exists()
