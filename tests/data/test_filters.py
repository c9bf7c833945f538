"""Which pairs are left out, and for which reason."""

import itertools
import json
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.data.filters import (
    SeenHashes,
    pair_hash,
    unknown_ids,
)

Filters = kt.data.Filters


def reason(filters, source, target, source_ids=(5,), target_ids=(5,)):
    return filters.reason(source, target, source_ids, target_ids)


def test_by_default_nothing_is_left_out():
    assert Filters().reasons == []
    for pair in (("a", "a"), ("a", "b" * 99), ("\u0431", "\u6f22"), ("", "")):
        ids = [[1] * len(text) for text in pair]
        assert Filters().reason(*pair, *ids) is None


@pytest.mark.parametrize("lengths", [(2, 6), (6, 2), (3, 3), (1, 3)])
def test_the_ratio_of_lengths_may_be_reached_and_not_passed(lengths):
    source, target = ([5] * length for length in lengths)
    ratio = max(lengths) / min(lengths)
    assert Filters(max_length_ratio=ratio).reason("a", "b", source, target) is None
    longer = max(source, target, key=len)
    longer.append(5)
    found = Filters(max_length_ratio=ratio).reason("a", "b", source, target)
    assert found == "length ratio"


def test_identical_sides_are_found_whatever_space_is_around_them():
    filters = Filters(identical_sides=True)
    assert reason(filters, " A dog.", "A dog. ") == "identical sides"
    assert reason(filters, "A dog.", "a dog.") is None


@pytest.mark.parametrize(
    "script, source, target, wrong",
    [
        (("Latin", "Cyrillic"), "a dog", "\u0441\u043e\u0431\u0430\u043a\u0430", False),
        (("Latin", "Cyrillic"), "a dog", "a dog", True),
        (("Latin", "Cyrillic"), "\u0441\u043e", "\u0441\u043e", True),
        (("Latin", None), "a dog", "\u0441\u043e\u0431", False),
        ((None, "Latin"), "\u0441\u043e\u0431", "dog", False),
        # Names and abbreviations of another script are usual.
        (("Latin", "Cyrillic"), "a", "\u0441\u043e\u0431\u0430\u043a\u0430 IBM", False),
        (("Latin", "Cyrillic"), "a", "\u0441\u043e IBM", True),
        # Numbers and signs are of no script.
        (("Latin", "Cyrillic"), "1997", "1997 - !", False),
        (("Latin", ["Han", "Hiragana"]), "a", "\u72ac\u304c", False),
        (("Latin", ["Han", "Katakana"]), "a", "\u30ab\u30fc\u30fc\u30fc", False),
        (("Latin", "Han"), "a", "\u30ab\u30ab\u72ac", True),
        (("latn", "cyrl"), "a", "\u0441", False),
        (("Latin", "Devanagari"), "a", "\u0915\u0941\u0924\u094d\u0924\u093e", False),
    ],
)
def test_most_letters_are_of_the_script(script, source, target, wrong):
    expected = "wrong script" if wrong else None
    assert reason(Filters(script=script), source, target) == expected


def test_the_share_of_unknown_tokens_may_be_reached_and_not_passed():
    filters = Filters(max_unknown_share=0.25)
    known, few, many = [5, 6, 7, 8], [5, 1, 7, 8], [5, 1, 7, 1]
    assert filters.reason("a", "b", few, few) is None
    assert filters.reason("a", "b", known, many) == "unknown tokens"
    assert filters.reason("a", "b", many, known) == "unknown tokens"
    assert filters.reason("a", "b", many, known, source_unknown=[2]) is None


def test_bytes_of_characters_that_a_vocabulary_lacks_are_unknown(tokenizer):
    unknown = unknown_ids(tokenizer)
    known, foreign = tokenizer.tokenize(["the dog", "\u6f22"]).to_list()
    assert tokenizer.unknown_id in unknown and len(unknown) == 257
    assert not unknown & set(known)
    assert len(unknown & set(foreign)) >= 2


