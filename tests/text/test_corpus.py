"""Corpora that are cut short or missing are errors that name the file."""

import gzip

import pytest

import keras_transformer as kt

LINES = "".join(f"sentence {i * i}\tsatz {i}\n" for i in range(500))


def test_lines_of_a_compressed_file_are_those_of_the_plain_one(tmp_path):
    plain, compressed = tmp_path / "a.tsv", tmp_path / "a.tsv.gz"
    plain.write_text(LINES, "utf-8")
    compressed.write_bytes(gzip.compress(LINES.encode()))
    pairs = list(kt.text.read_pairs(plain))
    assert pairs[3] == ("sentence 9", "satz 3")
    assert list(kt.text.read_pairs(compressed)) == pairs


@pytest.mark.parametrize("keep", [0, 1, 9, 200, 1000, -9, -1])
def test_a_compressed_file_that_is_cut_short_is_named(tmp_path, keep):
    path = tmp_path / "train.tsv.gz"
    content = gzip.compress(LINES.encode())
    path.write_bytes(content[:keep])
    if keep == 0:
        assert list(kt.text.read_lines(path)) == []
        return
    for read in (kt.text.read_lines, kt.text.read_pairs):
        with pytest.raises(ValueError, match="train.tsv.gz"):
            list(read(path))
    with pytest.raises(ValueError, match="train.tsv.gz"):
        kt.text.train_tokenizer(path, 300)


def test_what_is_no_compressed_file_is_named(tmp_path):
    path = tmp_path / "train.gz"
    path.write_text(LINES, "utf-8")
    with pytest.raises(ValueError, match="train.gz"):
        list(kt.text.read_lines(path))


def test_a_damaged_compressed_file_is_named(tmp_path):
    path = tmp_path / "train.gz"
    content = bytearray(gzip.compress(LINES.encode()))
    for place in (20, len(content) // 2, len(content) - 6):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="train.gz"):
            list(kt.text.read_lines(path))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        list(kt.text.read_lines(tmp_path / "nowhere.txt"))
    with pytest.raises(ValueError, match=tmp_path.name):
        list(kt.text.read_lines(tmp_path))
