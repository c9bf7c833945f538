import gc
import itertools
import pathlib
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.data import PreparedCorpus, prepare
from keras_transformer.data.batches import bucket_lengths
from keras_transformer.data.keras_batches import keras_batches
from keras_transformer.text import make_batches, read_pairs


def all_pairs(batches):
    """Every (source ids, labels) of the batches, without padding."""
    for inputs, labels in batches:
        for source, label in zip(inputs["source_ids"].numpy(), labels.numpy()):
            yield tuple(source[source > 0]), tuple(label[label > 0])


@pytest.mark.parametrize(
    "files, words",
    [
        ({"a.txt": "1\n2\n3\n", "b.txt": "1\n"}, ["a.txt has 3", "b.txt has 1"]),
        ({"c.tsv": "a\tb\nno tab\n"}, ["c.tsv, line 2", "no tab"]),
        ({"e.tsv": ""}, ["e.tsv", "no pair"]),
    ],
)
def test_errors_of_the_corpus_come_before_training(tmp_path, tokenizer, files, words):
    paths = [tmp_path / name for name in files]
    for path, text in zip(paths, files.values()):
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        make_batches(*paths, source_tokenizer=tokenizer)
    assert all(word in str(error.value) for word in words)


def test_every_pair_comes_once_an_epoch(corpus, tokenizer):
    batches = make_batches(*corpus, source_tokenizer=tokenizer, repeat=False)
    found = sorted(all_pairs(batches))
    end = tokenizer.end_id
    sides = (tokenizer.tokenize(side).to_list() for side in zip(*read_pairs(*corpus)))
    expected = sorted(tuple((*ids, end) for ids in pair) for pair in zip(*sides))
    assert found == expected
    assert batches.report.pairs == 2000
    assert batches.report.source_tokens == sum(len(source) for source, _ in found)


def test_batches_keep_to_the_token_budget_and_few_shapes(corpus, tokenizer):
    batches = make_batches(
        *corpus, source_tokenizer=tokenizer, tokens_per_batch=256, repeat=False
    )
    shapes = set()
    for inputs, labels in batches:
        assert inputs["source_ids"].shape == inputs["target_ids"].shape == labels.shape
        assert np.prod(labels.shape) <= 256
        shapes.add(labels.shape[1])
        target = inputs["target_ids"].numpy()
        assert (target[:, 0] == tokenizer.start_id).all()
        shifted = np.where(labels == tokenizer.end_id, 0, labels)[:, :-1]
        np.testing.assert_array_equal(target[:, 1:], shifted)
    assert len(shapes) <= 8


def test_order_depends_on_the_seed_alone(corpus, tokenizer):
    def first(seed):
        batches = make_batches(*corpus, source_tokenizer=tokenizer, seed=seed)
        return [labels.numpy().tolist() for _, labels in batches.take(3)]

    assert first(1) == first(1) != first(2)


@pytest.mark.parametrize("process_seed", [0, 7])
def test_order_does_not_depend_on_the_seed_of_the_process(
    corpus, tokenizer, process_seed
):
    def first():
        batches = make_batches(*corpus, source_tokenizer=tokenizer)
        return [labels.numpy().tolist() for _, labels in batches.take(3)]

    expected = first()
    keras.utils.set_random_seed(process_seed)
    assert first() == expected


def test_dropped_pairs_are_counted_and_reported(tmp_path, tokenizer):
    rows = ["a\tb", "\tb", "a\t" + "dog " * 50, "the dog\tthe cat"]
    path = tmp_path / "x.tsv"
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.warns(UserWarning, match="2 of 4 pairs .* 1 with an empty side, 1 lon"):
        batches = make_batches(path, source_tokenizer=tokenizer, max_length=20)
    report = batches.report
    assert (report.pairs, report.dropped_empty, report.dropped_long) == (2, 1, 1)


@pytest.mark.parametrize("max_length", [2, 8, 256, 1024])
def test_any_budget_holds_a_sentence_of_any_length_up_to_it(max_length):
    for budget in range(2, 1025):
        longest = min(max_length, budget)
        lengths = bucket_lengths(longest, budget)
        assert lengths == sorted(set(lengths)), "each bucket is longer than the last"
        assert longest <= lengths[-1] <= budget


