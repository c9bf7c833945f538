"""Drawn segmentations: the same text, another one for another key, never too long."""

import itertools
import math
import random
import threading
import types

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from sentencepiece import sentencepiece_model_pb2

import keras_transformer as kt
from keras_transformer.data.subword_sampling import SubwordSampler, subword_samplers

ODD = "a <2de> dog\u2581s \x1a0 \u6f22\u5b57 \U0001f415 e\u0301\ufb01 <unk> </s> \t\n\r"


@pytest.fixture(scope="module")
def tokenizers(corpus):
    def train(model_type, size, **options):
        options = {"symbols": ["<2de>"], **options}
        return kt.text.train_tokenizer(corpus, size, model_type, **options)

    return {
        "bpe": train("bpe", 320),
        "unigram": train("unigram", 290),
        "normalized": train("bpe", 320, normalization="nmt_nfkc"),
        "unknown": train("bpe", 60, byte_fallback=False),
    }


STRENGTHS = {"bpe": 0.3, "unigram": 0.2, "normalized": 0.3, "unknown": 0.3}


def ids_of(tokenizer, text):
    return tokenizer.tokenize([text]).to_list()[0]


def text_of(tokenizer, ids):
    return tokenizer.detokenize([ids]).numpy()[0].decode("utf-8")


@pytest.mark.parametrize("kind", STRENGTHS)
def test_a_drawn_segmentation_is_of_the_same_text(tokenizers, kind):
    tokenizer = tokenizers[kind]
    sampler = SubwordSampler(tokenizer, STRENGTHS[kind])
    for text in ("the small dog sees a house", "  a  <2de> the dog", ODD, "", " "):
        ids = ids_of(tokenizer, text)
        expected = text_of(tokenizer, ids)
        for row in range(20):
            drawn = sampler(ids, (1, 2, row), longest=10**6)
            assert text_of(tokenizer, drawn) == expected


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(st.text(max_size=30), st.sampled_from(sorted(STRENGTHS)))
def test_any_text_stays_what_it_is(tokenizers, text, kind):
    tokenizer = tokenizers[kind]
    ids = ids_of(tokenizer, text)
    drawn = SubwordSampler(tokenizer, 0.5)(ids, (len(text),), longest=10**6)
    assert text_of(tokenizer, drawn) == text_of(tokenizer, ids)


