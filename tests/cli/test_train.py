"""The flags of `train` are the settings of a run."""

import dataclasses
import json
import pathlib

import pytest
import yaml

from keras_transformer.cli import main, parser
from keras_transformer.run import RunConfig


@pytest.fixture
def texts(corpus, tmp_path, monkeypatch):
    """A folder with 40 pairs, one of them empty and one too long."""
    monkeypatch.chdir(tmp_path)
    for name, path in zip("ab", corpus):
        lines = pathlib.Path(path).read_text("utf-8").splitlines()[:38]
        lines += ["", "dog " * 60] if name == "a" else ["cat", "cat"]
        pathlib.Path(name).write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


def printed(capsys, *arguments):
    main(["train", "run", *arguments, "--print-config"])
    return capsys.readouterr().out


def test_every_setting_has_a_flag():
    options = parser(["train"]).parse_args(["train", "run"])
    for field in dataclasses.fields(RunConfig):
        assert getattr(options, field.name) is None, field.name


def test_flags_go_over_the_file_and_the_file_over_defaults(texts, capsys):
    pathlib.Path("run.yaml").write_text(
        "source: a\ntarget: b\nsteps: 1000\nclip_norm: 1e-1\nmodel:\n  dropout: 0.3\n"
    )
    out = printed(capsys, "--config", "run.yaml", "--steps", "500")
    expected = RunConfig("a", "b", steps=500, clip_norm=0.1, model={"dropout": 0.3})
    assert yaml.safe_load(out) == dataclasses.asdict(expected)
    assert not pathlib.Path("run").exists()


def test_what_is_printed_is_a_file_to_give(texts, capsys):
    flags = ["--no-joint-vocabulary", "--seed", "7", "--strategy", "one_device"]
    first = printed(capsys, "a", "b", *flags, "--model", '{"norm_first": true}')
    pathlib.Path("run.yaml").write_text(first, "utf-8")
    assert printed(capsys, "--config", "run.yaml") == first
    assert yaml.safe_load(first)["joint_vocabulary"] is False


def test_the_configuration_of_an_old_run_is_one(texts, capsys):
    old = {"source": "a", "target": "b", "preset": "mini", "seed": 3}
    pathlib.Path("config.json").write_text(json.dumps(old))
    found = yaml.safe_load(printed(capsys, "--config", "config.json"))
    assert {name: found[name] for name in old} == old


def test_several_corpora_have_commas_between_them(texts, capsys):
    flags = ["--weights", "0.7", "1e-1", "2", "--tags", "<a>", "", "<c>"]
    flags += ["--columns", "2", "4", "--filters", '{"duplicates": true}']
    found = yaml.safe_load(printed(capsys, "a,x.tsv,b", "b,,a", *flags))
    expected = RunConfig(
        ["a", "x.tsv", "b"],
        ["b", None, "a"],
        weights=[0.7, 0.1, 2],
        tags=["<a>", None, "<c>"],
        columns=[2, 4],
        filters={"duplicates": True},
    )
    assert found == dataclasses.asdict(expected)


def test_a_file_may_have_a_comma_in_its_name(texts, capsys):
    pathlib.Path("a,b.tsv").write_text("en\tde\nx\ty\n", "utf-8")
    found = yaml.safe_load(printed(capsys, "a,b.tsv", "--columns", "en", "de"))
    assert (found["source"], found["columns"]) == ("a,b.tsv", ["en", "de"])


