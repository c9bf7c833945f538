import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.batches import bucket_lengths
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
    expected = sorted(
        tuple((*tokenizer.tokenize([text])[0].numpy(), end) for text in pair)
        for pair in read_pairs(*corpus)
    )
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
