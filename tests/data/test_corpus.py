"""Lines and pairs as they are read from files, and what is said of broken ones."""

import gzip
import io

import pytest

from keras_transformer.text import read_lines, read_pairs, train_tokenizer

MARK = b"\xef\xbb\xbf"


def write(path, content):
    """Writes bytes, compressed if the name says so."""
    content = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
@pytest.mark.parametrize(
    "content, lines",
    [
        (b"", []),
        (b"a b\nc\n", ["a b", "c"]),
        (b"a b\r\nc\r\n", ["a b", "c"]),
        (b"no end", ["no end"]),
        (b"a\rb\r\r\n\rc", ["a\rb\r", "\rc"]),
        (b"\n\nx\n", ["", "", "x"]),
        (" \u00e4 \u2028 \x85 \x0c\n\t\n".encode(), [" \u00e4 \u2028 \x85 \x0c", "\t"]),
        (MARK + b"a\nb\n", ["a", "b"]),
        (MARK + b"\r\nb", ["", "b"]),
        # Elsewhere it is a character of the text.
        (b"a" + MARK + b"\n" + MARK + b"b\n", ["a\ufeff", "\ufeffb"]),
    ],
)
def test_lines_are_those_of_the_file(tmp_path, name, content, lines):
    path = write(tmp_path / name, content)
    assert list(read_lines(path)) == list(read_lines(str(path))) == lines
    assert list(read_lines(io.BytesIO(content))) == lines


def test_a_stream_is_left_open():
    stream = io.BytesIO(b"a\nb\n")
    assert list(read_lines(stream)) == ["a", "b"]
    assert not stream.closed


def test_two_files_a_tsv_and_gz_are_read_alike(tmp_path):
    expected = [("a b", "c"), ("d", "e f")]
    source = write(tmp_path / "x.a.gz", "a b\nd\n")
    target = write(tmp_path / "x.b", "c\r\ne f")
    assert list(read_pairs(source, target)) == expected
    tsv = write(tmp_path / "x.tsv.gz", "a b\tc\nd\te f\tnote\n")
    assert list(read_pairs(tsv)) == expected


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_byte_order_mark_is_no_part_of_a_pair(tmp_path, ending):
    source = write(tmp_path / f"x.a{ending}", MARK + b"a b\nd\n")
    target = write(tmp_path / f"x.b{ending}", MARK + b"c\ne\n")
    tsv = write(tmp_path / f"x.tsv{ending}", MARK + b"a b\tc\nd\te\n")
    expected = [("a b", "c"), ("d", "e")]
    assert list(read_pairs(source, target)) == list(read_pairs(tsv)) == expected


def test_a_byte_order_mark_is_no_part_of_a_vocabulary(tmp_path):
    path = write(tmp_path / "x.txt", MARK + b"dog cat\n" * 50)
    tokenizer = train_tokenizer(path, 265 + 5, model_type="char")
    tokens = tokenizer.tokens(range(tokenizer.vocabulary_size))
    assert "d" in tokens and "\ufeff" not in tokens


@pytest.mark.parametrize(
    "files, words",
    [
        ({"a.txt": "1\n2\n3\n", "b.txt": "1\n"}, ["a.txt has 3", "b.txt has 1"]),
        ({"a.txt": "1\n", "b.txt": "1\n2\n"}, ["a.txt has 1", "b.txt has 2"]),
        ({"c.tsv": "a\tb\nno tab\n"}, ["c.tsv, line 2", "no tab"]),
        ({"d.tsv": b"a\tb\nc\t\xff\n"}, ["d.tsv, line 2", "UTF-8", "byte 3"]),
        ({"e.tsv.gz": b"a\tb\nc\t\xff\n"}, ["e.tsv.gz, line 2", "UTF-8", "byte 3"]),
        ({"f.tsv": "a\tb".encode("utf-16")}, ["f.tsv, line 1", "UTF-8"]),
    ],
)
def test_errors_name_file_and_line(tmp_path, files, words):
    paths = [write(tmp_path / name, content) for name, content in files.items()]
    with pytest.raises(ValueError) as error:
        list(read_pairs(*paths))
    assert all(word in str(error.value) for word in words)


def damaged(content, kind):
    whole = gzip.compress(content)
    return {
        "empty": b"",
        "cut in its header": whole[:5],
        "cut": whole[:-10],
        "plain text": content,
        "checksum": whole[:-8] + bytes(8),
        "altered": whole[:20] + b"\xff" * 20 + whole[40:],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["empty", "cut in its header", "cut", "plain text", "checksum", "altered"],
)
def test_a_damaged_gz_file_is_named(tmp_path, kind):
    path = tmp_path / "x.txt.gz"
    path.write_bytes(damaged(bytes(range(33, 127)) * 30, kind))
    with pytest.raises(ValueError, match="x.txt.gz is no whole gzip file"):
        list(read_lines(path))


def test_a_stream_s_error_names_it():
    stream = io.BytesIO(b"a\n\xff\n")
    stream.name = "<stdin>"
    with pytest.raises(ValueError, match="<stdin>, line 2"):
        list(read_lines(stream))


def test_files_that_are_not_there_are_named(tmp_path):
    path = write(tmp_path / "x.txt", "a\n")
    for paths in ((tmp_path / "none.txt", path), (path, tmp_path / "none.txt")):
        with pytest.raises(FileNotFoundError, match="none.txt"):
            list(read_pairs(*paths))


