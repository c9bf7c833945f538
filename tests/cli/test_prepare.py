"""`keras-transformer prepare`."""

import pytest

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
