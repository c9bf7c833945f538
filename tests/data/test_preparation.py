"""Texts -> a folder of ids: what is in it, kills, damage, other texts."""

import gzip
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.data import PreparedCorpus, prepare, read_pairs

ODD = [
    ("", "no source"),
    ("no target", ""),
    ("the dog", "the cat"),
    (" \u2028 a", "a \x85 \x0b b"),
    ("a\rb", "\ufeffa b"),
    ("word " * 300, "long"),
    ("short", "word " * 300),
    ("\u2581 \x1a0", "\U0001f389 \u00e9 e\u0301"),
    ("  two  spaces ", "\t"),
]


class NoCats:
    """A filter, as `prepare` takes one."""

    def reason(self, source_text, target_text, source_ids, target_ids):
        assert source_ids and target_ids
        return "cat" if "cat" in source_text + target_text else None

    def __repr__(self):
        return "NoCats()"


@pytest.fixture(scope="module")
def prepared(corpus, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "corpus"
    return prepare(*corpus, folder, source_tokenizer=tokenizer, pairs_per_shard=300)


@pytest.fixture
def copied(prepared, tmp_path):
    """A copy of a corpus's folder, to be damaged."""
    return pathlib.Path(shutil.copytree(prepared.folder, tmp_path / "copied"))


def content(folder):
    """All files of a folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.is_file()
    }


def as_lists(pairs):
    return [tuple(ids.tolist() for ids in pair) for pair in pairs]


def test_pairs_are_those_of_the_texts_in_their_order(corpus, tokenizer, prepared):
    sides = (tokenizer.tokenize(side).to_list() for side in zip(*read_pairs(*corpus)))
    expected = list(zip(*sides))
    assert len(prepared) == 2000 and as_lists(prepared) == expected
    assert as_lists(prepared[-3:]) == expected[-3:]
    assert as_lists([prepared[299], prepared[300]]) == expected[299:301]
    lengths = [[len(ids) for ids in pair] for pair in expected]
    assert prepared.lengths().tolist() == lengths
    report = prepared.report
    assert report.source_tokens == sum(n + 1 for n, _ in lengths)
    assert report.target_tokens == sum(m + 1 for _, m in lengths)
    assert report.longest == 1 + max(map(max, lengths))
    with pytest.raises(IndexError, match="2,000 pairs.*received 2000"):
        prepared[2000]


def test_a_folder_can_be_opened_again_and_says_what_it_is(prepared, tokenizer):
    again = PreparedCorpus(str(prepared.folder))
    again.verify()
    assert again.report == prepared.report
    assert again.fingerprint == prepared.fingerprint
    assert again.source_tokenizer is again.target_tokenizer
    assert again.source_tokenizer.model == tokenizer.model
    assert prepared.folder.joinpath("shards", "00006", "ids").exists()


def test_the_order_by_length_has_each_pair_once(prepared):
    indexes = prepared.indexes_at(range(len(prepared)))
    assert sorted(indexes.tolist()) == list(range(len(prepared)))
    lengths = (prepared.lengths()[indexes] + 1).tolist()
    assert lengths == sorted(lengths)
    groups = prepared.groups
    assert lengths == np.repeat(groups[:, :2], groups[:, 2], axis=0).tolist()


@pytest.mark.parametrize("processes", [1, 3])
def test_any_number_of_processes_and_shards_gives_the_same_pairs(
    corpus, tokenizer, prepared, tmp_path, processes
):
    found = prepare(
        *corpus,
        tmp_path / "corpus",
        source_tokenizer=tokenizer,
        pairs_per_shard=300,
        processes=processes,
    )
    assert content(found.folder) == content(prepared.folder)
    assert found.fingerprint == prepared.fingerprint


@pytest.mark.parametrize("kind", ["files", "gz", "tsv", "pairs"])
def test_texts_of_every_kind_are_prepared_alike(tmp_path, tokenizer, kind):
    pairs = [pair for pair in ODD if "\n" not in "".join(pair)]
    if kind in ("files", "gz"):
        ending = "" if kind == "files" else ".gz"
        write = open if kind == "files" else gzip.open
        texts = [tmp_path / f"{side}{ending}" for side in "ab"]
        for path, lines in zip(texts, zip(*pairs)):
            with write(path, "wb") as file:
                # A byte order mark and the ends of lines are no text.
                file.write("\ufeff".encode() + "\r\n".join(lines).encode())
    elif kind == "tsv":
        pairs = [pair for pair in pairs if "\t" not in "".join(pair)]
        texts = [tmp_path / "x.tsv"]
        texts[0].write_bytes("".join(f"{s}\t{t}\n" for s, t in pairs).encode())
    else:
        texts = [iter(pairs)]
    found = prepare(
        *texts,
        folder=tmp_path / "corpus",
        source_tokenizer=tokenizer,
        max_length=40,
        keep_texts=True,
    )
    kept = [pair for pair in pairs if all(pair) and max(map(len, pair)) < 300]
    assert [found.texts(i) for i in range(len(found))] == kept
    assert as_lists(found) == [tuple(tokenizer.tokenize(p).to_list()) for p in kept]
    assert found.report.dropped == {"empty": 2, "long": 2}
    assert (found.report.dropped_empty, found.report.dropped_long) == (2, 2)


@pytest.mark.parametrize("processes", [1, 2])
def test_filters_are_asked_and_counted(corpus, tokenizer, tmp_path, processes):
    folder = tmp_path / "corpus"
    options = {"source_tokenizer": tokenizer, "processes": processes}
    found = prepare(*corpus, folder, filters=NoCats(), **options)
    cats = sum("cat" in source for source, _ in read_pairs(*corpus))
    assert found.report.dropped == {"cat": cats} and len(found) == 2000 - cats > 500
    with pytest.raises(ValueError, match=r"filters: 'NoCats\(\)' before, None now"):
        prepare(*corpus, folder, **options)


def test_large_vocabularies_have_wider_ids(tmp_path):
    tokenizer = types.SimpleNamespace(
        tokenize=lambda texts: kt_ragged([[70_000, 3]] * len(texts)),
        start_id=1,
        end_id=2,
        vocabulary_size=70_001,
        save=lambda path: path.write_text("x"),
    )
    found = prepare([("a", "b")], folder=tmp_path / "c", source_tokenizer=tokenizer)
    assert as_lists(found) == [([70_000, 3], [70_000, 3])]


def kt_ragged(rows):
    import tensorflow as tf

    return tf.ragged.constant(rows, tf.int32)


KILLED = """
import sys
sys.argv[0] = "keras-transformer"
from keras_transformer.data import prepare
from keras_transformer.text.tokenizer import Tokenizer
source, target, folder, tokenizer = sys.argv[1:]
prepare(
    source, target, folder, source_tokenizer=Tokenizer.load(tokenizer),
    pairs_per_shard=2000, processes=2,
)
"""


def test_after_a_kill_whole_shards_stay_and_the_rest_is_done(tokenizer, tmp_path):
    words = random.Random(0)
    lines = [" ".join(words.choices(["dog", "cat", "red"], k=9)) for _ in range(40_000)]
    texts = [str(tmp_path / side) for side in "ab"]
    for text in texts:
        pathlib.Path(text).write_text("\n".join(lines), encoding="utf-8")
    tokenizer.save(tmp_path / "spm")
    folder = tmp_path / "corpus"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *texts, str(folder), str(tmp_path / "spm")],
        env=environment,
    )
    third = folder / "shards" / "00002" / "shard.json"
    while not third.exists():
        assert process.poll() is None, "it has ended before it was killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(ValueError, match="isn't wholly prepared"):
        PreparedCorpus(folder)
    before = {path.name: path.stat().st_ino for path in whole_shards(folder)}
    assert 3 <= len(before) < 20
    options = {"source_tokenizer": tokenizer, "pairs_per_shard": 2000}
    found = prepare(*texts, folder, **options)
    after = {path.name: path.stat().st_ino for path in whole_shards(folder)}
    assert len(after) == 20 and before.items() <= after.items()
    assert not list(folder.rglob("writing-*"))
    straight = prepare(*texts, tmp_path / "straight", **options)
    assert content(found.folder) == content(straight.folder)
    # And once more: nothing is done.
    prepare(*texts, folder, **options)
    assert after == {path.name: path.stat().st_ino for path in whole_shards(folder)}


def whole_shards(folder):
    shards = (folder / "shards").glob("[0-9]*")
    return sorted(path for path in shards if (path / "shard.json").exists())


@pytest.mark.parametrize("change", ["other", "more", "fewer", "fewer by a shard"])
def test_a_folder_of_other_texts_is_refused(copied, corpus, tokenizer, change):
    pairs = list(read_pairs(*corpus))
    pairs = {
        "other": [*pairs[:700], ("dog", "dog"), *pairs[701:]],
        "more": [*pairs, ("dog", "dog")],
        "fewer": pairs[:-1],
        "fewer by a shard": pairs[:1800],
    }[change]
    with pytest.raises(ValueError, match="other texts, or they have changed"):
        prepare(pairs, folder=copied, source_tokenizer=tokenizer, pairs_per_shard=300)


def test_a_folder_of_other_settings_is_refused(copied, corpus, tokenizer, tmp_path):
    other = kt.text.train_tokenizer(corpus[0], 300)
    for words, options in (
        ("max_length: 256 before, 20 now", {"max_length": 20}),
        ("Different are tokenizers", {"source_tokenizer": other}),
        ("Different are tokenizers", {"target_tokenizer": other}),
        ("keep_texts: False before, True now", {"keep_texts": True}),
    ):
        options = {"source_tokenizer": tokenizer, "pairs_per_shard": 300, **options}
        with pytest.raises(ValueError, match=words):
            prepare(*corpus, copied, **options)
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match="holds something else"):
            prepare(*corpus, folder, source_tokenizer=tokenizer)


FILES = [
    "corpus.json",
    "order",
    "groups.npy",
    "source.spm",
    "shards/00003/ids",
    "shards/00003/offsets",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "altered", "missing", "longer", "foreign"])
def test_a_damaged_file_is_named(copied, name, damage):
    path = copied / name
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "cut": whole[:-5],
        "altered": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "longer": whole + b"x",
        "foreign": b"\x89PNG\r\n" * 9,
        "missing": b"",
    }[damage]
    path.write_bytes(damaged)
    if damage == "missing":
        path.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=str(copied)):
        PreparedCorpus(copied)


@pytest.mark.parametrize("name", FILES[3:] + ["shards/00003/shard.json"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_call_that_goes_on_leaves_no_damage_unseen(
    copied, corpus, tokenizer, prepared, name, damage
):
    (copied / "corpus.json").unlink()
    path = copied / name
    path.write_bytes(path.read_bytes()[:-5])
    if damage == "missing":
        path.unlink()

    def again():
        return prepare(*corpus, copied, tokenizer, pairs_per_shard=300)

    if name.startswith("shards"):
        assert again().fingerprint == prepared.fingerprint
        assert content(copied) == content(prepared.folder)
    else:
        with pytest.raises(ValueError, match="source.spm .*damaged"):
            again()


@pytest.mark.parametrize("name", ["shards/00003/ids", "shards/00003", "order"])
def test_damage_of_a_whole_corpus_is_not_taken_for_other_texts(
    copied, corpus, tokenizer, name
):
    path = copied / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=f"{name}.* is missing: .*damaged"):
        prepare(*corpus, copied, tokenizer, pairs_per_shard=300)


def test_a_corpus_is_called_by_its_folder_and_pairs_by_the_first(prepared, tokenizer):
    assert repr(prepared) == f"PreparedCorpus({str(prepared.folder)!r})"
    with pytest.raises(ValueError, match=f"source='{prepared.folder}' holds no pair"):
        with pytest.warns(UserWarning, match=f"pairs of {prepared.folder} are left"):
            kt.data.make_batches(prepared, max_length=2)
    with pytest.raises(ValueError, match="no pair") as caught:
        kt.data.make_batches([("", "x" * 99)] * 9999, source_tokenizer=tokenizer)
    assert len(str(caught.value)) < 500
    batches = kt.data.make_batches([prepared, str(prepared.folder)])
    assert {part.name for part in batches.report.corpora} == {str(prepared.folder)}


def test_an_index_is_an_integer(prepared):
    for index in (None, "a", 1.5):
        with pytest.raises(TypeError, match="index must be an integer; received index"):
            prepared[index]
    for folder in (None, 3, b"x"):
        with pytest.raises(TypeError, match="folder must be a path; received folder="):
            kt.data.load(folder)


def test_what_is_altered_later_is_found_when_it_is_verified_or_read(copied):
    corpus = PreparedCorpus(copied)
    path = copied / "shards" / "00001" / "ids"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="00001.ids.*bytes"):
        corpus.verify()
    with pytest.raises(ValueError, match="00001.ids is cut short"):
        list(corpus)


def test_a_foreign_folder_or_version_is_named(copied, tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match="holds no prepared corpus"):
            PreparedCorpus(folder)
    path = copied / "corpus.json"
    text = path.read_text("utf-8").replace('"format": 1', '"format": 2')
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="corpus.json must be of format 1.*format=2"):
        PreparedCorpus(copied)


@pytest.mark.parametrize(
    "options, kind, words",
    [
        ({"source": 3}, TypeError, "source must be a path or an iterable.*source=3"),
        ({"source": [("a", 3)]}, TypeError, r"\('a', 3\) as pair 0"),
        ({"source": [("a", "b"), "ab"]}, TypeError, "'ab' as pair 1"),
        ({"source": [("a", "b", "c")]}, TypeError, "as pair 0"),
        ({"source": [3]}, TypeError, "3 as pair 0"),
        ({"source": "missing.tsv"}, FileNotFoundError, "source='missing.tsv'"),
        ({"source": [("", "a")]}, ValueError, "no pair to train on: 1 with an empty"),
        ({"source": [("a", "b\ud800")]}, ValueError, "UTF-8 can hold.* as pair 0"),
        ({"source": "."}, ValueError, "source must be a file; received source='.'"),
        ({"folder": None}, TypeError, "folder must be a path; received folder=None"),
        ({"folder": ""}, ValueError, "folder must name a file or a folder"),
        ({"keep_texts": "no"}, TypeError, "keep_texts must be True or False"),
        ({"verbose": "no"}, TypeError, "verbose must be an integer"),
        ({"max_length": 1}, ValueError, "max_length must be .*at least 2.*=1"),
        ({"processes": 0}, ValueError, "processes must be .*at least 1.*=0"),
        ({"pairs_per_shard": 0}, ValueError, "pairs_per_shard must be .*at least 1"),
        ({"source_tokenizer": "x"}, TypeError, "source_tokenizer must be a tokenizer"),
    ],
)
def test_what_means_nothing_is_named(tmp_path, tokenizer, options, kind, words):
    given = {
        "source": [("a", "b")],
        "folder": tmp_path / "corpus",
        "source_tokenizer": tokenizer,
        **options,
    }
    with pytest.raises(kind, match=words):
        prepare(**given)


def test_an_error_in_a_text_names_its_line_and_ends_all_processes(tmp_path, tokenizer):
    path = tmp_path / "x.tsv"
    path.write_text("a\tb\n" * 9000 + "no tab\n")
    with pytest.raises(ValueError, match="x.tsv, line 9001: no tab"):
        prepare(path, folder=tmp_path / "c", source_tokenizer=tokenizer, processes=2)


class Broken:
    def reason(self, *_):
        raise KeyError("a filter's own error")


def test_an_error_in_another_process_is_raised_here(corpus, tokenizer, tmp_path):
    with pytest.raises(KeyError, match="a filter's own error"):
        prepare(
            *corpus,
            tmp_path / "c",
            source_tokenizer=tokenizer,
            filters=Broken(),
            processes=2,
        )
