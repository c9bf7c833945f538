import gzip

import keras
import numpy as np
import pytest

from keras_transformer.text import make_batches, read_pairs


def write(path, text):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return str(path)


def all_pairs(batches):
    """Every (source ids, labels) of the batches, without padding."""
    for inputs, labels in batches:
        for source, label in zip(inputs["source_ids"].numpy(), labels.numpy()):
            yield tuple(source[source > 0]), tuple(label[label > 0])


def test_reads_two_files_a_tsv_and_gz_alike(tmp_path):
    expected = [("a b", "c"), ("d", "e f")]
    source, target = (
        write(tmp_path / "x.a.gz", "a b\nd\n"),
        write(tmp_path / "x.b", "c\r\ne f"),
    )
    assert list(read_pairs(source, target)) == expected
    tsv = write(tmp_path / "x.tsv.gz", "a b\tc\nd\te f\tnote\n")
    assert list(read_pairs(tsv)) == expected


@pytest.mark.parametrize(
    "files, words",
    [
        ({"a.txt": "1\n2\n3\n", "b.txt": "1\n"}, ["a.txt has 3", "b.txt has 1"]),
        ({"c.tsv": "a\tb\nno tab\n"}, ["c.tsv, line 2", "no tab"]),
        ({"d.tsv": b"a\tb\nc\t\xff\n"}, ["d.tsv, line 2", "UTF-8"]),
        ({"e.tsv": ""}, ["e.tsv", "no pair"]),
    ],
)
def test_errors_name_file_and_line(tmp_path, tokenizer, files, words):
    paths = [write(tmp_path / name, text) for name, text in files.items()]
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
    path = write(tmp_path / "x.tsv", "\n".join(rows))
    with pytest.warns(UserWarning, match="2 of 4 pairs .* 1 with an empty side, 1 lon"):
        batches = make_batches(path, source_tokenizer=tokenizer, max_length=20)
    report = batches.report
    assert (report.pairs, report.dropped_empty, report.dropped_long) == (2, 1, 1)


def test_budget_smaller_than_max_length_is_refused(corpus, tokenizer):
    with pytest.raises(ValueError, match="tokens_per_batch=64"):
        make_batches(
            *corpus, source_tokenizer=tokenizer, tokens_per_batch=64, max_length=100
        )


def test_batches_from_a_step_are_the_same_whenever_asked(corpus, tokenizer):
    batches = make_batches(*corpus, source_tokenizer=tokenizer, tokens_per_batch=512)
    first = [labels.numpy() for _, labels in batches.take(60)]
    for step in (0, 7, 50):
        again = [labels.numpy() for _, labels in batches.from_step(step).take(5)]
        for found, expected in zip(again, first[step:]):
            np.testing.assert_array_equal(found, expected)
