"""A run on several corpora: what it is made of, and that it goes on as if unstopped."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.cli import main
from keras_transformer.run import RunConfig, train
from keras_transformer.run.batches import data_of_run
from keras_transformer.run.corpora import corpora_of_run, prepare_corpora
from keras_transformer.run.dry_run import dry_run
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.start import check_start
from keras_transformer.training import Checkpoints, Preempted

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}


@pytest.fixture(scope="module")
def texts(corpus, tmp_path_factory):
    """Two aligned files, a TSV with a header and a TMX; held-out lines with a tag."""
    folder = tmp_path_factory.mktemp("texts")
    lines = [pathlib.Path(path).read_text().splitlines() for path in corpus]
    for name, side in zip(("x.a", "x.b"), lines):
        text = "".join(f"{line}\n" for line in [*side[:80], side[0]])
        (folder / name).write_text(text)
    rows = "".join(f"{i}\t{a}\t{b}\n" for i, (a, b) in enumerate(zip(*lines)))
    rows = rows[: rows.index("\n", 2000) + 1]
    (folder / "y.tsv").write_text(f"id\tsource\ttarget\n{rows}")
    text = "".join(f"<2b> {a}\t{b}\n" for a, b in zip(lines[0][:9], lines[1]))
    (folder / "valid.tsv").write_text("source\ttarget\n" + text)
    return folder


def config(texts, **changes):
    options = {
        "source": [str(texts / "x.a"), str(texts / "y.tsv")],
        "target": [str(texts / "x.b"), None],
        "valid_source": str(texts / "valid.tsv"),
        "columns": ["source", "target"],
        "weights": [1, 3],
        "tags": ["<2a>", "<2b>"],
        "filters": {"duplicates": True},
        "bpe_dropout": 0.1,
        "model": SIZES,
        "vocabulary_size": 310,
        "tokens_per_batch": 256,
        "steps": 8,
        "steps_per_epoch": 4,
        "warmup_steps": 4,
        "average_last": 1,
        "bleu_sentences": 2,
        **changes,
    }
    return RunConfig(**options)


@pytest.fixture(scope="module")
def finished(texts, tmp_path_factory):
    """A run's folder; what it has printed is in the file `said` beside it."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    with open(folder.parent / "said", "w") as said, contextlib.redirect_stdout(said):
        train(config(texts), folder, verbose=2)
    return folder


def weights(folder):
    return kt.Translator.load(folder / "translator").model.get_weights()


def test_a_run_has_its_tags_as_tokens_and_its_corpora_beside_it(texts, finished):
    tokenizer = kt.text.Tokenizer.load(finished / "source.spm")
    for tag in ("<2a>", "<2b>"):
        assert tokenizer.tokens(tokenizer.encode([tag])[0])[-1] == tag
    assert "\t" not in "".join(tokenizer.tokens(range(310)))
    folders = corpora_of_run(RunFolder(finished, config(texts)))
    assert [folder.parent for folder in folders] == [finished.parent / "corpora"] * 2
    first, second = map(kt.data.PreparedCorpus, folders)
    assert len(first) + first.report.dropped["duplicate"] == 81
    expected = list(kt.data.read_pairs(texts / "x.a", texts / "x.b"))[0]
    assert tuple(tokenizer.decode(first[0])) == expected
    rows = kt.data.read_pairs(texts / "y.tsv", columns=("source", "target"))
    assert tuple(tokenizer.decode(second[0])) == next(rows)


def test_a_stopped_run_ends_with_the_weights_of_one_without_a_stop(
    texts, finished, monkeypatch
):
    count = Checkpoints.on_train_batch_end

    def stop_at_3(checkpoints, batch, logs=None):
        count(checkpoints, batch, logs)
        if checkpoints.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    folder = finished.parent / "two"
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", stop_at_3)
        with pytest.raises(Preempted):
            train(config(texts), folder, verbose=0)
    train(config(texts), folder, verbose=0)
    for found, expected in zip(weights(folder), weights(finished), strict=True):
        np.testing.assert_array_equal(found, expected)
    corpora = finished.parent / "corpora"
    assert len(list(corpora.glob("*/corpus.json"))) == 2, "shared by both runs"


def test_texts_may_be_moved_and_not_changed(texts, finished, tmp_path):
    shutil.copytree(texts, tmp_path / "moved")
    moved = config(tmp_path / "moved")
    RunFolder(finished, moved)
    with open(tmp_path / "moved" / "y.tsv", "a") as file:
        file.write("1\ta\tb\n")
    with pytest.raises(ValueError, match="source: its content isn't what it was"):
        RunFolder(finished, moved)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [1, 2]},
        {"weights": None, "temperature": 2},
        {"tags": ["<2b>", "<2a>"]},
        {"filters": {}},
        {"bpe_dropout": 0.2},
    ],
)
def test_another_mixture_is_another_run(texts, finished, changes):
    with pytest.raises(ValueError, match=f"Different are.*{[*changes][0]}"):
        RunFolder(finished, config(texts, **changes))


