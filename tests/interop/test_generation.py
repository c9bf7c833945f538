"""A checkpoint's generation settings are honoured, or named with their values."""

import json
import pathlib
import shutil
import warnings

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.interop.generation import GenerationSettings

FOLDER = pathlib.Path(__file__).parent / "tiny-marian"
RECORDED = json.loads((FOLDER / "answers.json").read_text("utf-8"))
TEXTS = RECORDED["texts"][:12]
END, START = 0, 190


@pytest.fixture
def folder(tmp_path):
    """A copy of the checkpoint; `change(name, **values)` changes a file of it."""
    shutil.copytree(FOLDER, tmp_path / "marian")

    def change(name="generation_config.json", **values):
        path = tmp_path / "marian" / name
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
        found = {k: v for k, v in {**found, **values}.items() if v is not None}
        path.write_text(json.dumps(found), "utf-8")
        return tmp_path / "marian"

    return change


def our_ids(translator, texts=TEXTS, **options):
    ids, _ = translator.encode(texts)
    found = translator.model.generate(
        ids.to_tensor().numpy(),
        start_id=translator.target_tokenizer.start_id,
        end_id=translator.target_tokenizer.end_id,
        **{**translator.search_options, **options},
    )["ids"]
    rows = np.asarray(found)[:, 0].tolist()
    return [[i - 1 for i in row if i - 1 not in (-1, END, START)] for row in rows]


# Few cases of several settings each: a search is compiled for each case.
HONOURED = {
    "shortest answers, banned tokens": {
        "min_length": 9,
        "suppress_tokens": [5, 9, 14, 30, 77, 120],
        "bad_words_ids": [[190], [33], [40], [0]],
    },
    "new tokens over lengths": {
        "min_new_tokens": 3,
        "min_length": 12,
        "max_new_tokens": 7,
        "max_length": 20,
        "no_repeat_ngram_size": 2,
    },
    "new tokens alone, no forced end": {
        "max_new_tokens": 6,
        "max_length": None,
        "forced_eos_token_id": None,
    },
    "renormalized": {"renormalize_logits": True, "num_beams": 3},
    "long answers": {"length_penalty": 2.5, "early_stopping": True},
    "greedy by default, one end token": {"num_beams": None, "eos_token_id": [0]},
    "draws from one token": {"do_sample": True, "num_beams": 1, "top_k": 1},
}


@pytest.mark.parametrize("values", HONOURED.values(), ids=HONOURED)
def test_honoured_settings_give_the_answers_of_transformers(folder, values):
    transformers = pytest.importorskip("transformers")
    from tests.interop.marian_models import answers

    checkpoint = folder(**values)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*honoured")
        translator = kt.interop.load_marian(checkpoint)
    model = transformers.MarianMTModel.from_pretrained(checkpoint).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(checkpoint)
    assert our_ids(translator) == answers(model, tokenizer, TEXTS)


def test_sampling_is_the_translators_default(folder):
    options = kt.interop.load_marian(
        folder(do_sample=True, num_beams=1, temperature=0.7, top_p=0.9)
    ).search_options
    expected = {"sample": True, "temperature": 0.7, "top_k": 50, "top_p": 0.9}
    assert {name: options[name] for name in expected} == expected


NAMED = {
    "repetition_penalty": 1.3,
    "encoder_repetition_penalty": 1.1,
    "encoder_no_repeat_ngram_size": 3,
    "begin_suppress_tokens": [5],
    "sequence_bias": [[[5], -1.0]],
    "exponential_decay_length_penalty": [5, 1.1],
    "forced_bos_token_id": 7,
    "forced_eos_token_id": 5,
    "bad_words_ids": [[5, 6]],
    "eos_token_id": [0, 5],
    "num_return_sequences": 2,
    "guidance_scale": 1.5,
    "diversity_penalty": 0.5,
    "num_beam_groups": 2,
    "stop_strings": ["."],
    "do_sample": True,
    "a_setting_of_next_year": 4,
}


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_honoured_is_named_with_its_value(folder, name):
    checkpoint = folder(**{name: NAMED[name]})
    with pytest.warns(UserWarning, match="generation_config.json") as found:
        settings = GenerationSettings(checkpoint, {}, checkpoint / "config.json")
        settings.search_options(1, 191)
        settings.warn()
    (message,) = [str(w.message) for w in found if "honoured" in str(w.message)]
    assert f"{name}={NAMED[name]!r}" in message


