"""A damaged folder of a saved model is an error that names the file."""

import json
import pathlib
import random
import shutil

import pytest

import keras_transformer as kt

SAVED = pathlib.Path(__file__).parents[1] / "fixtures/version_0_1/run/translator"
TEXT = "a red dog"


@pytest.fixture(scope="module")
def answer():
    return kt.Translator.load(SAVED).translate(TEXT)


@pytest.fixture
def folder(tmp_path):
    """A copy of the saved translator, to be broken."""
    return shutil.copytree(SAVED, tmp_path / "saved")


def outcome(folder, name):
    """None if it loads, or the error, which must name the file."""
    try:
        kt.Translator.load(folder)
    except (ValueError, FileNotFoundError) as error:
        assert name in str(error), f"{name} isn't named: {error}"
        return error
    return None


@pytest.mark.parametrize("name", ["translator.json", "source.spm", "model.keras"])
def test_a_file_cut_or_replaced_is_named(folder, name):
    path = folder / name
    content = path.read_bytes()
    for changed in (
        *(content[: len(content) * part // 5] for part in range(5)),
        content[:-1],
        b"[]",
        b"null",
        b"{}",
        b"\xff" * 300,
        content[100:],
    ):
        path.write_bytes(changed)
        if changed.rstrip() != content.rstrip():
            error = outcome(folder, name)
            # Of a .spm, what comes last may be missing.
            assert error is not None or name == "source.spm"
    path.unlink()
    assert isinstance(outcome(folder, name), FileNotFoundError)
    path.mkdir()
    assert outcome(folder, name) is not None


def test_a_flipped_bit_of_the_model_is_found(folder, answer):
    path = folder / "model.keras"
    content = path.read_bytes()
    generator = random.Random(0)
    for _ in range(8):
        flipped = bytearray(content)
        flipped[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(flipped)
        if outcome(folder, "model.keras") is None:
            assert kt.Translator.load(folder).translate(TEXT) == answer


SETTINGS = json.loads((SAVED / "translator.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": 2}, "format=2"),
        ({"format": None}, "format"),
        ({"format": "1"}, "format"),
        ({"max_source_length": "256"}, "max_source_length"),
        ({"max_source_length": True}, "max_source_length"),
        ({"search_options": [4]}, "search_options"),
        ({"search_options": {"beam_width": 4}}, "beam_width"),
        ({"search_options": {"beam_size": 0}}, "beam_size"),
        ({"bogus": 1}, "bogus"),
        ({"labels": ["a"]}, "labels"),
    ],
    ids=str,
)
def test_settings_that_fit_nothing_are_named(folder, values, words):
    path = folder / "translator.json"
    path.write_text(json.dumps({**SETTINGS, **values}), "utf-8")
    error = outcome(folder, "translator.json")
    assert error is not None and words in str(error)


def test_a_missing_or_wrong_folder_is_named(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FileNotFoundError, match=folder.name):
            kt.Translator.load(folder)
    with pytest.raises(FileNotFoundError, match="text_encoder.json"):
        kt.TextEncoder.load(SAVED)


def test_a_missing_target_tokenizer_is_not_replaced_by_the_source_s(tmp_path):
    source, target = (kt.text.Tokenizer.load(SAVED / "source.spm") for _ in range(2))
    model = kt.Transformer(300, num_layers=1, hidden_dim=8, num_heads=1)
    kt.Translator(model, source, target).save(tmp_path / "two")
    two = kt.Translator.load(tmp_path / "two")
    assert two.target_tokenizer is not two.source_tokenizer
    (tmp_path / "two" / "target.spm").unlink()
    assert isinstance(outcome(tmp_path / "two", "target.spm"), FileNotFoundError)
