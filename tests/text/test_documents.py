import random
import unicodedata

import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.text import cut_long, is_blank, join_document, split_document


@pytest.fixture(scope="module")
def split(tokenizer):
    """`split_document` as a server runs it: in one graph for all lengths."""
    graph = tf.function(
        lambda texts, max_length: split_document(texts, tokenizer, max_length),
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)],
    )
    return lambda texts, max_length=256: graph(tf.constant(texts), max_length)


def random_texts(count, size, seed=0):
    generator = random.Random(seed)
    parts = [
        "a ",
        "dog",
        " ",
        ", ",
        "; ",
        ". ",
        "A",
        "\n",
        "\n\n",
        "中文",
        "，",
        "。",
        "é",
    ]
    parts += ["\t", "\u3000", "😀", "house", "12", "\x1a", "\x1a0", "\x1a1", "\u200b"]
    return [
        "".join(generator.choices(parts, k=generator.randrange(size))).encode("utf-8")
        for _ in range(count)
    ]


def lines(translations):
    return [text.decode("utf-8") for text in translations.numpy()]


@pytest.mark.parametrize("max_length", [6, 12, 40])
def test_parts_of_long_sentences_are_the_text_and_short_enough(
    split, tokenizer, max_length
):
    texts = random_texts(150, 120)
    sentences, pieces = split(texts, max_length)
    assert tf.strings.reduce_join(pieces, axis=1).numpy().tolist() == texts
    counts = tokenizer.tokenize(sentences.flat_values).row_lengths().numpy()
    long = sentences.flat_values.numpy()[counts > max_length - 1]
    # A character may be spelled in more tokens than that.
    assert {len(sentence.decode("utf-8")) for sentence in long} <= {1}
    assert counts.mean() > (max_length - 1) / 5


def test_short_sentences_are_left_whole(tokenizer):
    pieces = tf.ragged.constant([["A dog, a cat; ", "中文，中文。"], [], ["b" * 30]])
    assert cut_long(pieces, tokenizer, 200).to_list() == pieces.to_list()


@pytest.mark.parametrize(
    "parts",
    [
        # The clause mark near the middle is better than the space that is nearer.
        ["the red dog sees, ", "the old cat runs off"],
        # One far from it is not.
        ["a, the old dog sees ", "the small cat runs"],
        ["the old dog sees ", "the small cat"],
        ["狗看见，", "猫跑了吗"],
    ],
)
def test_the_best_place_is_a_clause_then_a_space(tokenizer, parts):
    text = "".join(parts)
    pieces = tf.ragged.constant([[text.encode("utf-8")]])
    limit = int(tokenizer.tokenize([text]).row_lengths()[0]) - 1
    (found,) = cut_long(pieces, tokenizer, limit).to_list()
    assert [part.decode("utf-8") for part in found] == parts


