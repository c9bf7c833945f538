"""Glossaries as people pass them."""

import pytest

from keras_transformer.glossaries import as_glossaries, read_glossary


@pytest.mark.parametrize(
    "terms, error, words",
    [
        ("dog", TypeError, "glossary must be a dict"),
        (3, TypeError, "glossary must be a dict"),
        ([{"a": "b"}], ValueError, "received 1 for 2 texts"),
        (["a", "b"], TypeError, "dicts of terms"),
        ({"dog": 3}, TypeError, "received 3"),
        ({b"dog": "x"}, TypeError, "received b'dog'"),
    ],
)
def test_wrong_glossaries_are_named(terms, error, words):
    with pytest.raises(error, match=words):
        as_glossaries(terms, 2)


def test_a_file_of_terms(tmp_path):
    path = tmp_path / "terms.tsv"
    path.write_bytes("\ufeffdog\tHund\r\n\r\nNew York\t New York \n".encode())
    assert read_glossary(path) == {"dog": "Hund", "New York": "New York"}


@pytest.mark.parametrize(
    "content, words",
    [
        (b"dog", "line 1: must be a term"),
        (b"a\tb\ndog\t", "line 2: must be a term"),
        (b"a\tb\tc", "line 1: must be a term"),
        (b"a\tb\na\tc", "line 2: the term 'a' has another"),
        (b"\xff\tb", "line 1: not valid UTF-8"),
    ],
)
def test_a_wrong_line_of_a_file_is_named(content, words, tmp_path):
    path = tmp_path / "terms.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_glossary(path)
    with pytest.raises(FileNotFoundError, match="a glossary"):
        read_glossary(tmp_path / "none.tsv")