def test_the_first_reason_in_the_arguments_order_counts():
    every = Filters(
        max_length_ratio=1,
        duplicates=True,
        identical_sides=True,
        script=("Cyrillic", None),
        max_unknown_share=0,
    )
    assert every.reasons == [
        "length ratio",
        "identical sides",
        "wrong script",
        "unknown tokens",
        "duplicate",
    ]
    assert every.reason("a", "a", [1], [1, 1]) == "length ratio"
    assert every.reason("a", "a", [1], [1]) == "identical sides"
    assert every.reason("a", "b", [1], [1]) == "wrong script"
    assert every.reason("\u0431", "b", [1], [1]) == "unknown tokens"
    assert every.reason("\u0431", "b", [5], [5]) is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"max_length_ratio": np.float32(2.5), "duplicates": True},
        {"script": ["Latin", ["Han", "Hiragana"]], "max_unknown_share": 0.1},
        {"script": (None, "Greek"), "identical_sides": True},
    ],
)
def test_filters_survive_json_and_pickle(given):
    filters = Filters(**given)
    written = json.dumps(filters.to_json())
    assert Filters.from_json(json.loads(written)) == filters
    assert pickle.loads(pickle.dumps(filters)) == filters
    assert set(filters.to_json()) == set(given)
    assert hash(filters) == hash(Filters.from_json(json.loads(written)))


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("max_length_ratio", 0.5, ValueError),
        ("max_length_ratio", float("nan"), ValueError),
        ("max_length_ratio", "3", TypeError),
        ("max_length_ratio", True, TypeError),
        ("max_unknown_share", 1, ValueError),
        ("max_unknown_share", -0.1, ValueError),
        ("max_unknown_share", [0.1], TypeError),
        ("duplicates", 1, TypeError),
        ("identical_sides", None, TypeError),
        ("identical_sides", "yes", TypeError),
        ("script", "Latin", TypeError),
        ("script", 3, TypeError),
        ("script", ("Latin",), ValueError),
        ("script", ("Latin", "Greek", "Han"), ValueError),
        ("script", (None, None), ValueError),
        ("script", ("Latin", 3), TypeError),
        ("script", ("Latin", []), TypeError),
        ("script", ("Latin", "Klingon"), ValueError),
        ("script", ("Latin", "}|."), ValueError),
        ("script", ("", "Latin"), ValueError),
    ],
)
def test_a_wrong_value_is_named(name, value, error):
    with pytest.raises(error, match=name):
        Filters(**{name: value})


def test_a_filter_that_there_is_not_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="'duplicate' .did you mean 'duplicates'"):
        Filters.from_json({"duplicate": True})
    with pytest.raises(TypeError, match="filters must be a dict"):
        Filters.from_json([])


def test_a_hash_tells_where_the_target_begins():
    pairs = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), ("c", "ab")]
    assert len({pair_hash(*pair) for pair in pairs}) == len(pairs)
    assert pair_hash("a", "b") == 0x4A96FB57CBDEEDA8, "files hold hashes"


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    st.lists(st.integers(0, 12) | st.integers(0, 2**64 - 1), max_size=60),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_the_first_of_a_kind_depends_on_the_order_alone(numbers, cuts):
    values = np.array(numbers, "uint64")
    parts = np.split(values, sorted(min(cut, len(values)) for cut in cuts))
    seen = SeenHashes()
    found = np.concatenate([seen.add(part) for part in parts])
    expected = [n not in numbers[:i] for i, n in enumerate(numbers)]
    assert found.tolist() == expected


def test_hashes_take_8_bytes_a_pair_and_few_runs():
    seen, generator = SeenHashes(), np.random.default_rng(0)
    for _ in range(200):
        seen.add(generator.integers(0, 2**63, 100, np.uint64))
    sizes = [len(run) for run in seen._runs]
    assert sum(sizes) == 20_000 and len(sizes) <= 8
    assert all(run.dtype == np.uint64 for run in seen._runs)


