import importlib.util
import pathlib

import keras
import numpy as np
import pytest

import keras_transformer as kt

FOLDER = pathlib.Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


classify_text = example("classify_text")


@pytest.mark.parametrize("name", classify_text.CLASSIFIERS)
@pytest.mark.long
def test_a_classifier_around_each_layer_beats_guessing(name):
    assert classify_text.accuracy(name) > 0.9


@pytest.mark.parametrize("task", ("sort", "reverse"))
def test_position_study_asks_for_what_it_says(task):
    study = example("position_study")
    inputs, labels = study.sequences(task, [3, 5], np.random.default_rng(0))
    for source, target, label in zip(
        inputs["source_ids"], inputs["target_ids"], labels
    ):
        symbols = source[source >= study.FIRST].tolist()
        assert len(set(symbols)) == len(symbols)
        answer = sorted(symbols) if task == "sort" else symbols[::-1]
        assert label[label > 0].tolist() == [*answer, study.END]
        assert target[target > 0].tolist() == [study.START, *answer]


def test_position_study_measures_nothing_twice(tmp_path):
    study = example("position_study")
    assert study.Results(tmp_path / "run" / "r.json").measure("a", lambda: 1.5) == 1.5
    again = study.Results(tmp_path / "run" / "r.json")
    assert again.measure("a", lambda: 1 / 0) == 1.5


@pytest.fixture(scope="module")
def parse_treebank():
    pytest.importorskip("nltk")
    pytest.importorskip("PYEVALB")
    return example("parse_treebank")


SENTENCE = """
( (S (NP-SBJ-1 (DT The) (JJ old) (NN boat) ) (VP (VBZ drifts)
  (S (NP-SBJ (-NONE- *-1)) (ADVP|PRT (RB away) )) ) (. .) ) )
"""


def test_treebank_is_read_without_traces_and_function_tags(parse_treebank, tmp_path):
    (tmp_path / "combined").mkdir()
    for number in range(1, 11):
        file = tmp_path / "combined" / f"wsj_{number:04d}.mrg"
        file.write_text(SENTENCE * number)
    files = parse_treebank.read_treebank(tmp_path)
    train, valid, test = parse_treebank.split(files)
    assert (len(train), len(valid), len(test)) == (36, 9, 10)
    assert parse_treebank.linearised(test[0]) == (
        "(S (NP DT JJ NN )NP (VP VBZ (S (ADVP RB )ADVP )S )VP . )S"
    )


def test_trees_come_back_and_broken_ones_are_repaired(parse_treebank):
    tree = parse_treebank.nltk.Tree.fromstring(
        "(TOP (S (NP (DT the) (NN boat)) (VP (VBZ drifts)) (. .)))"
    )
    text = parse_treebank.linearised(tree)
    assert parse_treebank.repaired(text, tree) == (tree, True)
    for broken in (
        text.removesuffix(" )S"),
        text.replace(" )NP", "", 1),
        text.replace("NN ", ""),
        text + " NN",
        "",
        ")NP (VP",
    ):
        found, well_formed = parse_treebank.repaired(broken, tree)
        assert not well_formed
        assert found.leaves() == tree.leaves()
        assert all(len(part) for part in found.subtrees())


