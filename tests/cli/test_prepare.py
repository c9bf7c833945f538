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
        (["a.tsv", "--max-length", "1"], "--max-length must be at least 2"),
        (["a.tsv", "--processes", "0"], "--processes must be at least 1"),
        (["--verify"], "holds no prepared corpus"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "c", *arguments])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and words in err.splitlines()[-1]
    assert not (tmp_path / "c").exists()
