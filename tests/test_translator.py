import numpy as np
import pytest

import keras_transformer as kt

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


def test_a_folder_with_something_else_is_left_alone(translator, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="something else"):
        translator.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(FileNotFoundError, match="holds no Translator"):
        kt.Translator.load(tmp_path)


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