def test_buckets_that_fit_are_as_long_as_ever():
    assert bucket_lengths(30, 4096) == [8, 10, 12, 14, 16, 20, 24, 28, 32]
    assert bucket_lengths(30, 32) == bucket_lengths(30, 4096)
    assert bucket_lengths(30, 31)[-2:] == [28, 31]


@pytest.mark.parametrize("budget", [2, 3, 7, 8, 9, 13, 50, 51])
def test_a_sentence_as_long_as_the_budget_is_trained_on(tmp_path, tokenizer, budget):
    path = tmp_path / "x.tsv"
    words = ["a"] + [" a"] * (budget - 2)
    rows = ["".join(words[:n]) for n in range(1, budget)]
    lengths = [1 + len(ids) for ids in tokenizer.tokenize(rows).to_list()]
    assert max(lengths) <= budget
    path.write_text("".join(f"{row}\t{row}\n" for row in rows), encoding="utf-8")
    batches = make_batches(
        path, source_tokenizer=tokenizer, tokens_per_batch=budget, repeat=False
    )
    found = [labels.numpy() for _, labels in batches]
    assert sum(map(len, found)) == len(rows)
    assert max(np.prod(labels.shape) for labels in found) <= budget
    assert max(labels.shape[1] for labels in found) >= max(lengths)


@pytest.mark.parametrize("budget", [16, 97, 504, 4096])
@pytest.mark.parametrize("options", [{}, {"num_replicas": 2, "process": (1, 2)}])
def test_batches_that_end_have_a_known_number(corpus, tokenizer, budget, options):
    batches = make_batches(
        *corpus,
        source_tokenizer=tokenizer,
        tokens_per_batch=budget,
        repeat=False,
        **options,
    )
    assert int(batches.cardinality()) == sum(1 for _ in batches)


def test_validation_in_fit_ends_without_a_warning(corpus, tokenizer):
    def batches(repeat):
        built = make_batches(*corpus, source_tokenizer=tokenizer, repeat=repeat)
        return built.map(lambda _, labels: (tf.ones((tf.shape(labels)[0], 1)),) * 2)

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "`shuffle=True` was passed")
        model.fit(
            batches(True),
            steps_per_epoch=2,
            epochs=2,
            validation_data=batches(False),
            verbose=0,
        )


@pytest.mark.parametrize(
    "name, value",
    [
        ("tokens_per_batch", 0),
        ("tokens_per_batch", 1),
        ("tokens_per_batch", -4096),
        ("tokens_per_batch", 4096.0),
        ("tokens_per_batch", "4096"),
        ("tokens_per_batch", None),
        ("max_length", 0),
        ("max_length", 1),
        ("max_length", -5),
        ("max_length", 2.5),
        ("max_length", 5000),
        ("shuffle", None),
        ("shuffle", "no"),
        ("repeat", 1),
        ("seed", None),
        ("seed", 1.5),
        ("shuffle_buffer", 0),
        ("accumulation_steps", 0),
        ("accumulation_steps", -1),
        ("accumulation_steps", 1.5),
        ("num_replicas", 0),
        ("num_replicas", None),
        ("process", (3, 2)),
        ("process", (2, 2)),
        ("process", (-1, 2)),
        ("process", (0, 0)),
        ("process", (0.0, 1)),
        ("process", 1),
        ("process", (0, 1, 2)),
        ("process", None),
        ("source_tokenizer", None),
        ("source_tokenizer", "source.spm"),
        ("target_tokenizer", "target.spm"),
    ],
)
def test_settings_that_mean_nothing_are_named(corpus, tokenizer, name, value):
    arguments = {"source_tokenizer": tokenizer, name: value}
    with pytest.raises((TypeError, ValueError), match=name) as error:
        make_batches(*corpus, **arguments)
    part = value[0] if name == "process" and value == (0.0, 1) else value
    part = 0 if value == (0, 0) else -1 if value == (-1, 2) else part
    assert repr(part) in str(error.value)


