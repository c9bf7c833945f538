"""The prepared corpora of runs: who shares which, and runs on a prepared corpus."""

import dataclasses
import multiprocessing

import pytest

import keras_transformer as kt
from keras_transformer.data import PreparedCorpus, prepare
from keras_transformer.run import RunConfig
from keras_transformer.run.corpora import VARIABLE, corpora_of_run, prepare_corpora
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.lock import locked
from keras_transformer.run.start import check_start

MODEL = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 16}


@pytest.fixture
def config(corpus):
    return RunConfig(
        *corpus, vocabulary_size=320, model=MODEL, steps=2, steps_per_epoch=2
    )


def started(path, config, **changes):
    """A run whose corpus is prepared."""
    run = RunFolder(path, dataclasses.replace(config, **changes))
    run.prepare()
    prepare_corpora(run, verbose=0)
    return run


def test_runs_of_the_same_texts_and_tokenizer_share_a_corpus(config, tmp_path):
    first = started(tmp_path / "one", config)
    folder = corpora_of_run(first)[0]
    assert folder.parent == tmp_path / "corpora"
    before = (folder / "shards" / "00000").stat().st_ino
    again = started(tmp_path / "two", config, steps=4, preset="small", seed=9)
    assert corpora_of_run(again)[0] == folder
    assert (folder / "shards" / "00000").stat().st_ino == before
    assert len(PreparedCorpus(folder)) == 2000
    others = {
        corpora_of_run(started(tmp_path / str(i), config, **changes))[0]
        for i, changes in enumerate(
            (
                {"vocabulary_size": 300},
                {"max_length": 20},
                {"source": config.target, "target": config.source},
            )
        )
    }
    assert len(others) == 3 and folder not in others


def test_a_variable_names_the_folder_of_corpora(config, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    run = started(tmp_path / "runs" / "one", config)
    assert corpora_of_run(run)[0].parent == tmp_path / "elsewhere"
    assert not (tmp_path / "runs" / "corpora").exists()


def hold(folder, held, done):
    with locked(folder):
        held.set()
        done.wait()


def test_a_run_waits_for_another_that_prepares(config, tmp_path, monkeypatch, capsys):
    run = RunFolder(tmp_path / "one", config)
    run.prepare()
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "corpora", held, done))
    other.start()
    held.wait()
    monkeypatch.setattr("time.sleep", lambda seconds: (done.set(), other.join()))
    prepare_corpora(run, verbose=1)
    words = capsys.readouterr().err
    assert f"Another run prepares a corpus. folder='{tmp_path / 'corpora'}'" in words
    assert f"process {other.pid}" in words
    assert len(PreparedCorpus(corpora_of_run(run)[0])) == 2000


def test_a_run_trains_on_a_prepared_corpus_alone(config, corpus, tokenizer, tmp_path):
    folder = tmp_path / "corpus"
    prepared = prepare(*corpus, folder, source_tokenizer=tokenizer)
    alone = dataclasses.replace(config, source=str(folder), target=None)
    translator = kt.train(alone, tmp_path / "run", verbose=0)
    assert translator.source_tokenizer.model == tokenizer.model
    run = RunFolder(tmp_path / "run", alone)
    assert run.fingerprints["source"] == prepared.fingerprint
    assert not (tmp_path / "corpora").exists()
    other = prepare([("a", "b")], folder=tmp_path / "b", source_tokenizer=tokenizer)
    changed = dataclasses.replace(alone, source=str(other.folder))
    with pytest.raises(ValueError, match="source: its content isn't what it was"):
        RunFolder(tmp_path / "run", changed)


def test_a_run_and_a_prepared_corpus_must_fit(config, corpus, tokenizer, tmp_path):
    other = kt.text.train_tokenizer(corpus[1], 300)
    one, two = (
        prepare(
            *corpus, tmp_path / name, source_tokenizer=tokenizer, target_tokenizer=t
        )
        for name, t in (("one", None), ("two", other))
    )
    for folder, changes, words in (
        (one, {}, "target must be left out"),
        (one, {"target": None, "joint_vocabulary": False}, "joint_vocabulary must"),
        (two, {"target": None}, "joint_vocabulary must"),
    ):
        changes = {"source": str(folder.folder), **changes}
        with pytest.raises(ValueError, match=words):
            check_start(dataclasses.replace(config, **changes))
    with pytest.raises(FileNotFoundError, match="holds no prepared corpus"):
        empty = {"source": str(tmp_path), "target": None}
        check_start(dataclasses.replace(config, **empty))