@pytest.mark.parametrize(
    "flags, words",
    [
        (["a,a", "b"], "target must have one value for each corpus"),
        (["a,a", "b,b", "--weights", "1"], "weights must have one value for each"),
        (["a,,a", "b,b,b"], "source must be a path"),
        (["a", "b", "--columns", "1", "2"], "columns is for a TSV"),
        (["a", "--columns", "1"], "expected 2 arguments"),
        (["a,a", "b,b", "--weights", "1", "x"], "invalid float value"),
        (["a", "b", "--filters", "{]"], "no JSON"),
        (["a", "b", "--filters", '{"scripts": 1}'], "did you mean 'script'"),
        (["a", "b", "--filters", '{"script": ["Latin", "Klingon"]}'], "Klingon"),
        (["x.tmx"], "source_language is needed"),
    ],
)
def test_wrong_flags_of_the_texts_are_one_line(texts, capsys, flags, words):
    with pytest.raises(SystemExit) as stop:
        main(["train", "run", *flags])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    "content, words",
    [
        ("stepz: 3\nsource: a\n", "did you mean 'steps'?"),
        ("source: [a\n", "is no YAML"),
        ("- a\n", "must hold settings by name"),
        ("source: a\nsteps: many\n", "steps must be an int"),
        ("source: 3\n", "source must be a path"),
        ("source: a\nmodel: [1]\n", "model must be a dict"),
    ],
)
def test_a_wrong_file_is_named(texts, capsys, content, words):
    pathlib.Path("run.yaml").write_text(content)
    with pytest.raises(SystemExit) as stop:
        main(["train", "run", "--config", "run.yaml"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_dry_run_tells_all_and_writes_nothing(texts, capsys):
    before = sorted(texts.iterdir())
    flags = ["--vocabulary-size", "300", "--max-length", "40", "--preset", "mini"]
    main(["train", "run", "a", "b", *flags, "--dry-run"])
    out = capsys.readouterr().out
    assert sorted(texts.iterdir()) == before
    rows = dict(line.split(maxsplit=1) for line in out.splitlines()[:6])
    assert rows["pairs"] == "38"
    assert rows["dropped"] == "1 with an empty side, 1 too long"
    assert "source" in rows["tokens"] and "s a step" in rows["time"]
    source, target = out.splitlines()[7:9]
    pairs = zip(*(pathlib.Path(name).read_text().splitlines() for name in "ab"))
    assert (source.strip(), target.strip().removeprefix("-> ")) in set(pairs)


def test_the_folder_may_stand_in_the_file(texts, capsys):
    pathlib.Path("run.yaml").write_text("folder: f\nsource: a\ntarget: b\n", "utf-8")
    main(["train", "--config", "run.yaml", "--print-config"])
    assert yaml.safe_load(capsys.readouterr().out)["source"] == "a"
    # That of the command goes over it; texts of the command, too.
    main(["train", "g", "b", "--config", "run.yaml", "--print-config"])
    assert yaml.safe_load(capsys.readouterr().out)["source"] == "b"
    for content, words in (
        ("source: a\n", "folder is needed"),
        ("folder: [1]\n", "folder must be a path"),
        ("folder: ''\n", "folder must be a path"),
        ("folder: f\n", "source is needed to start a run"),
    ):
        pathlib.Path("run.yaml").write_text(content, "utf-8")
        with pytest.raises(SystemExit) as stop:
            main(["train", "--config", "run.yaml"])
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_settings_of_fine_tuning_have_flags(texts, capsys):
    flags = ["--from", "base", "--freeze", "encoder, embeddings", "--lora-rank", "4"]
    found = yaml.safe_load(printed(capsys, "a", "b", *flags, "--schedule", "constant"))
    assert found["initial"] == "base" and found["lora_rank"] == 4
    assert found["freeze"] == ["encoder", "embeddings"]
    pathlib.Path("run.yaml").write_text(yaml.safe_dump(found), "utf-8")
    assert yaml.safe_load(printed(capsys, "--config", "run.yaml")) == found
    for flags, words in (
        (["--freeze", "encodr"], "did you mean 'encoder'"),
        (["--from", "nothing"], "isn't there"),
        (["--from", "base", "--preset", "mini"], "preset doesn't apply"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["train", "run", "a", "b", *flags])
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
    assert not pathlib.Path("run").exists()
