"""A student is trained on its teacher's answers, whenever the teacher is stopped."""

import pathlib

import pytest
import sacrebleu

import keras_transformer as kt
from keras_transformer.cli import main
from keras_transformer.run import distillation
from keras_transformer.run.distillation import distill, nearest

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 16}
STUDENT = {
    "model": SIZES,
    "vocabulary_size": 290,
    "tokens_per_batch": 256,
    "steps": 1,
    "steps_per_epoch": 1,
    "samples": 0,
}


@pytest.fixture(scope="module")
def teacher(tokenizer):
    model = kt.Transformer(tokenizer.vocabulary_size, **SIZES)
    return kt.Translator(model, tokenizer)


@pytest.fixture
def reversing(teacher, monkeypatch):
    """The teacher's beam: sources in reverse order, and worse ones before them."""
    calls = []

    def translate(self, texts, beam_size=4, num_hypotheses=1, **_):
        calls.append(len(texts))
        reverse = [" ".join(text.split()[::-1]) for text in texts]
        if num_hypotheses == 1:
            return [f"a\u2028{text}" if "dog" in text else text for text in reverse]
        return [["a cat", text, "dog"][:num_hypotheses] for text in reverse]

    monkeypatch.setattr(kt.Translator, "translate", translate)
    monkeypatch.setattr(distillation, "_PART", 20)
    return calls


@pytest.fixture
def texts(corpus, tmp_path):
    for name, path in zip(("source", "reference"), corpus):
        lines = pathlib.Path(path).read_text("utf-8").splitlines()[:50]
        lines[7] = ""
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path / "source", tmp_path / "reference"


def lines(path):
    return path.read_text("utf-8").split("\n")[:-1]


def test_a_student_trains_on_the_answers_of_a_teacher_that_was_stopped(
    teacher, reversing, texts, tmp_path, monkeypatch
):
    whole = tmp_path / "whole"
    student = distill(teacher, texts[0], whole, verbose=0, **STUDENT)
    assert student.model.config["hidden_dim"] == 16 and reversing == [20, 20, 10]
    source, target = (
        lines(whole / "distilled" / f"{n}.txt") for n in ("source", "target")
    )
    assert source == [line for line in lines(texts[0]) if line]
    assert target == [
        ("a " if "dog" in line else "") + " ".join(line.split()[::-1])
        for line in source
    ]

    again = kt.Translator.translate

    def killed(self, *arguments, **named):
        if len(reversing) == 5:
            raise KeyboardInterrupt
        return again(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(kt.Translator, "translate", killed)
        with pytest.raises(KeyboardInterrupt):
            distill(teacher, texts[0], tmp_path / "stopped", verbose=0, **STUDENT)
    del reversing[:]
    distill(teacher, texts[0], tmp_path / "stopped", verbose=0, **STUDENT)
    # Only what wasn't answered before.
    assert reversing == [10]
    for name in ("source.txt", "target.txt", "settings.json"):
        found, expected = (
            (folder / "distilled" / name).read_text("utf-8")
            for folder in (tmp_path / "stopped", whole)
        )
        assert found == expected
    assert not list((tmp_path / "stopped" / "distilled").glob("part-*"))


@pytest.mark.parametrize("similarity", ["bleu", "chrf"])
def test_of_n_best_answers_the_nearest_to_the_reference_is_taken(
    teacher, reversing, texts, tmp_path, similarity, monkeypatch
):
    monkeypatch.setattr(distillation, "train", lambda config, *_, **__: config)
    config = distill(
        teacher,
        texts[0],
        tmp_path / "run",
        references=texts[1],
        beam_size=3,
        similarity=similarity,
        verbose=0,
        **STUDENT,
    )
    assert lines(pathlib.Path(config.target)) == [
        line for line in lines(texts[1]) if line
    ]


def test_the_nearest_is_the_first_of_equals():
    metric = sacrebleu.metrics.CHRF()
    assert nearest(["b", "a cat", "a cat "], "a cat", metric) == "a cat"
    assert nearest(["x", "y"], "a cat", metric) == "x"


def test_what_is_wrong_is_told_before_anything_is_translated(
    teacher, reversing, texts, tmp_path
):
    short, empty = tmp_path / "short", tmp_path / "empty"
    short.write_text("one\n", "utf-8")
    empty.touch()
    blank = tmp_path / "blank"
    blank.write_text("\n \n\u2028\n", "utf-8")
    folder = tmp_path / "run"
    right = {"teacher": teacher, "source": texts[0], "folder": folder, "verbose": 0}
    wrong = [
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"step": 10}, TypeError, "did you mean 'steps'"),
        ({"target": "a"}, TypeError, "target is given by distill itself"),
        ({"model": {"num_heads": 3, "hidden_dim": 16}}, ValueError, "num_heads"),
        ({"valid_source": "nothing"}, FileNotFoundError, "valid_source='nothing'"),
        ({"references": short}, ValueError, "received 1 for 50"),
        ({"references": "nothing"}, FileNotFoundError, "references='nothing'"),
        ({"similarity": "ter"}, ValueError, "one of bleu, chrf"),
        ({"similarity": "chrf"}, ValueError, "similarity is for references"),
        ({"verbose": "no"}, TypeError, "verbose must be an integer"),
        ({"teacher": None}, TypeError, "teacher must be a path; received teacher=None"),
        ({"source": ["a"]}, TypeError, "source must be a path"),
        ({"source": blank}, ValueError, "blank' is empty: it holds no text"),
        ({"references": 3}, TypeError, "references must be a path"),
        ({"folder": ""}, ValueError, "folder must name a file or a folder"),
    ]
    for changes, error, words in wrong:
        with pytest.raises(error, match=words):
            distill(**{**right, **STUDENT, **changes})
    with pytest.raises(ValueError, match="is empty"):
        distill(teacher, empty, folder, verbose=0, **STUDENT)
    with pytest.raises(FileNotFoundError, match="nothing"):
        distill("nothing", texts[0], folder, verbose=0, **STUDENT)
    assert not folder.exists() and not reversing
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "step-00000001.keras").touch()
    with pytest.raises(ValueError, match="isn't one of distillation"):
        distill(teacher, texts[0], folder, verbose=0, **STUDENT)


