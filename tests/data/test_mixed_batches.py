"""Batches of several corpora: what is in them, with tags and drawn segmentations."""

import itertools
import pathlib

import numpy as np
import pytest

import keras_transformer as kt

ONE = {"source": "x.a", "target": "x.b", "columns": None}
PAIRS = {"source": [("a cat", "a dog")], "target": None, "columns": None}
# Short, and without padding at the end that another shape would need.
BUDGET = 512


@pytest.fixture(scope="module")
def tagged(corpus):
    """A tokenizer with tags."""
    return kt.text.train_tokenizer(corpus, 320, symbols=["<2a>", "<2b>"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, corpus):
    """Two aligned files, a TSV with four columns, and a TMX."""
    folder = tmp_path_factory.mktemp("corpora")
    source, target = (pathlib.Path(path).read_text().splitlines() for path in corpus)
    (folder / "x.a").write_text("".join(f"{line}\n" for line in source[:300]))
    (folder / "x.b").write_text("".join(f"{line}\n" for line in target[:300]))
    rows = [
        f"{i}\tCAT {a}\t-\tDOG {b}\n" for i, (a, b) in enumerate(zip(source, target))
    ]
    (folder / "y.tsv").write_text("".join(rows[:60]))
    units = "".join(
        f'<tu><tuv xml:lang="en-US"><seg>OLD {a}</seg></tuv>'
        f'<tuv xml:lang="de"><seg>RED {b}</seg></tuv></tu>\n'
        for a, b in zip(source[:40], target[:40])
    )
    (folder / "z.tmx").write_text(f"<tmx><body>{units}</body></tmx>")
    return folder


def make(folder, names="x", **options):
    """Batches of some of the corpora."""
    paths = {"x": ("x.a", "x.b"), "y": ("y.tsv", None), "z": ("z.tmx", None)}
    sources, targets = zip(*(paths[name] for name in names))
    reading = {}
    if "y" in names:
        reading["columns"] = (2, 4)
    if "z" in names:
        reading |= {"source_language": "en", "target_language": "de"}
    return kt.data.make_batches(
        [folder / name for name in sources],
        [name and folder / name for name in targets],
        tokens_per_batch=BUDGET,
        **reading,
        **options,
    )


def rows_of(batches, tokenizer):
    """Texts and number of ids of each row: source, target, source ids, target ids."""
    for inputs, labels, *_ in batches:
        source = inputs["source_ids"].numpy()
        texts = [tokenizer.decode(ids) for ids in (source, labels.numpy())]
        yield from zip(*texts, source, labels.numpy())


def kind(text):
    return {"CAT": "y", "OLD": "z"}.get(text.split()[0], "x")


def test_each_batch_holds_pairs_of_all_corpora_by_weight(folder, tagged):
    batches = make(folder, "xyz", source_tokenizer=tagged, weights=[6, 3, 1])
    report = batches.report
    assert [corpus.report.pairs for corpus in report.corpora] == [300, 60, 40]
    assert np.allclose([corpus.share for corpus in report.corpora], [0.6, 0.3, 0.1])
    assert [pathlib.Path(corpus.name).name for corpus in report.corpora] == [
        "x.a",
        "y.tsv",
        "z.tmx",
    ]
    assert report.pairs == 400 and report.dropped == {}
    assert 0 < report.padding_share < 0.3
    rows = list(rows_of(batches.take(60), tagged))
    found = [kind(source) for source, *_ in rows]
    for name, share in zip("xyz", (0.6, 0.3, 0.1)):
        assert abs(found.count(name) / len(found) - share) < 0.03
    words = {"x": "", "y": "DOG ", "z": "RED "}
    for source, target, *_ in rows:
        assert target.startswith(words[kind(source)])
        assert target.split()[-1].islower()


def test_without_weights_each_pair_comes_equally_often(folder, tagged):
    batches = make(folder, "xyz", source_tokenizer=tagged, repeat=False)
    rows = [row[:2] for row in rows_of(batches, tagged)]
    assert len(rows) == 400 == batches.report.pairs
    single = [
        row[:2]
        for name in "xyz"
        for row in rows_of(
            make(folder, name, source_tokenizer=tagged, repeat=False), tagged
        )
    ]
    assert sorted(rows) == sorted(single)


def test_temperature_evens_out_the_shares(folder, tagged):
    def shares(temperature):
        batches = make(folder, "xy", source_tokenizer=tagged, temperature=temperature)
        return [corpus.share for corpus in batches.report.corpora]

    assert np.allclose(shares(1), [5 / 6, 1 / 6], atol=0.01)
    assert np.allclose(shares(1e6), [0.5, 0.5], atol=0.01)
    assert shares(1)[0] > shares(2)[0] > shares(5)[0]


def test_a_tag_stands_in_front_as_if_it_were_written(folder, tagged):
    options = {"source_tokenizer": tagged, "repeat": False}
    batches = make(folder, "xyz", tags=["<2a>", None, "<2b>"], **options)
    tags = {"x": "<2a> ", "y": "", "z": "<2b> "}
    for source, _, ids, _ in rows_of(batches, tagged):
        plain = source.removeprefix("<2a> ").removeprefix("<2b> ")
        assert source == tags[kind(plain)] + plain
        written = [*tagged.encode([source])[0], tagged.end_id]
        assert ids[ids > 0].tolist() == written
    plain = make(folder, "xyz", **options).report
    tokens = len(tagged.encode(["<2a>"])[0])
    assert batches.report.source_tokens == plain.source_tokens + 340 * tokens


def test_a_tag_counts_towards_the_length(folder, tagged):
    options = {"source_tokenizer": tagged, "repeat": False}
    longest = make(folder, "x", **options).report.longest
    with pytest.warns(UserWarning, match="longer than max_length"):
        batches = make(folder, "x", tags=["<2a>"], max_length=longest, **options)
    assert batches.report.dropped_long > 0
    assert batches.report.pairs + batches.report.dropped_long == 300
    assert sum(1 for _ in rows_of(batches, tagged)) == batches.report.pairs
    assert batches.report.longest <= longest


@pytest.mark.parametrize("names", ["x", "xy"])
@pytest.mark.parametrize("limit", [None, 24])
def test_drawn_segmentations_hold_the_budget_and_are_fresh_each_epoch(
    folder, tagged, names, limit
):
    options = {"source_tokenizer": tagged, "max_length": limit}
    options["tags"] = ["<2a>", None][: len(names)]
    plain = make(folder, names, repeat=False, **options)
    expected = sorted(row[:2] for row in rows_of(plain, tagged))
    drawn = make(folder, names, bpe_dropout=0.2, repeat=False, **options)
    shapes = set()
    for inputs, labels in drawn:
        assert np.prod(inputs["source_ids"].shape) <= BUDGET
        assert np.prod(labels.shape) <= BUDGET
        shapes.add(labels.shape[1])
        if limit:
            assert np.count_nonzero(inputs["source_ids"], axis=1).max() <= limit
            assert np.count_nonzero(labels, axis=1).max() <= limit
    assert len(shapes) <= 12
    epochs = [sorted(rows_of(drawn, tagged), key=lambda r: r[:2]) for _ in range(2)]
    ids = []
    for rows in epochs:
        assert [row[:2] for row in rows] == expected, "the same texts"
        ids.append([row[3][row[3] > 0].tolist() for row in rows])
    assert sum(one != two for one, two in zip(*ids)) > len(expected) / 3
    total = sum(len(row) for row in ids[0])
    assert total > 1.05 * plain.report.target_tokens


@pytest.mark.parametrize("names", ["x", "xyz"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_padding_that_is_reported_is_that_of_the_batches(
    folder, tagged, names, dropout
):
    batches = make(
        folder,
        names,
        source_tokenizer=tagged,
        bpe_dropout=dropout,
        tags=["<2a>", None, "<2b>"][: len(names)],
        repeat=False,
    )
    real = total = 0
    for inputs, labels in batches:
        for ids in (inputs["source_ids"].numpy(), labels.numpy()):
            real, total = real + np.count_nonzero(ids), total + ids.size
    found = 1 - real / total
    # Where segmentations are drawn, some batches are measured.
    assert abs(found - batches.report.padding_share) < (0.04 if dropout else 1e-9)


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(flat(one), flat(two), strict=True))


def flat(batch):
    inputs, *others = batch
    return [inputs["source_ids"], inputs["target_ids"], *others]


OPTIONS = {"weights": [1, 1], "tags": ["<2a>", "<2b>"], "bpe_dropout": 0.1}


def test_batches_depend_on_seed_and_number_alone(folder, tagged):
    options = {"source_tokenizer": tagged, "accumulation_steps": 2, **OPTIONS}
    batches = make(folder, "xy", **options)
    first = list(batches.take(24))
    again = make(folder, "xy", **options)
    for step in (10, 3, 0, 11):
        found = list(again.from_step(step).take(2))
        assert all(map(same, found, first[2 * step :]))
    without = list(again.from_step(2, without=[3]).take(4))
    assert all(map(same, without, first[4:6] + first[8:10]))
    other = make(folder, "xy", **options, seed=1)
    assert not same(next(iter(other)), first[0])


def test_several_processes_share_the_rows_of_one(folder, tagged):
    options = {"source_tokenizer": tagged, "num_replicas": 2, **OPTIONS}
    whole = list(make(folder, "xy", **options).take(8))
    parts = [
        list(make(folder, "xy", process=(i, 2), **options).take(8)) for i in (0, 1)
    ]
    for batch, *halves in zip(whole, *parts):
        joined = [np.concatenate(pair) for pair in zip(*map(flat, halves))]
        assert all(map(np.array_equal, flat(batch), joined))


def test_weights_of_an_update_are_those_of_the_drawn_tokens(folder, tagged):
    options = {"source_tokenizer": tagged, "accumulation_steps": 3}
    batches = make(folder, "xy", **options, bpe_dropout=0.3)
    batches = list(itertools.islice(batches, 9))
    for i in range(0, 9, 3):
        tokens = [np.count_nonzero(labels) for _, labels, _ in batches[i : i + 3]]
        for (_, _, weights), own in zip(batches[i:], tokens):
            np.testing.assert_allclose(weights, 3 * own / sum(tokens), rtol=1e-6)


def test_prepared_corpora_and_texts_mix(folder, tagged, tmp_path):
    prepared = kt.data.prepare(
        folder / "y.tsv",
        folder=tmp_path / "y",
        source_tokenizer=tagged,
        columns=(2, 4),
        verbose=0,
    )
    options = {"tokens_per_batch": BUDGET, "weights": [1, 1]}
    expected = make(folder, "xy", source_tokenizer=tagged, weights=[1, 1])
    for given in (prepared, str(tmp_path / "y")):
        batches = kt.data.make_batches(
            [folder / "x.a", given], [folder / "x.b", None], **options
        )
        for one, two in zip(batches.take(5), expected.take(5)):
            assert same(one, two)


def test_filters_count_for_each_corpus(folder, tagged, tmp_path):
    path = tmp_path / "w.tsv"
    path.write_text("a dog\ta dog\na cat\tcat a\na cat\tcat a\na\t\n")
    filters = kt.data.Filters(identical_sides=True, duplicates=True)
    with pytest.warns(UserWarning, match="1 with an empty .* 1 with identical sides"):
        batches = kt.data.make_batches(
            [path, folder / "x.a"],
            [None, folder / "x.b"],
            source_tokenizer=tagged,
            filters=filters,
        )
    dropped = batches.report.corpora[0].report.dropped
    assert dropped == {"empty": 1, "identical sides": 1, "duplicate": 1}
    assert batches.report.corpora[0].report.pairs == 1
    assert batches.report.dropped["identical sides"] >= 1


@pytest.mark.parametrize(
    "options, words",
    [
        ({"target": "x.b"}, "target must have one value for each corpus"),
        ({"target": ["x.b"]}, "target must have one value for each corpus"),
        ({"source": "x.a", "target": ["x.b"]}, "target must be a path"),
        ({"weights": [1]}, "weights must have one number for each of the 2"),
        ({"weights": [1, 0]}, "weights must be"),
        ({"weights": [1, 1], "temperature": 2}, "temperature and weights"),
        ({"weights": [1, 1], "repeat": False}, "weights and temperature are for"),
        ({"temperature": 2, "repeat": False}, "weights and temperature are for"),
        ({**ONE, "temperature": 2}, "weights and temperature mix several"),
        ({**ONE, "weights": [1]}, "weights and temperature mix several"),
        ({**PAIRS, "weights": [1]}, "weights and temperature mix several"),
        ({"tags": ["<2a>"]}, "tags must have one value for each of the 2"),
        ({"tags": "<2a>"}, "tags must be a list"),
        ({"tags": ["<2a>", 3]}, "tags must be strings"),
        ({"tags": ["<2a>", "<2c>"]}, "tags must be tokens.*'<2c>'.*symbols"),
        ({"tags": ["<2a>", "<2a> <2b>"]}, "tags must be tokens"),
        ({"tags": ["<2a>", ""]}, "tags must be tokens"),
        ({"source_language": "en", "target_language": "de"}, "is for a TMX"),
        ({"columns": (2, 40)}, "y.tsv, line 1: 4 columns"),
        (
            {"filters": {"duplicates": True}},
            "filters must be a kt.data.Filters, or",
        ),
        ({"unigram_alpha": 0.1}, "unigram_alpha needs a tokenizer of type"),
        ({"bpe_dropout": 1.0}, "bpe_dropout must be"),
    ],
)
def test_arguments_that_mean_nothing_are_named(
    folder, tagged, options, words, monkeypatch
):
    monkeypatch.chdir(folder)
    given = {"source": ["x.a", "y.tsv"], "target": ["x.b", None], "columns": (2, 4)}
    with pytest.raises((ValueError, TypeError), match=words):
        kt.data.make_batches(**{**given, **options}, source_tokenizer=tagged)


def test_filters_and_a_prepared_corpus_are_refused(folder, tagged, tmp_path):
    paths = [folder / "x.a", folder / "x.b", tmp_path / "x"]
    corpus = kt.data.prepare(*paths, source_tokenizer=tagged, verbose=0)
    with pytest.raises(ValueError, match="filters are for texts"):
        kt.data.make_batches(corpus, filters=kt.data.Filters(duplicates=True))