def test_without_spaces_the_best_place_is_between_tokens(tokenizer):
    text = "houserunssleepswoman"
    ids = tokenizer.tokenize([text])
    count = int(ids.row_lengths()[0])
    pieces = tf.ragged.constant([[text.encode("utf-8")]])
    (parts,) = cut_long(pieces, tokenizer, count - 1).to_list()
    half = tokenizer.detokenize(ids[:, : count // 2]).numpy()[0]
    assert parts == [half, text.encode("utf-8")[len(half) :]]


def test_bytes_that_are_not_utf_8_are_kept(split):
    texts = [b"\xff\xfe" * 40, b"\x80" * 50 + b" a. B\xc3", b"\xe4\xb8" * 30]
    sentences, pieces = split(texts, 8)
    assert tf.strings.reduce_join(pieces, axis=1).numpy().tolist() == texts
    assert join_document(sentences.flat_values, pieces).numpy().tolist() == texts


def test_sentences_put_back_are_the_document(split):
    texts = [text for text in random_texts(300, 40, seed=1) if b"\n" not in text]
    sentences, pieces = split(texts)
    assert join_document(sentences.flat_values, pieces).numpy().tolist() == texts


def test_white_space_is_kept_and_never_given_to_the_model(split):
    texts = ["  One. \t Two!\r\n\r\n\t- three\n\n\n", "", " \n\u3000\n", "Four"]
    sentences, pieces = split(texts)
    assert sentences.to_list() == [[b"One.", b"Two!", b"- three"], [], [], [b"Four"]]
    translations = tf.constant(["Eins.", " Zwei! ", "- drei", "Vier"])
    assert lines(join_document(translations, pieces)) == [
        "  Eins. \t Zwei!\r\n\r\n\t- drei\n\n\n",
        "",
        " \n\u3000\n",
        "Vier",
    ]


def test_a_wrapped_line_is_one_sentence_with_a_space(split):
    text = "The long sentence of this letter goes on\r\n  in a second line. Ok.\n"
    sentences, pieces = split([text])
    assert sentences.to_list() == [
        [b"The long sentence of this letter goes on in a second line.", b"Ok."]
    ]
    assert lines(join_document(tf.constant(["Eins.", "Zwei."]), pieces)) == [
        "Eins. Zwei.\n"
    ]


def test_a_space_is_put_only_where_the_target_needs_it(split):
    _, pieces = split(["你好。你是谁？\n是我！是。", "Hi. You."])
    english = ["Hello.", "Who?", "Me!", "Yes.", "Hi.", "You."]
    assert lines(join_document(tf.constant(english), pieces)) == [
        "Hello. Who?\nMe! Yes.",
        "Hi. You.",
    ]
    japanese = ["こんにちは。", "誰？", "私！", "はい。", "やあ。", "君。"]
    assert lines(join_document(tf.constant(japanese), pieces)) == [
        "こんにちは。誰？\n私！はい。",
        "やあ。 君。",
    ]
    hindi = ["नमस्ते।", "कौन?", "मैं!", "हाँ।", "हाय।", "तुम।"]
    assert lines(join_document(tf.constant(hindi), pieces))[0] == "नमस्ते। कौन?\nमैं! हाँ।"
    _, unspaced = split(["है।वह"])
    assert lines(join_document(tf.constant(["Is.", "He"]), unspaced)) == ["Is. He"]
    nothing = ["Hello.", "", "", "Yes.", "", ""]
    assert lines(join_document(tf.constant(nothing), pieces)) == [
        "Hello.\nYes.",
        " ",
    ]


def test_a_word_that_was_cut_is_put_together_again(split):
    sentences, pieces = split(["x" * 60], 10)
    assert len(pieces.flat_values) > 1
    assert lines(join_document(sentences.flat_values, pieces)) == ["x" * 60]


def test_blank_is_what_shows_nothing():
    blank = ["", " ", "\t\r\n", "\u3000", "\u200b\ufeff", "\xad", "\x00\x1b", "\u2800"]
    blank += ["\u200d\u200e\u2066", "\U000e0001", "\ufe0f", "\u3164"]
    visible = ["a", " . ", "中", "\u0600", "\u0301", "😀", "\ue000", "\ufffd", "_"]
    assert is_blank(tf.constant(blank)).numpy().all()
    assert not is_blank(tf.constant(visible)).numpy().any()
    assert not is_blank(tf.constant([b"\xff"])).numpy().any()
    kinds = ("Lu", "Nd", "Po", "Sm")
    letters = [chr(i) for i in range(0x20000) if unicodedata.category(chr(i)) in kinds]
    assert not is_blank(tf.constant(letters)).numpy().any()


def test_a_language_token_stands_before_each_sentence(tokenizer):
    pieces = [tokenizer._processor.id_to_piece(i) for i in range(4, 320)]
    vocabulary = ["<padding>", "</s>", "<unk>", "<pad>", ">>fra<<", *pieces]
    marian = kt.text.VocabularyTokenizer(tokenizer.model, vocabulary)
    texts = [">>fra<< the dog. A cat.\n", "A dog. The cat.", ">>fra<< \n"]
    sentences, pieces = split_document(texts, marian, 256)
    assert sentences.to_list() == [
        [b">>fra<< the dog.", b">>fra<< A cat."],
        [b"A dog.", b"The cat."],
        [],
    ]
    translations = tf.constant(["le chien.", "Un chat.", "c.", "d."])
    assert lines(join_document(translations, pieces)) == [
        "le chien. Un chat.\n",
        "c. d.",
        "\n",
    ]
    sentences, _ = split_document([">>fra<< " + "the dog " * 20], marian, 12)
    assert int(tf.reduce_max(marian.tokenize(sentences.flat_values).row_lengths())) < 12


def test_a_text_without_any_end_is_cut_in_reasonable_time(split):
    text = b"ab" * 20_000
    _, pieces = split([text])
    assert b"".join(pieces.flat_values.numpy()) == text
    assert len(pieces.flat_values) < 500


def test_a_server_splits_and_joins_as_python_does(split, tokenizer, tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def echo(text):
        sentences, pieces = split_document(text, tokenizer, 12)
        return {
            "text": join_document(sentences.flat_values, pieces),
            "num_sentences": sentences.row_lengths(),
        }

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=echo)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    texts = ["One. Two.\n\nThe red dog sees a cat and an old house.", "", " \n"]
    found = served(text=tf.constant(texts))
    assert lines(found["text"]) == texts
    expected = split(texts, 12)[0].row_lengths().numpy().tolist()
    assert found["num_sentences"].numpy().tolist() == expected
    assert expected[0] > 3