def test_filters_and_formats_make_corpora_of_their_own(texts, finished):
    folders = [
        corpora_of_run(RunFolder(finished.parent / "none", config(texts, **changes)))
        for changes in (
            {},
            {"filters": {}},
            {"columns": ["target", "source"]},
            {"max_length": 20},
            {"weights": [5, 1], "tags": None, "bpe_dropout": 0.0},
        )
    ]
    assert folders[4] == folders[0]
    assert len({folder[1] for folder in folders}) == 4
    assert len({folder[0] for folder in folders}) == 3


def test_what_is_mixed_and_left_out_is_said(texts, finished):
    said = (finished.parent / "said").read_text()
    assert "left out: 0 with an empty side, 0 too long, 2 that came before" in said
    for name, share in (("x.a", "25.0%"), ("y.tsv", "75.0%")):
        assert f"{texts / name}: {share} of the pairs of a batch; " in said


def test_a_dry_run_shows_the_mixture_and_the_tags(texts):
    found = str(dry_run(config(texts)))
    assert "25.0% of the pairs of a batch" in found and "that came before" in found
    assert "<2a> " in found or "<2b> " in found


def test_a_prepared_corpus_and_texts_train_together(texts, tmp_path):
    tokenizer = kt.text.train_tokenizer(
        [texts / "x.a", texts / "x.b"], 310, symbols=["<2a>", "<2b>"]
    )
    paths = texts / "x.a", texts / "x.b", tmp_path / "x"
    prepared = kt.data.prepare(*paths, source_tokenizer=tokenizer, verbose=0)
    sources = [str(tmp_path / "x"), str(texts / "y.tsv")]
    changed = config(texts, source=sources, target=None)
    check_start(changed)
    run = RunFolder(tmp_path / "run", changed)
    run.prepare()
    assert (tmp_path / "run" / "source.spm").read_bytes() == tokenizer.model
    prepare_corpora(run, verbose=0)
    folders = corpora_of_run(run)
    assert folders[0] == tmp_path / "x"
    assert folders[1].parent == tmp_path / "corpora"
    strategy = kt.training.get_strategy("one_device")
    batches, _ = data_of_run(changed, run.tokenizers(), strategy, folders)
    mixed = batches.report.corpora
    assert np.allclose([one.share for one in mixed], [0.25, 0.75], 0.02)
    assert mixed[0].report.pairs == len(prepared)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"tags": ["<2a>", "<2c>"]}, "tags must be tokens of source_tokenizer"),
        ({"unigram_alpha": 0.1}, "unigram_alpha needs a tokenizer"),
        ({"filters": {"duplicates": True}}, "filters are for texts"),
        ({"joint_vocabulary": False}, "joint_vocabulary must"),
        ({"vocabulary_size": 300}, "vocabulary_size is for .* its own, of 290 tokens"),
        ({"tokenizer": {"model_type": "unigram"}}, "tokenizer is for tokenizers"),
    ],
)
def test_a_prepared_corpus_without_what_is_asked_for_is_refused_before_anything(
    texts, tmp_path, changes, words
):
    tokenizer = kt.text.train_tokenizer(texts / "x.a", 290, symbols=["<2a>", "<2b>"])
    paths = texts / "x.a", texts / "x.b", tmp_path / "x"
    kt.data.prepare(*paths, source_tokenizer=tokenizer, verbose=0)
    plain = {"source": [str(tmp_path / "x")] * 2, "target": None, "filters": {}}
    plain["vocabulary_size"] = 290
    with pytest.raises(ValueError, match=words):
        train(config(texts, **{**plain, **changes}), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"unigram_alpha": 0.1}, "unigram_alpha needs a tokenizer of type 'unigram'"),
        ({"tokenizer": {"model_type": "char"}}, "bpe_dropout needs a tokenizer"),
        ({"columns": ["source", "other"]}, "y.tsv, line 1.*'other'"),
    ],
)
def test_a_mistyped_mixture_writes_no_file(texts, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        train(config(texts, **changes), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_missing_text_of_several_is_named(texts, tmp_path):
    sources = [str(texts / "x.a"), str(tmp_path / "none.tsv")]
    with pytest.raises(FileNotFoundError, match="none.tsv"):
        train(config(texts, source=sources), tmp_path / "run", verbose=0)


def test_the_command_line_goes_on_with_a_mixture(texts, finished, capsys):
    main(["train", str(finished), "--steps", "12", "--print-config"])
    values = dataclasses.asdict(config(texts, steps=12))
    assert json.loads((finished / "config.json").read_text())["weights"] == [1.0, 3.0]
    import yaml

    assert yaml.safe_load(capsys.readouterr().out) == values
