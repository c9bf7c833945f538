"""Notebooks show what a translator explains, and nothing that a text brings along."""

import html
import html.parser
import re

import numpy as np
import pytest

from keras_transformer.tasks.explanations import Explanation, Explanations

EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a & b", "\u2581'it"]


def explanation(tokens=EVIL, log_probs=(-0.01, -1.0, -5.0, -90.0), **changes):
    return Explanation(
        **{
            "translation": "<b>" + "".join(tokens[:1]),
            "tokens": list(tokens),
            "log_probs": np.array(log_probs, "float32"),
            "aligned_source": np.arange(len(tokens))[::-1],
            "source_tokens": [f"{token}<i>" for token in tokens],
            "truncated": False,
            **changes,
        }
    )


class Reader(html.parser.HTMLParser):
    """The names of tags, the text, and the titles of an HTML text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.titles, self.colours = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "hr":
            self.open.append(tag)
        attrs = dict(attrs)
        assert set(attrs) <= {"title", "style"}
        if "title" in attrs:
            self.titles.append(attrs["title"])
            self.colours.append(re.search(r"hsl\((\d+)", attrs["style"])[1])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_texts_are_escaped_and_all_of_them_are_there():
    read = Reader(explanation()._repr_html_())
    assert not {"script", "img", "i"} & set(read.tags) and not read.open
    assert read.tags.count("b") == 1
    text = "".join(read.text)
    assert "<b>" + EVIL[0] in text
    for token, source, title in zip(EVIL, EVIL[::-1], read.titles, strict=True):
        assert text.count(token) >= 2 and f"{source}<i>" in text
        assert title.endswith(f"from {source}<i>")


def test_colours_follow_the_log_probabilities():
    found = explanation(log_probs=(0.0, -1.0, -5.0, float("nan")))
    hues = [int(hue) for hue in Reader(found._repr_html_()).colours]
    assert hues[0] == 120 > hues[1] > hues[2] == hues[3] == 0


@pytest.mark.parametrize("tokens", [[""], []])
def test_an_empty_one_is_shown_too(tokens):
    found = explanation(tokens, [0.0] * len(tokens), translation="", truncated=True)
    assert "cut off" in "".join(Reader(found._repr_html_()).text)


def test_it_is_a_dict_and_several_are_a_list():
    found = Explanations([explanation(), explanation(["hund"], [-1.0])])
    assert isinstance(found, list) and isinstance(found[0], dict)
    read = Reader(found._repr_html_())
    assert read.tags.count("hr") == 1 and "hund" in "".join(read.text)
