"""A committed checkpoint gives the answers that Transformers gave, and errors speak."""

import json
import os
import pathlib
import pickle
import shutil

import keras
import numpy as np
import pytest
import safetensors.numpy

import keras_transformer as kt
from keras_transformer.interop.names import marian_weights
from keras_transformer.interop.torch_file import read_torch_file
from keras_transformer.serving.clean_process import ask_in_clean_process

FOLDER = pathlib.Path(__file__).parent / "tiny-marian"
RECORDED = json.loads((FOLDER / "answers.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def translator():
    return kt.interop.load_marian(FOLDER)


@pytest.fixture
def broken(tmp_path):
    """A copy of the folder, to be broken."""
    shutil.copytree(FOLDER, tmp_path / "broken")
    return tmp_path / "broken"


def answered_ids(translator, **options):
    ids, _ = translator.encode(RECORDED["texts"])
    found = translator.search(ids.to_tensor(), **options)["ids"][:, 0]
    special = {0, translator.target_tokenizer.end_id}
    return [[i - 1 for i in row if i not in special] for row in found.numpy().tolist()]


def test_tokens_and_answers_are_those_recorded(translator):
    ids, _ = translator.encode(RECORDED["texts"])
    assert [[i - 1 for i in row] for row in ids.to_list()] == RECORDED["source_ids"]
    assert answered_ids(translator, beam_size=1) == RECORDED["greedy"]
    assert answered_ids(translator) == RECORDED["beam"]


def test_saved_and_loaded_it_answers_alike(translator, tmp_path):
    translator.save(tmp_path / "saved")
    loaded = kt.Translator.load(tmp_path / "saved")
    assert loaded.search_options == translator.search_options
    texts = RECORDED["texts"]
    assert loaded.translate(texts) == translator.translate(texts)


@pytest.mark.long
def test_exported_it_answers_alike_through_the_session_api(translator, tmp_path):
    path = kt.serving.export_saved_model(translator, tmp_path)
    inputs = {"text": RECORDED["texts"]}
    found = ask_in_clean_process(path, "serving_default", inputs)
    assert found["translation"] == translator.translate(RECORDED["texts"])


def test_training_goes_on_from_it(tmp_path):
    translator = kt.interop.load_marian(FOLDER)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("The cat sees 12 boats today.\n" * 8)
    target.write_text("Le chat voit 12 bateaux aujourd'hui !\n" * 8)
    batches = kt.text.make_batches(
        source,
        target,
        source_tokenizer=translator.source_tokenizer,
        target_tokenizer=translator.target_tokenizer,
    )
    translator.model.compile(
        keras.optimizers.Adam(3e-3), kt.training.MaskedCrossentropy(0.1)
    )
    history = translator.model.fit(batches, steps_per_epoch=20, epochs=2, verbose=0)
    losses = history.history["loss"]
    assert np.all(np.isfinite(losses)) and losses[1] < losses[0]
    # Label smoothing leaves our padding as improbable as it was.
    bias = np.asarray(translator.model.target_embedding.bias)
    assert bias[0] < -90


def test_language_tokens_are_one_piece(translator):
    tokenizer = translator.source_tokenizer
    (ids,) = tokenizer.tokenize([">>fra<< boat"]).to_list()
    assert tokenizer.tokens(ids)[0] == ">>fra<<"
    (ids,) = tokenizer.tokenize([">>eng<< boat"]).to_list()
    assert ids[0] == tokenizer.unknown_id


def rewrite(folder, change):
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path)


def change_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}))