def test_answers_bind_to_teacher_texts_and_search(
    teacher, reversing, texts, tmp_path, monkeypatch
):
    monkeypatch.setattr(distillation, "train", lambda *_, **__: None)
    folder = tmp_path / "run"
    distill(teacher, texts[0], folder, verbose=0, **STUDENT)
    with pytest.raises(ValueError, match="other are beam_size"):
        distill(teacher, texts[0], folder, beam_size=2, verbose=0, **STUDENT)
    with pytest.raises(ValueError, match="other are references, similarity"):
        distill(teacher, texts[0], folder, references=texts[1], verbose=0, **STUDENT)
    with pytest.raises(ValueError, match="other are source"):
        distill(teacher, texts[1], folder, verbose=0, **STUDENT)
    other = kt.Translator(kt.Transformer(320, **SIZES), teacher.source_tokenizer)
    with pytest.raises(ValueError, match="other are teacher"):
        distill(other, texts[0], folder, verbose=0, **STUDENT)


def test_the_command_takes_the_options_of_a_run(
    teacher, reversing, texts, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    teacher.save("teacher")
    found = []
    monkeypatch.setattr(
        distillation, "train", lambda config, folder, verbose: found.append(config)
    )
    flags = ["--model", '{"num_layers": 1}', "--steps", "500", "--beam-size", "2"]
    main(["distill", "teacher", "source", "run", *flags, "--references", "reference"])
    assert capsys.readouterr().out.strip() == "run/translator"
    assert found[0].steps == 500 and found[0].model == {"num_layers": 1}
    pathlib.Path("run.yaml").write_text("source: a\n", "utf-8")
    for arguments, words in (
        (["nothing", "source", "run"], "nothing"),
        (["teacher", "nothing", "run"], "nothing"),
        (["teacher", "source", "run", "--steps", "7"], "steps_per_epoch"),
        (["teacher", "source", "run", "--config", "run.yaml"], "source isn't a"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["distill", *arguments])
        assert stop.value.code == 2 and words in capsys.readouterr().err