PAIRS = [
    ("a dog", "dog a"),
    ("a cat", "a cat"),
    ("a dog", "dog a"),
    ("the house", "\u0441\u043e\u0431\u0430\u043a\u0430"),
    ("", "x"),
    ("a dog", "a a a a a a a a a a a a a dog"),
    ("a dog", "a dog "),
    ("old man", "man old"),
    ("a dog", "dog a"),
    ("", "x"),
]
FILTERS = Filters(
    max_length_ratio=4,
    duplicates=True,
    identical_sides=True,
    script=("Latin", "Latin"),
    max_unknown_share=0.5,
)
KEPT = ["a dog", "old man"]
DROPPED = {
    "duplicate": 2,
    "identical sides": 2,
    "wrong script": 1,
    "length ratio": 1,
    "empty": 2,
}


def prepared(folder, tokenizer, pairs=PAIRS, **options):
    options = {"filters": FILTERS, "verbose": 0, "processes": 1, **options}
    return kt.data.prepare(pairs, folder=folder, source_tokenizer=tokenizer, **options)


def sources(corpus, tokenizer):
    return tokenizer.decode([source for source, _ in corpus])


@pytest.mark.parametrize("pairs_per_shard", [1, 2, 3, 100])
@pytest.mark.parametrize("keep_texts", [False, True])
def test_every_pair_of_a_prepared_corpus_is_kept_or_counted(
    tmp_path, tokenizer, pairs_per_shard, keep_texts
):
    corpus = prepared(
        tmp_path / "x",
        tokenizer,
        pairs_per_shard=pairs_per_shard,
        keep_texts=keep_texts,
    )
    assert sources(corpus, tokenizer) == KEPT
    assert corpus.report.dropped == DROPPED
    assert corpus.report.pairs + sum(DROPPED.values()) == len(PAIRS)
    if keep_texts:
        assert [corpus.texts(i) for i in range(2)] == [PAIRS[0], PAIRS[7]]


def test_a_killed_preparation_goes_on_with_the_same_duplicates(tmp_path, tokenizer):
    def killed(number):
        yield from PAIRS[:number]
        raise KeyboardInterrupt

    whole = prepared(tmp_path / "whole", tokenizer, pairs_per_shard=2)
    for number in range(len(PAIRS)):
        folder = tmp_path / str(number)
        with pytest.raises(KeyboardInterrupt):
            prepared(folder, tokenizer, killed(number), pairs_per_shard=2)
        corpus = prepared(folder, tokenizer, pairs_per_shard=2)
        assert corpus.report == whole.report
        assert corpus.fingerprint == whole.fingerprint


def test_other_filters_make_another_corpus(tmp_path, tokenizer):
    prepared(tmp_path / "x", tokenizer)
    with pytest.raises(ValueError, match="filters"):
        prepared(tmp_path / "x", tokenizer, filters=Filters(duplicates=True))
    with pytest.raises(TypeError, match="filters must be a kt.data.Filters, or"):
        prepared(tmp_path / "y", tokenizer, filters={"duplicates": True})


def test_a_corpus_of_which_nothing_is_kept_says_why(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="no pair.*2 with identical sides"):
        prepared(tmp_path / "x", tokenizer, [("a", "a"), ("b", "b")])


@pytest.mark.process
def test_processes_leave_out_the_same_pairs(tmp_path, tokenizer):
    words = "a the red blue old small dog cat man woman house".split()
    texts = [" ".join(chosen) for chosen in itertools.permutations(words, 3)][:700]
    pairs = [(text, text[::-1]) for text in texts * 13]
    one, two = (
        prepared(
            tmp_path / str(n),
            tokenizer,
            pairs,
            filters=Filters(duplicates=True),
            processes=n,
            pairs_per_shard=2500,
        )
        for n in (1, 2)
    )
    assert one.report == two.report and one.fingerprint == two.fingerprint
    assert one.report.pairs == 700 and one.report.dropped == {"duplicate": 8400}
