"""`keras-transformer prepare`."""

import re

import pytest

import keras_transformer as kt
from keras_transformer.cli import main
from keras_transformer.data import PreparedCorpus


def test_texts_are_prepared_with_a_tokenizer_or_one_that_is_trained(
    corpus, tokenizer, tmp_path, capsys
):
    tokenizer.save(tmp_path / "spm")
    given, trained = str(tmp_path / "given"), str(tmp_path / "trained")
    main(["prepare", given, *corpus, "--tokenizer", str(tmp_path / "spm")])
    out = capsys.readouterr().out
    assert "pairs     2,000" in out and "tokens    11," in out
    assert PreparedCorpus(given).source_tokenizer.model == tokenizer.model
    command = ["prepare", trained, *corpus, "--vocabulary-size", "300"]
    main([*command, "--keep-texts"])
    found = PreparedCorpus(trained)
    assert found.source_tokenizer.vocabulary_size == 300 and found.has_texts
    # The same command goes on, with the tokenizer that is there.
    (tmp_path / "trained" / "corpus.json").unlink()
    main([*command, "--keep-texts", "--quiet"])
    assert PreparedCorpus(trained).fingerprint == found.fingerprint
    assert capsys.readouterr().err == "training a tokenizer\n"


def test_dropped_pairs_are_printed(tmp_path, tokenizer, capsys):
    tokenizer.save(tmp_path / "spm")
    (tmp_path / "x.tsv").write_text("a\tb\n\tb\ndog dog dog dog\tcat\n")
    paths = [str(tmp_path / name) for name in ("c", "x.tsv", "spm")]
    main(["prepare", *paths[:2], "--tokenizer", paths[2], "--max-length", "4"])
    lines = capsys.readouterr().out.splitlines()
    assert {"dropped   1 empty", "dropped   1 long"} <= set(lines)


def test_formats_and_filters_are_those_of_train(tmp_path, capsys):
    rows = "".join(f"{i}\tthe dog {i}\t-\tder hund {i}\n" for i in range(40))
    (tmp_path / "x.tsv").write_text("id\ten\tnote\tde\n" + rows + "9\tyes\t-\tyes\n")
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>a {i}</seg></tuv>'
        f'<tuv xml:lang="de-AT"><seg>b {i}</seg></tuv></tu>'
        for i in [*range(40), 0]
    )
    (tmp_path / "x.tmx").write_text(f"<tmx><body>{units}</body></tmx>")
    common = ["--vocabulary-size", "285", "--symbols", "<2de>", "<2fr>", "--quiet"]
    tsv, tmx = str(tmp_path / "tsv"), str(tmp_path / "tmx")
    filters = ["--filters", '{"identical_sides": true, "duplicates": true}']
    columns = ["--columns", "en", "de"]
    main(["prepare", tsv, str(tmp_path / "x.tsv"), *columns, *filters, *common])
    assert "dropped   1 identical sides" in capsys.readouterr().out
    languages = ["--source-language", "en", "--target-language", "de"]
    main(["prepare", tmx, str(tmp_path / "x.tmx"), *languages, *filters, *common])
    assert "dropped   1 duplicate" in capsys.readouterr().out
    for folder, texts in ((tsv, ["the dog 0", "der hund 0"]), (tmx, ["a 0", "b 0"])):
        corpus = PreparedCorpus(folder)
        tokenizer = corpus.source_tokenizer
        assert tokenizer.decode(corpus[0]) == texts and len(corpus) == 40
        tokens = tokenizer.tokens(range(tokenizer.vocabulary_size))
        assert {"<2de>", "<2fr>"} <= set(tokens) and "-" not in tokens


def test_a_damaged_corpus_is_found(corpus, tmp_path, capsys):
    folder = str(tmp_path / "c")
    main(["prepare", folder, *corpus, "--vocabulary-size", "300", "--quiet"])
    main(["prepare", folder, "--verify"])
    path = tmp_path / "c" / "shards" / "00000" / "ids"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    with pytest.raises(SystemExit) as stop:
        main(["prepare", folder, "--verify"])
    assert stop.value.code == 2 and "another checksum" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "source is needed"),
        (["missing", "missing"], "missing"),
        (["missing", "--tokenizer", "none.spm"], "none.spm"),
        (["a.tsv", "--max-length", "1"], "--max-length must be"),
        (["a.tsv", "--processes", "0"], "--processes must be"),
        (["--verify"], "holds no prepared corpus"),
        (["--verify", "--max-length", "9"], "--max-length is for texts"),
        (["--verify", "--filters", '{"duplicates": true}'], "--filters is for texts"),
        (["x.tsv", "."], "target must be a file"),
        (["x.tmx"], "source_language is needed"),
        (["x.tsv", "--source-language", "en"], "two languages"),
        (["x.tsv", "x.tsv", "--columns", "1", "2"], "columns is for a TSV"),
        (["x.tsv", "--filters", '{"script": "Latin"}'], "script must be a pair"),
        (["a.tsv", "--filters", "[]"], "must be a JSON object"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    for name in ("x.tsv", "x.tmx"):
        (tmp_path / name).write_text("a\tb\n")
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "c", *arguments])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and words in err.splitlines()[-1]
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--vocabulary-size", "310"], "--vocabulary-size must be that of c.*310"),
        (["--symbols", "<2de>"], "--symbols must be tokens of c.*'<2de>'"),
        (["--tokenizer", "c/source.spm", "--symbols", "<2de>"], "--symbols is for a"),
        (
            ["--tokenizer", "c/source.spm", "--vocabulary-size", "300"],
            "--vocabulary-size is for a tokenizer that is trained",
        ),
    ],
)
def test_no_option_about_the_tokenizer_is_passed_over(
    corpus, tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    begun = ["prepare", "c", *corpus, "--quiet"]
    main([*begun, "--vocabulary-size", "300", "--symbols", "<2fr>"])
    # The same call, with or without what the folder says, goes on.
    main([*begun, "--vocabulary-size", "300", "--symbols", "<2fr>"])
    main(begun)
    with pytest.raises(SystemExit):
        main([*begun, *arguments])
    assert re.search(words, capsys.readouterr().err)


def test_a_call_without_a_result_binds_to_nothing(corpus, tmp_path, capsys):
    folder = tmp_path / "c"
    command = ["prepare", str(folder), *corpus, "--vocabulary-size"]
    with pytest.raises(SystemExit):
        main([*command, "300", "--max-length", "2"])
    assert "2,000 longer" in capsys.readouterr().err
    main([*command, "310", "--max-length", "20"])
    assert kt.data.load(folder).source_tokenizer.vocabulary_size == 310


@pytest.mark.parametrize("name", ["file", "file/c", "full"])
def test_a_folder_that_cannot_be_one_is_named_before_work(
    corpus, tmp_path, capsys, name
):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(SystemExit):
        main(["prepare", str(tmp_path / name), *corpus])
    words = capsys.readouterr().err
    assert "training" not in words and "folder=" in words and "choose another" in words
