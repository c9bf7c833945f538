"""`translate` is a filter: a line in, an answer out."""

import io
import json
import os
import sys

import pytest

import keras_transformer as kt
from keras_transformer.cli import main
from keras_transformer.tasks.text_to_text import TextToText


def test_translates_the_lines_of_standard_input(saved, type_in, capsys):
    folder, translator = saved
    type_in("the dog\r\na c\u00e4t\n".encode())
    main(["translate", folder, "--max-length", "4"])
    expected = translator.translate(["the dog", "a c\u00e4t"], max_length=4)
    expected = [" ".join(answer.splitlines()) for answer in expected]
    assert capsys.readouterr().out == "".join(f"{answer}\n" for answer in expected)


def test_a_byte_order_mark_is_no_part_of_a_text(folder, monkeypatch, capsys, tmp_path):
    given = []

    def repeat(self, texts, **options):
        given.extend(texts)
        return texts

    monkeypatch.setattr(kt.Translator, "translate", repeat)
    text = "\ufeffthe dog\r\na cat\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), "utf-8"))
    main(["translate", folder])
    assert given == ["the dog", "a cat"]
    for name, content in (("marked", text), ("plain", b"the dog\na cat\n")):
        (tmp_path / name).write_bytes(content)
    main(["evaluate", folder, str(tmp_path / "marked"), str(tmp_path / "plain")])
    assert "exact match 100.00%" in capsys.readouterr().out


def test_every_answer_is_one_line(folder, monkeypatch, capsys):
    monkeypatch.setattr(
        kt.Translator,
        "translate",
        lambda self, texts, **_: ["one\ntwo\x1d", "", "three"],
    )
    main(["translate", folder, "a", "b", "c"])
    assert capsys.readouterr().out == "one two\n\nthree\n"


def test_a_document_keeps_its_lines(folder, tmp_path, monkeypatch, capsysbinary):
    path = tmp_path / "document.txt"
    text = "\ufeffThe dog. A cat!\r\n\r\n  The house\u2028\tä.\n\n"
    path.write_bytes(text.encode("utf-8"))
    monkeypatch.setattr(
        TextToText,
        "_answers_and_scores",
        lambda self, texts, *_: (
            [[text.upper()] for text in texts],
            [[0.0]] * len(texts),
        ),
    )
    main(["translate", folder, "--document", str(path)])
    assert capsysbinary.readouterr().out == text.upper().encode("utf-8")


def test_what_is_no_document_is_named(folder, tmp_path, capsys):
    path = tmp_path / "document.txt"
    path.write_bytes(b"a\xff")
    for arguments, words in (
        ([str(path)], "must be UTF-8; received invalid start byte at byte 2"),
        ([str(tmp_path / "none.txt")], "none.txt"),
        ([str(path), "text"], "exclude each other"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["translate", folder, *arguments[1:], "--document", arguments[0]])
        assert stop.value.code == 2
        assert words in capsys.readouterr().err


@pytest.fixture
def upper(monkeypatch):
    """A translator that answers in capitals, and the lists that it was given."""
    given = []

    def translate(self, texts, num_hypotheses=None, return_scores=False, **options):
        given.append((texts, options))
        answers = [text.upper() for text in texts]
        scores = [-0.5] * len(texts)
        if num_hypotheses:
            answers = [[answer, answer[::-1]] for answer in answers]
            scores = [[-0.5, -1.5]] * len(texts)
        return (answers, scores) if return_scores else answers

    monkeypatch.setattr(kt.Translator, "translate", translate)
    return given


class Slow(io.RawIOBase):
    """A stream whose lines come one by one; it notes what was written before each."""

    def __init__(self, lines, written):
        self.lines, self.written, self.seen = list(lines), written, []

    def readable(self):
        return True

    def readinto(self, buffer):
        self.seen.append(self.written())
        if not self.lines:
            return 0
        line = self.lines.pop(0)
        buffer[: len(line)] = line
        return len(line)


def test_a_line_is_answered_before_the_next_one_is_read(folder, upper, monkeypatch):
    out = io.StringIO()
    stream = Slow([b"one\n", b"two\n", b"three"], out.getvalue)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(stream)))
    monkeypatch.setattr(sys, "stdout", out)
    main(["translate", folder, "-"])
    assert stream.seen[:3] == ["", "ONE\n", "ONE\nTWO\n"]
    assert out.getvalue() == "ONE\nTWO\nTHREE\n"


def test_many_lines_are_never_held_at_once(folder, upper, type_in, tmp_path):
    count = 60_000
    type_in(b"a line of text\n" * count)
    output = tmp_path / "answers"
    main(["translate", folder, "--output", str(output)])
    sizes = [len(texts) for texts, _ in upper]
    assert sum(sizes) == count and max(sizes) < 6000
    assert output.read_bytes() == b"A LINE OF TEXT\n" * count