@pytest.mark.parametrize("name", ["source", "target"])
@pytest.mark.parametrize("value", [0, ["a.txt"], b"a.txt", None])
def test_what_is_no_path_is_named(name, value):
    if name == "target" and value is None:
        pytest.skip("None is a target's default")
    paths = {"source": "a.txt", "target": "b.txt", name: value}
    with pytest.raises(TypeError, match=f"{name} must be a path"):
        read_pairs(**paths)


@pytest.mark.parametrize("name", ["tfds:", "tfds:a", "tfds:a:train:en"])
def test_a_dataset_s_name_has_five_parts(name):
    with pytest.raises(ValueError, match="tfds:NAME:SPLIT:SOURCE:TARGET.*received"):
        list(read_pairs(name))


@pytest.mark.parametrize(
    "columns, expected",
    [
        (None, [("1", "a b"), ("2", "d")]),
        ((1, 2), [("1", "a b"), ("2", "d")]),
        ((2, 4), [("a b", "c"), ("d", "e f")]),
        ([4, 2], [("c", "a b"), ("e f", "d")]),
        (("a b", "c"), [("d", "e f")]),
        (("3", "1"), [("4", "2")]),
    ],
)
@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz", "x.txt"])
def test_columns_are_numbers_from_1_or_names_of_the_first_row(
    tmp_path, name, columns, expected
):
    path = write(tmp_path / name, MARK + b"1\ta b\t3\tc\r\n2\td\t4\te f\n")
    assert list(read_pairs(path, columns=columns)) == expected


def test_cells_are_kept_as_they_are(tmp_path):
    cells = [" a \u2028\x85", '"b', "", "c\rd"]
    path = write(tmp_path / "x.tsv", "\t".join(cells) + "\r\n")
    assert list(read_pairs(path, columns=(1, 2))) == [tuple(cells[:2])]
    assert list(read_pairs(path, columns=(3, 4))) == [tuple(cells[2:])]


@pytest.mark.parametrize(
    "content, columns, words",
    [
        ("a\tb\tc\nd\te\n", (1, 3), ["line 2", "2 columns", "(1, 3)"]),
        ("a\tb\nd\n", (2, 1), ["line 2", "no tab"]),
        ("en\tde\na\tb\n", ("en", "fr"), ["line 1", "'fr'", "'en', 'de'"]),
        ("en\ten\na\tb\n", ("en", "de"), ["line 1", "'en'"]),
        ("en\tde\tfr\na\tb\n", ("en", "fr"), ["line 2", "2 columns"]),
        ("", ("en", "de"), ["line 1", "'en'"]),
    ],
)
def test_a_row_without_the_columns_is_named(tmp_path, content, columns, words):
    path = write(tmp_path / "x.tsv", content)
    with pytest.raises(ValueError) as error:
        list(read_pairs(path, columns=columns))
    assert all(word in str(error.value) for word in [str(path), *words])


@pytest.mark.parametrize(
    "columns, error",
    [
        ("ab", TypeError),
        (1, TypeError),
        ({1, 2}, TypeError),
        ((1,), ValueError),
        ((1, 2, 3), ValueError),
        ((1, 1), ValueError),
        (("a", "a"), ValueError),
        ((1, "a"), ValueError),
        ((0, 1), ValueError),
        ((1.0, 2), TypeError),
        ((True, 2), TypeError),
        ((None, None), ValueError),
    ],
)
def test_columns_that_mean_nothing_are_named(columns, error):
    with pytest.raises(error, match="columns"):
        read_pairs("x.tsv", columns=columns)


@pytest.mark.parametrize(
    "paths, options, words",
    [
        (("a", "b"), {"columns": (1, 2)}, "columns is for a TSV"),
        (("a.tmx",), {"columns": (1, 2)}, "columns is for a TSV"),
        (("tfds:a:b:c:d",), {"columns": (1, 2)}, "columns is for a TSV"),
        (("a.tmx",), {}, "source_language="),
        (("a.TMX.gz",), {}, "source_language="),
        (("a.tsv",), {"source_language": "en"}, "two languages"),
        (("a.tmx",), {"target_language": "en"}, "two languages"),
        (("a.tmx",), {"source_language": "en", "target_language": "en"}, "two lang"),
        (("a.tmx",), {"source_language": "en", "target_language": ""}, "two lang"),
        (
            ("a.tsv",),
            {"source_language": "en", "target_language": "de"},
            "is for a TMX",
        ),
        (
            ("a", "b"),
            {"source_language": "en", "target_language": "de"},
            "is for a TMX",
        ),
    ],
)
def test_options_of_another_format_are_refused_before_reading(paths, options, words):
    with pytest.raises(ValueError, match=words):
        read_pairs(*paths, **options)


@pytest.mark.parametrize("name", ["source_language", "target_language"])
def test_a_language_is_a_string(name):
    languages = {"source_language": "en", "target_language": "de", name: 3}
    with pytest.raises(TypeError, match=f"{name} must be a string"):
        read_pairs("a.tmx", **languages)


def test_the_case_of_an_ending_does_not_matter(tmp_path):
    for name in ("a.gz", "a.GZ"):
        with gzip.open(tmp_path / name, "wb") as file:
            file.write(b"one\ntwo\n")
        assert list(read_lines(tmp_path / name)) == ["one", "two"]
