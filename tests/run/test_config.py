"""A run's settings are checked when they are given, each by its name."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from keras_transformer.run import RunConfig
from keras_transformer.run.folder import read_config
from keras_transformer.run.texts import training_texts, validation_texts

NOT_POSITIVE = (0, -1)
NO_NUMBERS = ("4", None, True, [1], float("nan"))
WHOLE = (
    "vocabulary_size",
    "tokens_per_batch",
    "steps",
    "steps_per_epoch",
    "warmup_steps",
    "average_last",
    "accumulation_steps",
)
REAL = ("peak_learning_rate", "clip_norm", "label_smoothing")


@pytest.mark.parametrize(
    "name, value",
    [
        *((name, value) for name in WHOLE for value in (*NOT_POSITIVE, 2.5)),
        *((name, value) for name in WHOLE for value in NO_NUMBERS),
        *((name, value) for name in REAL for value in (-1, float("inf"), "x", True)),
        *((name, float("nan")) for name in REAL),
        *((name, -1) for name in ("bleu_sentences", "skip_nonfinite", "seed")),
        *((name, None) for name in ("bleu_sentences", "skip_nonfinite", "seed")),
        *((name, "1") for name in ("bleu_sentences", "skip_nonfinite", "seed")),
        ("seed", 2**32),
        ("clip_norm", 0),
        ("peak_learning_rate", 0.0),
        ("label_smoothing", 1.0),
        ("label_smoothing", None),
        ("max_length", 1),
        ("max_length", 0),
        ("max_length", "9"),
        ("max_length", 5000),
        ("tokens_per_batch", 1),
        ("steps", 255),
        ("source", None),
        ("source", ""),
        ("target", 3),
        ("target", ""),
        ("valid_source", ["a"]),
        ("valid_target", "without its source"),
        ("preset", "tinny"),
        ("preset", None),
        ("preset", ["tiny"]),
        ("strategy", "one-device"),
        ("strategy", None),
        ("joint_vocabulary", 1),
        ("joint_vocabulary", "no"),
        ("joint_vocabulary", None),
        ("model", None),
        ("model", [1]),
        ("model", {"dropout": np.zeros(3)}),
        ("model", {"num_layer": 2}),
        ("model", {"source_vocabulary_size": 3}),
        ("tokenizer", "bpe"),
        ("tokenizer", {"bogus": 1}),
        ("tokenizer", {"vocabulary_size": 1}),
        ("tokenizer", {"sentences": ["a"]}),
        ("peak_learning_rate", 10**400),
        ("label_smoothing", -(10**400)),
        ("tokenizer", {"symbols": {1}}),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises((ValueError, TypeError), match=name) as error:
        RunConfig(**{"source": "a", name: value})
    words = str(error.value)
    assert str(value) in words or repr(value) in words or name in ("model", "tokenizer")


def test_the_nearest_name_of_a_model_s_argument_is_given():
    with pytest.raises(ValueError, match="did you mean 'num_layers'"):
        RunConfig("a", model={"num_layer": 2})
    with pytest.raises(ValueError, match="did you mean 'normalization'"):
        RunConfig("a", tokenizer={"normalisation": "nmt"})


def test_settings_are_kept_as_json_has_them():
    config = RunConfig(
        pathlib.Path("a"),
        steps=np.int64(500),
        peak_learning_rate=1,
        tokenizer={"symbols": ("<a>",)},
        seed=np.uint8(3),
    )
    assert config.source == "a" and config.tokenizer == {"symbols": ["<a>"]}
    assert [
        type(x) for x in (config.steps, config.peak_learning_rate, config.seed)
    ] == [
        int,
        float,
        int,
    ]


GOOD = {"source": "a", "steps": 500}


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        (json.dumps(GOOD)[:-9], "no JSON"),
        ("\x00\x01", "no JSON"),
        (b"\xff\xfe{}", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "must hold a dict"),
        ("null", "must hold a dict"),
        ("3", "must hold a dict"),
        ("{}", "no source"),
        (json.dumps({**GOOD, "stepz": 1}), "did you mean 'steps'"),
        (json.dumps({**GOOD, "entirely other": 1}), "no argument 'entirely other'"),
        (json.dumps({**GOOD, "steps": None}), "steps must be an int"),
        (json.dumps({**GOOD, "steps": "500"}), "steps must be an int"),
        (json.dumps({**GOOD, "model": []}), "model must be a dict"),
        (json.dumps({**GOOD, "clip_norm": -1}), "clip_norm must be positive"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong_and_the_way_out(
    content, words, tmp_path
):
    path = tmp_path / "config.json"
    content = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        read_config(tmp_path)
    assert str(path) in str(error.value) and "another folder" in str(error.value)


def test_settings_that_came_later_have_their_defaults(tmp_path):
    (tmp_path / "config.json").write_text('{"source": "a", "target": "b"}', "utf-8")
    assert read_config(tmp_path) == RunConfig("a", "b")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"freeze": "encoder"}, "must be a list"),
        ({"freeze": ["encodr"]}, "did you mean 'encoder'"),
        ({"freeze": [1]}, "must hold strings"),
        ({"freeze": None}, "must be a list"),
        ({"initial": ""}, "initial must name a file"),
        ({"initial": 3}, "initial must be a path"),
        ({"lora_rank": 2}, "lora_rank needs an initial"),
        ({"initial": "b", "lora_rank": 0}, "lora_rank must be at least 1"),
        ({"initial": "b", "preset": "mini"}, "preset doesn't apply"),
        ({"initial": "b", "model": {"dropout": 0.2}}, "model doesn't apply"),
        ({"initial": "b", "vocabulary_size": 500}, "vocabulary_size doesn't apply"),
        ({"initial": "b", "joint_vocabulary": False}, "joint_vocabulary doesn't"),
        ({"initial": "b", "tokenizer": {"symbols": ["<a>"]}}, "tokenizer doesn't"),
        ({"schedule": "cosin"}, "one of inverse_square_root, constant"),
        ({"schedule": "linear", "steps": 500}, "warmup_steps must be less than steps"),
        ({"schedule": "cosine", "steps": 4000}, "warmup_steps must be less than"),
        ({"schedule": "plateau"}, "needs a valid_source"),
        ({"patience": 3}, "needs a valid_source"),
        ({"keep": "best"}, "needs a valid_source"),
        ({"monitor": "val_bleu"}, "needs a valid_source"),
        ({"patience": 0, "valid_source": "v"}, "patience must be at least 1"),
        ({"keep": "worst"}, "one of average, best, last"),
        ({"monitor": "loss"}, "one of val_loss, val_bleu"),
        ({"plateau_factor": 1}, "plateau_factor must be more than 0 and less"),
        ({"plateau_patience": 0}, "plateau_patience must be at least 1"),
        ({"plateau_factor": 0.1}, "plateau_factor is for schedule='plateau'"),
        (
            {"plateau_patience": 1, "schedule": "cosine"},
            "plateau_patience is for schedule='plateau'; .*schedule='cosine'",
        ),
        ({"samples": -1}, "samples must be at least 0"),
        (
            {"monitor": "val_bleu", "valid_source": "v", "bleu_sentences": 0},
            "needs bleu_sentences",
        ),
    ],
)
def test_what_goes_together_and_what_does_not(changes, words):
    with pytest.raises((ValueError, TypeError), match=words):
        RunConfig("a", **changes)


def test_settings_of_fine_tuning_come_back_from_json(tmp_path):
    config = RunConfig("a", initial=pathlib.Path("base"), freeze=["encoder"])
    values = json.dumps(dataclasses.asdict(config))
    (tmp_path / "config.json").write_text(values, "utf-8")
    assert read_config(tmp_path) == config
    assert config.initial == "base" and config.freeze == ["encoder"]


@pytest.mark.parametrize(
    "given, name, error",
    [
        ({"source": []}, "source", ValueError),
        ({"source": ["a", ""]}, "source", ValueError),
        ({"source": ["a", None]}, "source", TypeError),
        ({"source": {"a"}}, "source", TypeError),
        ({"source": ["a", "b"], "target": "c"}, "target", ValueError),
        ({"source": "a", "target": ["b"]}, "target", ValueError),
        ({"source": ["a", "b"], "target": ["c"]}, "target", ValueError),
        ({"source": ["a", "b"], "target": ["c", 3]}, "target", TypeError),
        ({"source": ["a", "b"], "target": ["c", ""]}, "target", ValueError),
        ({"weights": 0.5}, "weights", TypeError),
        ({"weights": "0.5"}, "weights", TypeError),
        ({"weights": [0.5, 0.5]}, "weights", ValueError),
        ({"weights": []}, "weights", ValueError),
        ({"source": ["a", "b"], "weights": [1]}, "weights", ValueError),
        ({"source": ["a", "b"], "weights": [1, 0]}, "weights", ValueError),
        ({"source": ["a", "b"], "weights": [1, -1]}, "weights", ValueError),
        ({"source": ["a", "b"], "weights": [1, float("nan")]}, "weights", ValueError),
        ({"source": ["a", "b"], "weights": [1, "1"]}, "weights", TypeError),
        ({"source": ["a", "b"], "weights": [1, True]}, "weights", TypeError),
        ({"weights": [1.0], "temperature": 2}, "temperature", ValueError),
        ({"temperature": 5}, "temperature", ValueError),
        ({"temperature": 0}, "temperature", ValueError),
        ({"temperature": float("inf")}, "temperature", ValueError),
        ({"temperature": "5"}, "temperature", TypeError),
        ({"tags": "<2de>"}, "tags", TypeError),
        ({"tags": ["<2de>", "<2fr>"]}, "tags", ValueError),
        ({"tags": [3]}, "tags", TypeError),
        ({"tags": [""]}, "tags", ValueError),
        ({"tags": ["<2 de>"]}, "tags", ValueError),
        ({"columns": [1, 2], "target": "b"}, "columns", ValueError),
        ({"columns": [1, 1]}, "columns", ValueError),
        ({"columns": 3}, "columns", TypeError),
        ({"source_language": "en"}, "source_language", ValueError),
        ({"source": "a.tmx"}, "source_language", ValueError),
        (
            {"source_language": "en", "target_language": "de"},
            "source_language",
            ValueError,
        ),
        ({"filters": None}, "filters", TypeError),
        ({"filters": ["duplicates"]}, "filters", TypeError),
        ({"filters": {"duplicate": True}}, "filters", ValueError),
        ({"filters": {"max_length_ratio": 0}}, "max_length_ratio", ValueError),
        ({"bpe_dropout": 1}, "bpe_dropout", ValueError),
        ({"bpe_dropout": -0.1}, "bpe_dropout", ValueError),
        ({"bpe_dropout": None}, "bpe_dropout", TypeError),
        ({"unigram_alpha": 0}, "unigram_alpha", ValueError),
        ({"unigram_alpha": "0.1"}, "unigram_alpha", TypeError),
    ],
)
def test_a_wrong_setting_of_the_texts_is_named(given, name, error):
    with pytest.raises(error, match=name):
        RunConfig(**{"source": "a", **given})


def test_settings_of_several_corpora_are_kept_as_json_has_them():
    config = RunConfig(
        (pathlib.Path("a.en"), "b.tsv", "c.tmx"),
        ("a.de", None, None),
        columns=("en", "de"),
        source_language="en",
        target_language="de",
        weights=(np.float32(0.5), 1, 2),
        tags=("<2de>", None, "<2de>"),
        filters={"script": ("Latin", ["Han", "Hiragana"]), "max_length_ratio": 3},
        bpe_dropout=np.float64(0.1),
    )
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert values == dataclasses.asdict(config)
    assert RunConfig.from_json(values) == config
    assert values["source"] == ["a.en", "b.tsv", "c.tmx"]
    assert values["weights"] == [0.5, 1.0, 2.0]


def test_each_corpus_is_read_with_the_settings_of_its_kind():
    config = RunConfig(
        ["a.en", "b.tsv", "c.tmx.gz"],
        ["a.de", None, None],
        valid_source="d.tsv",
        columns=[2, 4],
        source_language="en",
        target_language="de",
        tags=["<a>", None, "<c>"],
    )
    languages = {"source_language": "en", "target_language": "de"}
    assert [
        (texts.paths, texts.options, texts.tag) for texts in training_texts(config)
    ] == [
        (["a.en", "a.de"], {}, "<a>"),
        (["b.tsv"], {"columns": [2, 4]}, None),
        (["c.tmx.gz"], languages, "<c>"),
    ]
    assert validation_texts(config).options == {"columns": [2, 4]}
    one = RunConfig("a", "b")
    assert [texts.paths for texts in training_texts(one)] == [["a", "b"]]
    assert validation_texts(one) is None
