"""Files cut short, damaged or of another kind: the message names the file."""

import json
import os
import pathlib
import random
import shutil

import numpy as np
import pytest
import safetensors.numpy

import keras_transformer as kt

FOLDER = pathlib.Path(__file__).parent / "tiny-marian"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.name != "answers.json")
READ = [name for name in FILES if not name.endswith(".safetensors")]


@pytest.fixture
def marian(tmp_path):
    """A copy of the checkpoint, to be broken."""
    return shutil.copytree(FOLDER, tmp_path / "marian")


def outcome(folder, name, load=kt.interop.load_marian):
    """None if it loads, or the error, which must name the file."""
    try:
        load(folder)
    except (ValueError, FileNotFoundError) as error:
        assert name in str(error), f"{name} isn't named: {error}"
        return error
    return None


def damaged(content, name):
    """Contents that a file may have: cut, flipped, of something else."""
    size = len(content)
    yield from (content[: size * part // 7] for part in range(7))
    yield from (b"[]", b"null", b'"x"', b"7", b"{}", b"\0" * 100, b"\xff" * 50)
    yield b'{"a": ' + b"[" * 5000
    generator = random.Random(name)
    for _ in range(6):
        flipped = bytearray(content)
        flipped[generator.randrange(size)] ^= 1 << generator.randrange(8)
        yield bytes(flipped)


@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_is_named_or_does_no_harm(marian, name, monkeypatch):
    # The weights take most of the time, and aren't what is damaged.
    monkeypatch.setattr(
        "keras_transformer.interop.marian.assign_weights", lambda *_, **__: None
    )
    monkeypatch.setattr(
        "keras_transformer.interop.marian._new_model",
        lambda config, dtype, made={}: made.setdefault(
            "model", kt.Transformer(200, num_layers=1, hidden_dim=8, num_heads=1)
        ),
    )
    content = (marian / name).read_bytes()
    outcomes = []
    for changed in damaged(content, name):
        (marian / name).write_bytes(changed)
        outcomes.append(outcome(marian, name))
    # An empty JSON object is right for some; no other has all of its content.
    assert sum(error is not None for error in outcomes) >= 8


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_damaged_weights_are_named(marian, name):
    path = marian / "model.safetensors"
    if name.endswith(".bin"):
        torch = pytest.importorskip("torch")
        tensors = safetensors.numpy.load_file(path)
        tensors = {n: torch.tensor(value) for n, value in tensors.items()}
        torch.save(tensors, marian / name)
        path.unlink()
        path = marian / name
    content = path.read_bytes()
    for changed in [*damaged(content[:4000], name), content[:-1], content[:90_000]]:
        path.write_bytes(changed)
        assert outcome(marian, name) is not None


@pytest.mark.parametrize("name", READ)
def test_a_missing_file_is_named(marian, name):
    (marian / name).unlink()
    error = outcome(marian, name)
    optional = name in ("generation_config.json", "tokenizer_config.json")
    assert optional or isinstance(error, FileNotFoundError)


@pytest.mark.parametrize("name", READ)
def test_a_file_of_any_size_takes_no_more_memory_than_such_files_do(marian, name):
    os.truncate(marian / name, 1 << 31)
    assert "2,147,483,648 bytes" in str(outcome(marian, name))


CONFIG = json.loads((FOLDER / "config.json").read_text("utf-8"))
NEEDED = [
    "model_type",
    "vocab_size",
    "d_model",
    "encoder_layers",
    "decoder_layers",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "activation_function",
    "eos_token_id",
    "decoder_start_token_id",
]
WRONG = ("x", [1], {"a": 1}, 2.5, True, -1, 10**12)
TYPED = (
    *NEEDED,
    "max_position_embeddings",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "share_encoder_decoder_embeddings",
    "tie_word_embeddings",
    "scale_embedding",
    "decoder_vocab_size",
)


def with_config(folder, **values):
    """Writes `config.json` with other values; without a key for `...`."""
    config = {k: v for k, v in {**CONFIG, **values}.items() if v is not ...}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "generation_config.json").unlink(missing_ok=True)


@pytest.mark.parametrize("key", NEEDED)
def test_a_missing_key_is_named(marian, key):
    with_config(marian, **{key: ...})
    error = outcome(marian, "config.json")
    assert key in str(error)


@pytest.mark.parametrize("key", TYPED)
def test_a_value_of_another_type_or_size_is_named(marian, key):
    fits = {"dropout", "attention_dropout", "activation_dropout"}
    fits |= {"share_encoder_decoder_embeddings", "tie_word_embeddings"}
    # Where embeddings are shared, the target has no size of its own.
    fits |= {"scale_embedding", "max_position_embeddings", "decoder_vocab_size"}
    for value in WRONG:
        with_config(marian, **{key: value})
        error = outcome(marian, "config.json")
        # A list of one end or start token is one.
        is_one = key.endswith("token_id") and value == [1]
        assert error is not None or key in fits or is_one, value
    # A null stands for a key that is missing.
    with_config(marian, **{key: None})
    assert outcome(marian, "config.json") is not None or key not in NEEDED


def test_weights_of_other_dtypes_or_values_are_named(marian):
    path = marian / "model.safetensors"
    name = "model.encoder.layers.0.fc1.bias"
    right = safetensors.numpy.load_file(path)
    for wrong in (right[name].astype("int32"), right[name] * np.float32("nan")):
        safetensors.numpy.save_file({**right, name: wrong}, path)
        assert name in str(outcome(marian, "model.safetensors"))


def shards(folder, **weight_map):
    """The weights in two files and an index, as large checkpoints have them."""
    path = folder / "model.safetensors"
    tensors = sorted(safetensors.numpy.load_file(path).items())
    path.unlink()
    found = {}
    for i, part in enumerate((tensors[::2], tensors[1::2]), start=1):
        name = f"model-0000{i}-of-00002.safetensors"
        safetensors.numpy.save_file(dict(part), folder / name)
        found.update({tensor: name for tensor, _ in part})
    index = {"metadata": {}, "weight_map": {**found, **weight_map}}
    text = json.dumps(index)
    (folder / "model.safetensors.index.json").write_text(text, "utf-8")


def test_shards_are_read_as_one_file(marian):
    whole = kt.interop.load_marian(marian).model.get_weights()
    shards(marian)
    for one, other in zip(whole, kt.interop.load_marian(marian).model.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_wrong_index_is_named(marian):
    name = "model-00002-of-00002.safetensors"
    shards(marian)
    (marian / name).unlink()
    assert isinstance(outcome(marian, name), FileNotFoundError)
    index = marian / "model.safetensors.index.json"
    for broken in ("[]", "{", '{"weight_map": []}', '{"weight_map": {"a": 7}}'):
        index.write_text(broken, "utf-8")
        assert outcome(marian, index.name) is not None
    index.write_text('{"weight_map": {"a": "../../secret.safetensors"}}', "utf-8")
    assert "secret" in str(outcome(marian, index.name))


def test_a_folder_that_is_a_file_or_nowhere_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for folder in (file, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=folder.name):
            kt.interop.load_marian(folder)