def test_values_that_change_nothing_are_not_named(folder):
    checkpoint = folder(
        repetition_penalty=1.0,
        encoder_no_repeat_ngram_size=0,
        num_return_sequences=1,
        sequence_bias={},
        typical_p=1.0,
        min_p=0.1,
        use_cache=True,
        output_scores=True,
        bos_token_id=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kt.interop.load_marian(checkpoint)


def test_older_checkpoints_have_them_in_their_configuration(folder):
    checkpoint = folder("config.json", num_beams=2, repetition_penalty=1.2)
    # Transformers reads them there only where there is no other file.
    assert kt.interop.load_marian(checkpoint).search_options["beam_size"] == 4
    (checkpoint / "generation_config.json").unlink()
    with pytest.warns(UserWarning, match="config.json.*repetition_penalty=1.2"):
        translator = kt.interop.load_marian(checkpoint)
    assert translator.search_options["beam_size"] == 2


def test_flags_of_added_tokens_are_named(folder):
    flagged = {"content": ">>fra<<", "special": True, "lstrip": True}
    names = {"0": "</s>", "1": "<unk>", "190": "<pad>"}
    usual = {i: {"content": name, "special": True} for i, name in names.items()}
    checkpoint = folder("tokenizer_config.json", added_tokens_decoder=usual)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kt.interop.load_marian(checkpoint)
    vocabulary = json.loads((checkpoint / "vocab.json").read_text("utf-8"))
    place = str(next(i for token, i in vocabulary.items() if token == ">>fra<<"))
    folder("tokenizer_config.json", added_tokens_decoder={**usual, place: flagged})
    with pytest.warns(UserWarning, match="tokenizer_config.json.*>>fra<<.*lstrip"):
        translator = kt.interop.load_marian(checkpoint)
    assert translator.source_tokenizer.added == [">>fra<<"]


@pytest.mark.parametrize(
    "values",
    [
        {"num_beams": "4"},
        {"num_beams": 0},
        {"num_beams": 2.5},
        {"length_penalty": "x"},
        {"early_stopping": "sometimes"},
        {"early_stopping": []},
        {"max_length": 1},
        {"max_new_tokens": -3},
        {"min_length": 50, "max_length": 20},
        {"bad_words_ids": [5]},
        {"bad_words_ids": [["a"]]},
        {"suppress_tokens": [99_999]},
        {"eos_token_id": 99_999},
        {"decoder_start_token_id": "<pad>"},
        {"do_sample": True, "num_beams": 1, "temperature": 0},
        {"no_repeat_ngram_size": -1},
    ],
    ids=str,
)
def test_values_out_of_range_are_errors_that_name_file_and_key(folder, values):
    with pytest.raises(ValueError, match="generation_config.json") as error:
        kt.interop.load_marian(folder(**values))
    ours = {"num_beams": "beam_size", "suppress_tokens": "suppress_tokens"}
    key = next(iter(values))
    key = "temperature" if key == "do_sample" else key
    words = str(error.value)
    assert key in words or ours.get(key, key) in words


def test_added_tokens_are_pieces_of_their_own(folder):
    transformers = pytest.importorskip("transformers")
    import safetensors.numpy

    checkpoint = folder("added_tokens.json", **{"<red>": 191, "<red.+>": 192})
    folder("config.json", vocab_size=193, decoder_vocab_size=193)
    path = checkpoint / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    rows = np.ones((2, 32), "float32")
    shared = tensors["model.shared.weight"]
    tensors["model.shared.weight"] = np.concatenate([shared, rows])
    bias = tensors["final_logits_bias"]
    tensors["final_logits_bias"] = np.pad(bias, ((0, 0), (0, 2)))
    safetensors.numpy.save_file(tensors, path)
    translator = kt.interop.load_marian(checkpoint)
    tokenizer = transformers.MarianTokenizer.from_pretrained(checkpoint)
    texts = ["The <red> cat", "<red.+>", "a<red><red.+>b <red> ", ">>fra<< <red>x", ""]
    theirs = [ids[:-1] for ids in tokenizer(texts)["input_ids"]]
    ours = translator.source_tokenizer.tokenize(texts).to_list()
    assert [[i - 1 for i in row] for row in ours] == theirs
    translator.save(checkpoint / "saved")
    again = kt.Translator.load(checkpoint / "saved").source_tokenizer
    assert again.tokenize(texts).to_list() == ours
    kt.interop.save_marian(translator, checkpoint / "again")
    written = transformers.MarianTokenizer.from_pretrained(checkpoint / "again")
    assert [ids[:-1] for ids in written(texts)["input_ids"]] == theirs