@pytest.mark.parametrize("name", ["start_id", "end_id"])
def test_a_tokenizer_has_one_token_for_each_end(corpus, tokenizer, name):
    ids = {"start_id": 2, "end_id": 3, name: [3, 4]}
    several = types.SimpleNamespace(tokenize=tokenizer.tokenize, **ids)
    with pytest.raises(TypeError, match=rf"target_tokenizer.{name}.*\[3, 4\]"):
        make_batches(*corpus, source_tokenizer=tokenizer, target_tokenizer=several)


def test_settings_may_be_integers_of_numpy(corpus, tokenizer):
    numbers = {"tokens_per_batch": 512, "max_length": 30, "seed": 3, "num_replicas": 2}
    expected, found = (
        next(iter(make_batches(*corpus, source_tokenizer=tokenizer, **given)))[1]
        for given in (numbers, {k: np.int64(v) for k, v in numbers.items()})
    )
    np.testing.assert_array_equal(found, expected)


def test_batches_from_a_step_are_the_same_whenever_asked(corpus, tokenizer):
    batches = make_batches(*corpus, source_tokenizer=tokenizer, tokens_per_batch=512)
    first = [labels.numpy() for _, labels in batches.take(60)]
    for step in (0, 7, 50):
        again = [labels.numpy() for _, labels in batches.from_step(step).take(5)]
        for found, expected in zip(again, first[step:]):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("number", [-1, 1.5, "3", None])
def test_what_is_no_update_is_named(prepared, number):
    batches = make_batches(prepared)
    with pytest.raises((TypeError, ValueError), match=f"step={number!r}"):
        batches.from_step(number)
    with pytest.raises((TypeError, ValueError), match=f"without={number!r}"):
        batches.from_step(0, without=[2, number])


@pytest.fixture(scope="module")
def prepared(corpus, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "corpus"
    return prepare(*corpus, folder, source_tokenizer=tokenizer)


def as_arrays(batches, count=None):
    """The arrays of some batches, each a list."""
    taken = itertools.islice(iter(batches), count)
    return [[np.asarray(part) for part in keras.tree.flatten(b)] for b in taken]


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected):
        for part, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, wanted, strict=True)


def test_a_prepared_corpus_gives_the_batches_of_its_texts(corpus, tokenizer, prepared):
    options = {"tokens_per_batch": 256, "seed": 3}
    of_texts = make_batches(*corpus, source_tokenizer=tokenizer, **options)
    expected = as_arrays(of_texts, 200)
    for source in (prepared, prepared.folder, str(prepared.folder)):
        assert_same(as_arrays(make_batches(source, **options), 200), expected)
    found = make_batches(prepared, source_tokenizer=tokenizer, **options)
    assert_same(as_arrays(found, 3), expected[:3])
    assert found.report == of_texts.report
    pairs = [(text, text[::-1]) for text in ("the dog", "a", "a red cat")]
    batches = make_batches(pairs, source_tokenizer=tokenizer, repeat=False)
    assert batches.report.pairs == 3


def test_without_tensorflow_they_are_the_same_arrays(prepared):
    for options in ({}, {"accumulation_steps": 3}, {"repeat": False}):
        batches = make_batches(prepared, tokens_per_batch=128, **options)
        sequence = batches.sequence
        found = keras_batches(sequence, shuffle=True)
        assert found.num_batches == sequence.size
        assert_same(as_arrays(found, 90), as_arrays(batches, 90))
        if found.num_batches is None:
            assert_same([keras.tree.flatten(found[7])], as_arrays(batches, 8)[7:])