@pytest.mark.parametrize("quiet", [False, True])
def test_bytes_that_are_not_utf_8_are_answered_and_counted(
    folder, upper, type_in, capsys, quiet
):
    type_in(b"one\n\xff two\nthr\xe2\x82\n")
    main(["translate", folder, "-", *["--quiet"] * quiet])
    out, err = capsys.readouterr()
    assert out == "ONE\n\ufffd TWO\nTHR\ufffd\n"
    assert ("2 of 3 lines weren't UTF-8" in err) != quiet
    main(["translate", folder, os.fsdecode(b"\xff two"), *["--quiet"] * quiet])
    out, err = capsys.readouterr()
    assert out == "\ufffd TWO\n" and ("1 of 1 texts" in err) != quiet


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"a\xe2\x82b",
        b"\xf0\x9f\x98",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\x80\x80",
    ],
)
def test_they_become_what_an_export_makes_of_them(folder, upper, type_in, data):
    import tensorflow as tf

    type_in(data)
    main(["translate", folder])
    expected = tf.strings.unicode_transcode(data, "UTF-8", "UTF-8", errors="replace")
    assert upper[0][0] == [expected.numpy().decode("utf-8")]


def test_scores_hypotheses_and_json(folder, upper, capsys):
    texts = ["translate", folder, "ab", "cd"]
    main([*texts, "--scores"])
    assert capsys.readouterr().out == "AB\t-0.5\nCD\t-0.5\n"
    main([*texts, "--num-hypotheses", "2"])
    assert capsys.readouterr().out == "AB\nBA\nCD\nDC\n"
    main([*texts, "--num-hypotheses", "2", "--scores"])
    assert capsys.readouterr().out.startswith("AB\t-0.5\nBA\t-1.5\n")
    main([*texts, "--json"])
    first, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"text": "ab", "translation": "AB", "score": -0.5}
    main([*texts, "--json", "--num-hypotheses", "2"])
    first, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "text": "ab",
        "translations": ["AB", "BA"],
        "scores": [-0.5, -1.5],
    }


def test_options_of_the_search_reach_it(folder, upper):
    flags = "--sample --temperature 0.5 --top-p 0.9 --seed 3 --no-repeat-ngram-size 2"
    more = ["--target-prefix", "x", "--batch-tokens", "64"]
    main(["translate", folder, "ab", *flags.split(), *more])
    assert upper[0][1] == {
        "sample": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "no_repeat_ngram_size": 2,
        "target_prefix": "x",
        "tokens_per_batch": 64,
    }


def test_a_marian_folder_is_translated_as_it_is(capsys):
    marian = "tests/interop/tiny-marian"
    main(["translate", marian, "the dog", "--beam-size", "2", "--max-length", "5"])
    expected = kt.interop.load(marian).translate("the dog", beam_size=2, max_length=5)
    assert capsys.readouterr().out == f"{expected}\n"


def test_a_reader_that_leaves_ends_it_quietly(folder, upper, monkeypatch, capfd):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(SystemExit) as stop:
        main(["translate", folder, "a"])
    assert stop.value.code == 141 and capfd.readouterr().err == ""


def test_a_glossary_reaches_the_translator(folder, upper, tmp_path):
    terms = tmp_path / "terms.tsv"
    terms.write_text("dog\tHund\n\nNew York\tNew York\n", encoding="utf-8")
    flags = ["--glossary", str(terms), "--glossary-bonus", "3", "--glossary-force"]
    main(["translate", folder, "ab", *flags])
    assert upper[0][1] == {
        "glossary": {"dog": "Hund", "New York": "New York"},
        "glossary_bonus": 3.0,
        "glossary_force": True,
        "tokens_per_batch": 4096,
    }


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--glossary-force"], "--glossary-force needs a --glossary"),
        (["--glossary-bonus", "2"], "--glossary-bonus needs a --glossary"),
        (["--glossary", "FILE", "--glossary-bonus", "-1"], "received -1"),
        (["--glossary", "FILE", "--glossary-force", "--sample"], "beam search"),
        (["--glossary", "FILE"], "line 1: must be a term"),
        (["--glossary", "none.tsv"], "none.tsv is missing"),
    ],
)
def test_a_wrong_glossary_is_an_error_of_use(folder, flags, words, tmp_path, capsys):
    (tmp_path / "terms").write_text("dog", encoding="utf-8")
    flags = [str(tmp_path / "terms") if flag == "FILE" else flag for flag in flags]
    with pytest.raises(SystemExit) as stop:
        main(["translate", folder, "ab", *flags])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
