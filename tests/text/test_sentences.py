import random

import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.demo import LOCALES
from keras_transformer.serving import diagnose
from tests.text.sentence_cases import CASES, MARK

# Letters, spaces, marks and what the implementation uses itself.
_TRICKY = list(
    ".!?…。」»\"'()[]«‘“ \t\n\r\v\f\x85\u2028\u2029\xa0\u3000\x00\x1a01aBéßД中あ3९ाé"
)


@pytest.fixture(scope="module")
def split():
    """As a server runs it: a graph that autograph had no part in."""
    return tf.function(
        kt.text.split_sentences,
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


def joined(pieces):
    return tf.strings.reduce_join(pieces, axis=1).numpy().tolist()


@pytest.mark.parametrize("language", CASES)
def test_hard_cases(split, language):
    texts = [case.replace(MARK, "") for case in CASES[language]]
    pieces = split(tf.constant(texts)).to_list()
    found = [MARK.join(piece.decode("utf-8") for piece in row) for row in pieces]
    assert found == CASES[language]


def test_hard_cases_cover_the_languages_of_the_demo():
    assert {locale.split("_")[0] for locale in LOCALES} <= set(CASES)
    assert sum(map(len, CASES.values())) >= 380


def test_pieces_joined_are_the_text_for_any_string(split):
    generator = random.Random(0)

    def character():
        if generator.random() < 0.6:
            return generator.choice(_TRICKY)
        # Any plane alike, but for surrogates, which UTF-8 lacks.
        code = 0x10000 * generator.randrange(17) + generator.randrange(0x10000)
        return chr(code if not 0xD800 <= code < 0xE000 else code - 0x800)

    texts = [
        "".join(character() for _ in range(generator.randrange(30))).encode("utf-8")
        for _ in range(20_000)
    ]
    pieces = split(tf.constant(texts))
    assert joined(pieces) == texts
    assert pieces.nrows() == 20_000
    assert b"" not in pieces.flat_values.numpy()


def test_pieces_joined_are_the_text_for_any_bytes(split):
    generator = random.Random(1)
    likely = b".!? \n\xff\xc3\xe2\x80\xa6\xe3\x82\x1a01aB"
    texts = [
        bytes(
            generator.choice(likely) if generator.random() < 0.7
            else generator.randrange(256)
            for _ in range(generator.randrange(30))
        )
        for _ in range(5_000)
    ]  # fmt: skip
    assert joined(split(tf.constant(texts))) == texts


def test_long_runs_of_anything_are_one_text_again(split):
    texts = [
        mark * 20_000 for mark in (".", " ", "\n", "a. ", "。", "\x1a", "3. ", '"')
    ]
    assert joined(split(tf.constant(texts))) == [text.encode() for text in texts]


def test_neighbours_in_a_batch_change_nothing(split):
    texts = [case.replace(MARK, "") for cases in CASES.values() for case in cases]
    together = split(tf.constant(texts)).to_list()
    for start in range(0, len(texts), 7):
        part = texts[start : start + 7]
        assert split(tf.constant(part)).to_list() == together[start : start + 7]


def test_takes_lists_and_single_strings():
    assert kt.text.split_sentences("One. Two.").to_list() == [[b"One. ", b"Two."]]
    assert kt.text.split_sentences(["", "A."]).to_list() == [[], [b"A."]]
    assert kt.text.split_sentences([]).to_list() == []
    assert kt.text.split_sentences([b"\xff. A."]).to_list() == [[b"\xff. ", b"A."]]
    (piece,) = kt.text.split_sentences("a\ud800")[0].numpy()
    assert piece.decode("utf-8", "surrogatepass") == "a\ud800"


def test_anything_but_strings_is_refused():
    with pytest.raises(TypeError, match="received 7"):
        kt.text.split_sentences(["a", 7])
    with pytest.raises(TypeError, match="float32"):
        kt.text.split_sentences(tf.zeros([2]))
    with pytest.raises(ValueError, match=r"shape=\(1, 1\)"):
        kt.text.split_sentences(tf.constant([["a"]]))


def test_an_export_needs_nothing_but_operations_of_tensorflow(tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def signature(text):
        pieces = kt.text.split_sentences(text)
        return {"pieces": pieces.flat_values, "count": pieces.row_lengths()}

    graph = signature.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    names = {node.op for node in nodes}
    assert "StaticRegexFullMatch" in names
    assert not {name for name in names if "Text" in name or "Py" in name}
    path = str(tmp_path / "1")
    tf.saved_model.save(module, path, signatures=signature)
    problems = diagnose(path)
    assert not any("operation" in problem for problem in problems), problems
    loaded = tf.saved_model.load(path).signatures["serving_default"]
    found = loaded(text=tf.constant(["Dr. Lee left. He ran.", ""]))
    assert found["pieces"].numpy().tolist() == [b"Dr. Lee left. ", b"He ran."]
    assert found["count"].numpy().tolist() == [2, 0]
