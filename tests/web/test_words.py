"""Words of texts from tokens of all kinds; nothing of a text is lost."""

import pytest

from keras_transformer.web.words import spans_of, words_of

CASES = {
    "SentencePiece": (
        "A dog's tail, red.",
        ["▁A", "▁do", "g", "'s", "▁tail", ",", "▁red", ".", "</s>"],
        ["A", "dog's", "tail", ",", "red", "."],
        [[0], [1, 2, 3], [4], [5], [6], [7]],
    ),
    "WordPiece": (
        "playing on",
        ["play", "##ing", "on"],
        ["playing", "on"],
        [[0, 1], [2]],
    ),
    "Chinese": (
        "我爱你。",
        ["▁", "我", "爱你", "。"],
        ["我", "爱你", "。"],
        [[1], [2], [3]],
    ),
    "bytes": (
        "é=😀",
        ["▁", "<0xC3>", "<0xA9>", "<0x3D>", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>"],
        ["é", "=😀"],
        [[1, 2], [3, 4, 5, 6, 7]],
    ),
    "digits": (
        "1989-07",
        ["▁", "1", "9", "8", "9", "-", "0", "7"],
        ["1989", "-", "07"],
        [[1, 2, 3, 4], [5], [6, 7]],
    ),
    "Arabic": ("مرحبا بكم", ["▁مرح", "با", "▁بكم"], ["مرحبا", "بكم"], [[0, 1], [2]]),
    "Hindi": ("नमस्ते जी", ["▁नम", "स्ते", "▁जी"], ["नमस्ते", "जी"], [[0, 1], [2]]),
    "a family of emoji": ("👩‍👩‍👧 🇩🇪", [], ["👩‍👩‍👧", "🇩🇪"], [[], []]),
    "normalized": ("ﬁne 2", ["▁fine", "▁2"], ["ﬁne", "2"], [[], [1]]),
    "no characters": (
        "\ufffd\ufffda",
        ["<0x80>", "<0xC3>", "<0x81>", "a"],
        ["\ufffd\ufffd", "a"],
        [[0, 1, 2], [3]],
    ),
    "nothing": ("", ["</s>"], [], []),
    "markup": ("<img src=x>", [], ["<", "img", "src", "=", "x", ">"], [[]] * 6),
}


@pytest.mark.parametrize("name", CASES)
def test_words_know_their_tokens(name):
    text, tokens, words, owners = CASES[name]
    found = words_of(text, tokens)
    assert [word["text"] for word in found] == words
    assert [word["tokens"] for word in found] == owners
    assert "".join(word["text"] + word["after"] for word in found) == text
    assert len(spans_of(text, tokens)) == len(tokens)


def test_words_keep_the_white_space_between_them():
    text = "one\u00a0 two\n\n three "
    found = words_of(text, [])
    assert [word["after"] for word in found] == ["\u00a0 ", "\n\n ", " "]


def test_lone_surrogates_are_characters_like_others():
    assert [w["text"] for w in words_of("a \ud800", ["▁a"])] == ["a", "\ud800"]
