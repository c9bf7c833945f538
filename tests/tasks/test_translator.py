import os
import pathlib

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer import files

TEXTS = ["the dog", "a small cat sees the old house", "", "woman", "the dog"]


def test_answers_come_in_the_order_of_the_texts(translator):
    together = translator.translate(TEXTS, max_length=6, tokens_per_batch=10)
    alone = [translator.translate(text, max_length=6) for text in TEXTS]
    assert together == alone
    assert translator.translate([]) == []


def test_n_best_answers_come_with_scores_best_first(translator):
    answers, scores = translator.translate(
        TEXTS, max_length=6, num_hypotheses=3, return_scores=True
    )
    assert [len(answer) for answer in answers] == [3] * len(TEXTS)
    assert (np.diff(scores, axis=1) <= 0).all()
    best = translator.translate(TEXTS, max_length=6)
    assert [answer[0] for answer in answers] == best


def test_folder_gives_the_translator_back(translator, tmp_path):
    before = translator.translate(TEXTS, max_length=6)
    translator.save(tmp_path / "translator")
    translator.save(tmp_path / "translator")
    names = {path.name for path in (tmp_path / "translator").iterdir()}
    assert names == {"model.keras", "source.spm", "translator.json"}
    loaded = kt.Translator.load(tmp_path / "translator")
    assert loaded.translate(TEXTS, max_length=6) == before


def saved_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["folder", "file", "link to a folder"])
def test_something_else_is_left_alone_before_anything_is_written(
    translator, tmp_path, kind, monkeypatch
):
    notes = tmp_path / "inside" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine", "utf-8")
    path = {"folder": notes.parent, "file": notes}.get(kind, tmp_path / "link")
    if kind == "link to a folder":
        path.symlink_to(notes.parent)
    monkeypatch.setattr(translator.model, "save", pytest.fail)
    with pytest.raises(ValueError, match="something else"):
        translator.save(path)
    assert notes.read_text("utf-8") == "mine" and len(list(notes.parent.iterdir())) == 1
    with pytest.raises(FileNotFoundError, match="holds no Translator"):
        kt.Translator.load(notes.parent)


def test_saving_again_keeps_the_user_s_files_and_a_link(translator, tmp_path):
    folder, link = tmp_path / "disk" / "translator", tmp_path / "link"
    folder.parent.mkdir()
    link.symlink_to(folder)
    translator.save(link)
    (folder / "notes.txt").write_text("mine", "utf-8")
    (folder / "more").mkdir()
    (folder / "more" / "picture").touch()
    # What an earlier translator had for its target isn't the user's.
    (folder / "target.spm").write_bytes(translator.source_tokenizer.model)
    translator.save(link)
    assert link.is_symlink() and (folder / "notes.txt").read_text("utf-8") == "mine"
    names = {"model.keras", "source.spm", "translator.json", "notes.txt", "more"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "more" / "picture").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["translator"]


@pytest.mark.parametrize("step", ["fsync", "rename", "settings", "tokenizer"])
def test_a_save_that_fails_leaves_the_one_before(
    translator, tmp_path, monkeypatch, step
):
    def full(*_, **__):
        raise OSError("no space left on device")

    folder = tmp_path / "translator"
    translator.save(folder)
    before = saved_files(folder)
    owner, name = {
        "settings": (pathlib.Path, "write_text"),
        "tokenizer": (kt.text.Tokenizer, "save"),
    }.get(step, (os, step))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(OSError, match="no space"):
            translator.save(folder)
    assert saved_files(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["translator"]


def test_a_kill_between_two_renames_leaves_what_loads_and_saves(translator, tmp_path):
    folder = tmp_path / "translator"
    translator.save(folder)
    before = saved_files(folder)
    moved_away = tmp_path / f"replaced-{2**22 + 1}~{files._HOST}~translator"
    os.rename(folder, moved_away)
    loaded = kt.Translator.load(folder)
    assert loaded.source_tokenizer.model == translator.source_tokenizer.model
    (moved_away / "notes.txt").touch()
    translator.save(folder)
    assert saved_files(folder).keys() == {*before, "notes.txt"}
    assert [path.name for path in tmp_path.iterdir()] == ["translator"]


def test_long_texts_are_cut_off_with_a_warning(model, tokenizer):
    translator = kt.Translator(model, tokenizer, max_source_length=5)
    with pytest.warns(UserWarning, match="1 of 2 texts"):
        translator.translate(["dog " * 20, "cat"], max_length=3)


def test_a_tokenizer_too_large_for_the_model_is_refused(tokenizer):
    model = kt.Transformer.from_preset("mini", 100)
    with pytest.raises(ValueError, match="320 ids.* 100"):
        kt.Translator(model, tokenizer)


def test_anything_but_text_is_refused(translator):
    with pytest.raises(TypeError, match="7"):
        translator.translate(["a", 7])


def test_answers_begin_with_the_prefix(translator):
    prefixes = ["the old", "", "a red", "dog", "the"]
    answers = translator.translate(TEXTS, max_length=8, target_prefix=prefixes)
    assert all(a.startswith(p) for a, p in zip(answers, prefixes))
    assert answers[1] == translator.translate(TEXTS[1], max_length=8)
    assert translator.translate("dog", target_prefix="a cat").startswith("a cat")
    with pytest.raises(ValueError, match="received 2 for 5 texts"):
        translator.translate(TEXTS, target_prefix=["a", "b"])


def test_options_of_the_search_are_passed_on(translator):
    drawn = translator.translate(TEXTS, sample=True, num_hypotheses=3, max_length=6)
    assert [len(answers) for answers in drawn] == [3] * len(TEXTS)
    same = translator.translate(TEXTS, sample=True, num_hypotheses=3, max_length=6)
    assert drawn == same
    other = translator.translate(
        TEXTS, sample=True, num_hypotheses=3, max_length=6, seed=1
    )
    assert drawn != other
    with pytest.raises(TypeError, match="beam_width"):
        translator.translate(TEXTS, beam_width=4)