@pytest.mark.parametrize("steps", [1, 2])
def test_the_batches_of_an_update_are_those_of_walking_there(prepared, steps):
    options = {"tokens_per_batch": 512, "accumulation_steps": steps}
    batches = make_batches(prepared, **options)
    walked = as_arrays(batches, 150 * steps)
    for step in (1, 40, 149):
        found = as_arrays(make_batches(prepared, **options).from_step(step), steps)
        assert_same(found, walked[step * steps :][:steps])
    left_out = (0, 3, 4, 120)
    kept = [batch for i, batch in enumerate(walked) if i // steps not in left_out]
    for step in (0, 2, 117, 118):
        found = as_arrays(batches.from_step(step, without=left_out), 3 * steps)
        assert_same(found, kept[step * steps :][: 3 * steps])


def test_workers_bring_the_rows_of_the_whole_batch_and_read_no_others(
    prepared, monkeypatch
):
    options = {"tokens_per_batch": 200, "num_replicas": 3, "accumulation_steps": 2}
    whole = as_arrays(make_batches(prepared, **options), 60)
    read, positions = PreparedCorpus.read, []

    def noted(corpus, wanted):
        positions.append(set(wanted.tolist()))
        return read(corpus, wanted)

    monkeypatch.setattr(PreparedCorpus, "read", noted)
    parts, of_worker = [], []
    for index in range(3):
        positions.clear()
        batches = make_batches(prepared, process=(index, 3), **options)
        parts.append([batches.sequence.batch(i) for i in range(60)])
        of_worker.append(list(positions))
    parts = [[keras.tree.flatten(batch) for batch in part] for part in parts]
    assert_same([[np.concatenate(p) for p in zip(*b)] for b in zip(*parts)], whole)
    assert all(len(rows) % 3 == 0 for _, rows, _, _ in whole)
    for sets in zip(*of_worker):
        assert sum(map(len, sets)) == len(set.union(*sets)) > 0


def test_batches_that_end_come_in_another_order_each_time(prepared):
    batches = make_batches(prepared, tokens_per_batch=512, repeat=False)
    first, second = (list(all_pairs(batches)) for _ in range(2))
    assert first != second and sorted(first) == sorted(second)
    assert len(first) == len(prepared)
    ordered = make_batches(prepared, repeat=False, shuffle=False)
    assert_same(as_arrays(ordered), as_arrays(ordered))


def test_the_share_of_padding_is_reported(prepared):
    batches = make_batches(prepared, tokens_per_batch=512, repeat=False)
    ids = [part for arrays in as_arrays(batches) for part in arrays[:2]]
    share = 1 - sum(map(np.count_nonzero, ids)) / sum(part.size for part in ids)
    assert batches.report.padding_share == pytest.approx(share)


def test_longer_pairs_of_a_prepared_corpus_are_left_out(prepared):
    with pytest.warns(UserWarning, match="of 2000 pairs .* longer than max_length=6"):
        batches = make_batches(prepared, max_length=6, repeat=False)
    kept = (prepared.lengths().max(axis=1) < 6).sum()
    assert 0 < batches.report.pairs == kept == len(list(all_pairs(batches))) < 2000
    assert batches.report.dropped_long == 2000 - kept and batches.report.longest == 6


@pytest.mark.parametrize(
    "options, words",
    [
        ({"target": "b"}, "target must be left out.*target='b'"),
        ({"max_length": 257}, "max_length must be at most the 256.*max_length=257"),
    ],
)
def test_what_a_prepared_corpus_settles_is_not_to_be_said_otherwise(
    prepared, options, words
):
    with pytest.raises(ValueError, match=words):
        make_batches(prepared, **options)


def test_tokenizers_must_be_those_of_the_prepared_corpus(prepared, corpus, tokenizer):
    other = kt.text.train_tokenizer(corpus[0], 300)
    same = kt.text.Tokenizer(tokenizer.model)
    make_batches(prepared, source_tokenizer=same, target_tokenizer=same)
    for options in (
        {"source_tokenizer": other},
        {"source_tokenizer": tokenizer, "target_tokenizer": other},
        {"source_tokenizer": other, "target_tokenizer": tokenizer},
    ):
        with pytest.raises(ValueError, match="must be those that the corpus was prep"):
            make_batches(prepared, **options)


def test_texts_leave_no_files_behind(corpus, tokenizer):
    batches = make_batches(*corpus, source_tokenizer=tokenizer)
    folder = batches.sequence.arrays.order.corpora[0].folder
    assert pathlib.Path(folder).exists()
    as_arrays(batches, 2)
    del batches
    gc.collect()
    assert not pathlib.Path(folder).parent.exists()


def test_nothing_is_tuned_so_that_the_end_of_batches_waits_for_nothing(prepared):
    for repeat in (True, False):
        batches = make_batches(prepared, repeat=repeat)
        for dataset in (batches, batches.from_step(3)):
            assert dataset.options().autotune.enabled is False