FC1 = "model.encoder.layers.1.fc1.weight"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: rewrite(f, lambda t: t.pop(FC1)), ["safetensors", FC1]),
        (
            lambda f: rewrite(f, lambda t: t.update({FC1: t[FC1][:, :5]})),
            ["safetensors", FC1, "(48, 5)", "(48, 32)"],
        ),
        (
            lambda f: rewrite(f, lambda t: t.update(surplus=np.ones(3, "float32"))),
            ["safetensors", "surplus"],
        ),
        (
            lambda f: rewrite(
                f,
                lambda t: t.update(
                    {"lm_head.weight": t["model.shared.weight"] + np.float32(1)}
                ),
            ),
            ["lm_head.weight", "must be the same"],
        ),
        (lambda f: os.truncate(f / "model.safetensors", 20_000), ["truncated"]),
        (lambda f: (f / "model.safetensors").write_bytes(b""), ["model.safetensors"]),
        (
            lambda f: change_json(f / "config.json", model_type="bart"),
            ["config.json", "'bart'"],
        ),
        (
            lambda f: change_json(f / "config.json", activation_function="tanh"),
            ["activation_function", "'tanh'"],
        ),
        (
            lambda f: change_json(f / "config.json", decoder_ffn_dim=7),
            ["decoder_ffn_dim", "7"],
        ),
        (
            lambda f: change_json(f / "config.json", tie_word_embeddings=False),
            ["tie_word_embeddings"],
        ),
        (
            lambda f: change_json(f / "vocab.json", another=9_999),
            ["vocab.json", "9999"],
        ),
        (lambda f: (f / "config.json").write_text("{"), ["config.json", "JSON"]),
        (lambda f: (f / "source.spm").write_bytes(b"?"), ["source.spm"]),
    ],
)
def test_broken_folders_are_errors_that_name_what_is_wrong(broken, break_it, words):
    break_it(broken)
    with pytest.raises(ValueError) as error:
        kt.interop.load_marian(broken)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "name", ("config.json", "vocab.json", "target.spm", "model.safetensors")
)
def test_missing_files_are_named(broken, name):
    (broken / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
        kt.interop.load_marian(broken)


def test_a_name_without_a_network_says_what_to_download(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="source.spm|\\*.spm") as error:
        kt.interop.load_marian("nobody/opus-mt-en-xx")
    assert "model.safetensors" in str(error.value)


def test_a_model_that_does_not_fit_is_refused(tmp_path, tokenizer):
    model = kt.Transformer(320, 320, 1, 16, 2, 32, position_encoding="rotary")
    with pytest.raises(ValueError, match="sinusoidal"):
        kt.interop.save_marian(kt.Translator(model, tokenizer), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    import zipfile

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    with zipfile.ZipFile(tmp_path / "x.bin", "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"a": Evil()}))
    with pytest.raises(ValueError, match="system"):
        read_torch_file(tmp_path / "x.bin")
    assert not (tmp_path / "ran").exists()


def test_a_truncated_bin_file_is_named(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"PK\x03\x04half")
    with pytest.raises(ValueError, match="x.bin"):
        read_torch_file(tmp_path / "x.bin")


def test_pre_norm_and_normalized_embeddings_are_loaded(broken, translator):
    """Names as older Transformers wrote them; no released model has both."""
    config = {**translator.model.config, "norm_first": True, "norm_embedding": True}
    model = kt.Transformer(**config)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.1 * keras.random.normal(weight.shape, seed=2))
    model.target_embedding.embeddings.assign(
        translator.model.target_embedding.embeddings
    )
    tensors = marian_weights(model, first=1)
    for side in ("encoder", "decoder"):
        for name in ("layer_norm", "layernorm_embedding"):
            assert f"model.{side}.{name}.weight" in tensors
    safetensors.numpy.save_file(tensors, broken / "model.safetensors")
    change_json(broken / "config.json", normalize_before=True, normalize_embedding=True)
    loaded = kt.interop.load_marian(broken).model
    inputs = {
        "source_ids": np.array([[5, 9, 7, 1]]),
        "target_ids": np.array([[translator.target_tokenizer.start_id, 8, 6]]),
    }
    # Ours has another bias for the padding, which no file holds.
    found, expected = (np.asarray(m(inputs))[..., 1:] for m in (loaded, model))
    np.testing.assert_allclose(found, expected, atol=1e-5)