def test_any_search_kept_to_trees_gives_one(parse_treebank, tmp_path):
    """Even that of a model that has learnt nothing."""
    trees = parse_treebank.nltk.Tree.fromstring(
        "(ALL (TOP (S (NP (DT the) (NN boat)) (VP (VBZ drifts)) (. .))) "
        "(TOP (NP (NP (NN a)) (PP (IN of) (NP (NN b))))))"
    )
    source_of = parse_treebank.Sources(trees, 2)
    sources = [source_of(tree) for tree in trees]
    assert sources == ["the/DT boat/NN VBZ .", "NN IN NN"]
    lines = [*sources, *map(parse_treebank.linearised, trees)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    tokenizer = kt.text.train_tokenizer(
        tmp_path / "lines.txt",
        vocabulary_size=len({token for line in lines for token in line.split()}) + 4,
        model_type="word",
        byte_fallback=False,
        character_coverage=1.0,
    )
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        model = kt.Transformer.from_preset("mini", tokenizer.vocabulary_size)
        translator = kt.Translator(model, tokenizer)
        texts = translator.translate(
            sources,
            max_length=200,
            sample=bool(seed),
            seed=seed,
            allowed_tokens=parse_treebank.Trees(tokenizer),
        )
        for text, tree in zip(texts, trees):
            found, well_formed = parse_treebank.repaired(text, tree)
            assert well_formed and found.leaves() == tree.leaves()


def test_grammar_gives_a_tree_it_has_seen(parse_treebank):
    trees = parse_treebank.nltk.Tree.fromstring(
        "(ALL (TOP (S (NP (DT a) (NN b)) (VP (VBZ c) (NP (DT d) (NN e))))) "
        "(TOP (S (NP (DT a) (JJ g) (NN b)) (VP (VBZ c)))))"
    )
    grammar = parse_treebank.Grammar(list(trees))
    for tree in trees:
        assert grammar.parse(tree.pos()) == tree
    assert grammar.parse([("x", "XX"), ("y", "YY")]).label() == "TOP"


def test_ngram_bits_are_those_of_an_even_guess_without_training():
    language_model = example("byte_language_model")
    text = bytes(range(256))
    assert language_model.ngram_bits(b"", text) == pytest.approx(8)
    repeated = b"abcabcabc" * 200
    assert language_model.ngram_bits(repeated, repeated) < 0.1


def test_model_bits_count_each_byte_once():
    """An untrained model with equal logits codes each byte as an even guess."""
    language_model = example("byte_language_model")
    size = language_model.VOCABULARY

    def even(inputs):
        return np.zeros((*inputs.shape, size), "float32")

    text = bytes(np.random.default_rng(0).integers(0, 256, 1000, dtype="uint8"))
    assert language_model.model_bits(even, text) == pytest.approx(np.log2(size))


def test_names_held_out_are_of_things_never_seen():
    tell_languages = example("tell_languages")
    (texts, labels), (held_out, _) = tell_languages.names()
    assert not set(texts) & set(held_out)
    assert set(labels) == set(tell_languages.LANGUAGES)
    assert "Deutschland" in {*texts, *held_out}


def test_fine_tuning_asks_for_dates_that_it_did_not_train_on(tmp_path):
    fine_tune = example("fine_tune")
    fine_tune.write_texts(tmp_path, num_old=300, num_new=50, num_test=40)
    texts = {
        path.stem: list(kt.text.read_pairs(path)) for path in tmp_path.glob("*.tsv")
    }
    assert {name: len(pairs) for name, pairs in texts.items()} == {
        "old": 300,
        "new": 50,
        "mixed": 100,
        "test-old": 40,
        "test-new": 40,
    }
    assert set(texts["new"]) < set(texts["mixed"])
    assert set(texts["mixed"]) - set(texts["new"]) <= set(texts["old"])
    held_out = {date for name in ("test-old", "test-new") for _, date in texts[name]}
    assert not held_out & {date for name in ("old", "new") for _, date in texts[name]}


@pytest.mark.slow
def test_fine_tuning_compares_all_ways(tmp_path):
    fine_tune = example("fine_tune")
    rows = fine_tune.compare(tmp_path, steps=4, new_steps=2, num_old=3000, num_new=50)
    assert [row["way"] for row in rows] == ["before", *fine_tune.WAYS]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("old", "new"))
    assert rows[3]["trained"] < rows[0]["trained"] / 5 == rows[1]["trained"] / 5
    lines = fine_tune.table(rows).splitlines()
    assert len(lines) == 6 and lines[5].startswith("| LoRA | ")
    # Called again it trains no further.
    again = fine_tune.compare(tmp_path, steps=4, new_steps=2, num_old=3000, num_new=50)
    assert again == rows