@pytest.mark.parametrize("kind", STRENGTHS)
def test_the_key_alone_decides(tokenizers, kind):
    tokenizer = tokenizers[kind]
    sampler = SubwordSampler(tokenizer, STRENGTHS[kind])
    texts = ["the small dog sees a house", "old woman runs", "blue house sleeps"]
    ids = [ids_of(tokenizer, text) for text in texts]
    keys = [(seed, update) for seed in (-1, 10**30) for update in range(6)]

    def draw(order):
        return {
            (key, i): sampler(ids[i], key, longest=99)
            for key, i in sorted(((k, i) for k in keys for i in range(3)), key=order)
        }

    expected = draw(lambda item: item)
    found = [draw(lambda item: (-item[1], item[0][1], item[0][0]))]
    random.seed(5)
    threads = [
        threading.Thread(target=lambda: found.append(draw(lambda item: item)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
    assert len({tuple(drawn) for drawn in expected.values()}) > len(ids)
    again = SubwordSampler(tokenizer, STRENGTHS[kind])
    assert again(ids[0], keys[0], 99) == expected[keys[0], 0]


def test_a_symbol_stays_one_token(tokenizers):
    for kind in ("bpe", "unigram", "normalized"):
        tokenizer = tokenizers[kind]
        ids = ids_of(tokenizer, "<2de> the dog")
        (symbol,) = [i for i in ids if tokenizer.tokens([i]) == ["<2de>"]]
        sampler = SubwordSampler(tokenizer, 0.9 if kind != "unigram" else 0.1)
        assert all(sampler(ids, (i,), 99).count(symbol) == 1 for i in range(50))


def test_the_longest_is_never_passed(tokenizers):
    tokenizer = tokenizers["bpe"]
    sampler = SubwordSampler(tokenizer, 0.9)
    ids = ids_of(tokenizer, "the small dog sees a house")
    free = [len(sampler(ids, (i,), 10**6)) for i in range(50)]
    assert min(free) > len(ids)
    for longest in (len(ids), len(ids) + 1, min(free) + 2, max(free)):
        drawn = [sampler(ids, (i,), longest) for i in range(50)]
        assert max(map(len, drawn)) <= longest
    assert all(sampler(ids, (i,), len(ids)) == ids for i in range(50))


def test_more_dropout_gives_more_tokens_and_none_gives_the_same(tokenizers):
    tokenizer = tokenizers["bpe"]
    ids = ids_of(tokenizer, "the small dog sees a house")
    total = [
        sum(len(SubwordSampler(tokenizer, p)(ids, (i,), 999)) for i in range(100))
        for p in (1e-9, 0.1, 0.3, 0.6)
    ]
    assert total[0] == 100 * len(ids) < total[1] < total[2] < total[3]


def test_each_option_is_for_the_tokenizers_of_its_type(tokenizers):
    bpe, unigram = tokenizers["bpe"], tokenizers["unigram"]
    both = subword_samplers([bpe, unigram], 0.1, 0.5)
    assert None not in both
    assert subword_samplers([bpe, unigram], 0, None) == [None, None]
    assert subword_samplers([bpe, unigram], 0.1, None)[1] is None
    with pytest.raises(ValueError, match="bpe_dropout needs .*'bpe'.*unigram"):
        subword_samplers([unigram, unigram], 0.1, None)
    with pytest.raises(ValueError, match="unigram_alpha needs .*'unigram'.*bpe"):
        subword_samplers([bpe, bpe], 0.0, 0.2)
    with pytest.raises(ValueError, match="bpe_dropout needs .*a object"):
        subword_samplers([object(), object()], 0.1, None)


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("bpe_dropout", -0.1, ValueError),
        ("bpe_dropout", 1, ValueError),
        ("bpe_dropout", float("nan"), ValueError),
        ("bpe_dropout", None, TypeError),
        ("bpe_dropout", "0.1", TypeError),
        ("bpe_dropout", True, TypeError),
        ("unigram_alpha", 0, ValueError),
        ("unigram_alpha", float("inf"), ValueError),
        ("unigram_alpha", [0.1], TypeError),
    ],
)
def test_a_strength_out_of_range_is_named(tokenizers, name, value, error):
    options = {"bpe_dropout": 0.0, "unigram_alpha": None, name: value}
    with pytest.raises(error, match=name):
        subword_samplers([tokenizers["bpe"], tokenizers["unigram"]], **options)


def test_what_is_drawn_is_the_same_in_any_process():
    """What is expected was printed by another one."""
    model = sentencepiece_model_pb2.ModelProto()
    model.trainer_spec.model_type = model.trainer_spec.BPE
    pieces = ["a", "b", "c", "ab", "bc", "abc", "ca", "abca", "cab"]
    for rank, piece in enumerate(pieces):
        model.pieces.add(piece=piece, score=-rank)
    tokenizer = types.SimpleNamespace(model=model.SerializeToString(), escapes=True)
    sampler = SubwordSampler(tokenizer, 0.4)
    drawn = [sampler([7, 1, 8, 5], (3, 2**40, row), 99) for row in range(5)]
    assert [" ".join(pieces[i] for i in row) for row in drawn] == [
        "abc abc ab a b c",
        "a bc a bc a b abc",
        "abc ab c ab abc",
        "abca bc ab abc",
        "ab c ab c a b ab c",
    ]


def test_without_dropout_merges_are_sentencepiece_s(tokenizers):
    for kind in ("bpe", "normalized", "unknown"):
        tokenizer = tokenizers[kind]
        sampler = SubwordSampler(tokenizer, 0.5)
        for text in (ODD, "the small dog sees a house", "redolldogwoman smallest"):
            for word, ids in sampler._words(ids_of(tokenizer, text)):
                if word:
                    parts = sampler._draw.merged(word, itertools.repeat(False))
                    assert parts == tokenizer.tokens(ids)


def test_the_share_of_words_left_whole_is_that_of_the_paper(tokenizers):
    """Each of the merges of a word is kept with the probability 1 - p."""
    tokenizer = tokenizers["bpe"]
    ids = ids_of(tokenizer, "woman")
    merges = len("\u2581woman") - len(ids)
    sampler = SubwordSampler(tokenizer, 0.2)
    whole = np.mean([sampler(ids, (row,), 999) == ids for row in range(4000)])
    assert abs(whole - 0.8**merges) < 0.03


def test_a_unigram_model_draws_by_probability(tokenizers):
    tokenizer = tokenizers["unigram"]
    ids = ids_of(tokenizer, "the dog")
    ((word, own), *_) = SubwordSampler(tokenizer, 1.0)._words(ids)
    model = sentencepiece_model_pb2.ModelProto.FromString(tokenizer.model)
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type == 1}
    segmentations = [
        parts
        for cuts in itertools.product([0, 1], repeat=len(word) - 1)
        if all(
            (parts := cut(word, cuts)) and part in scores for part in cut(word, cuts)
        )
    ]
    weights = np.array(
        [math.exp(0.5 * sum(map(scores.get, parts))) for parts in segmentations]
    )
    sampler = SubwordSampler(tokenizer, 0.5)
    drawn = [tokenizer.tokens(sampler(own, (row,), 999)) for row in range(4000)]
    found = np.array([drawn.count(parts) for parts in segmentations]) / len(drawn)
    assert found.sum() == 1
    np.testing.assert_allclose(found, weights / weights.sum(), atol=0.03)


def cut(word, cuts):
    """The parts of a word that is cut after some of its characters."""
    where = [0, *(i for i, is_cut in enumerate(cuts, 1) if is_cut), len(word)]
    return [word[start:end] for start, end in itertools.pairwise(where)]
