import hypothesis.strategies as st
import keras
import pytest
import tensorflow as tf
from hypothesis import given, settings

import keras_transformer as kt


@settings(deadline=None, max_examples=300)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back_exactly(tokenizer, text):
    ids = tokenizer.tokenize([text])
    assert tokenizer.detokenize(ids).numpy()[0].decode("utf-8") == text


@pytest.mark.parametrize("text", ["", " ", "  a  b ", "\u2581", "\x1a0", "\x1a1", "\t"])
def test_spaces_and_escapes_come_back_exactly(tokenizer, text):
    found = tokenizer.detokenize(tokenizer.tokenize([text])).numpy()[0]
    assert found.decode("utf-8") == text


def test_special_tokens_leave_no_trace(tokenizer):
    ids = tokenizer.tokenize(["the red dog"])[0].numpy().tolist()
    padded = [[tokenizer.start_id, *ids, tokenizer.end_id, 0, 0]]
    assert tokenizer.detokenize(padded).numpy()[0] == b"the red dog"


def test_bytes_that_are_not_utf_8_become_the_replacement_character(tokenizer):
    found = tokenizer.detokenize(tokenizer.tokenize([b"a\xffb"])).numpy()[0]
    assert found.decode("utf-8") == "a\ufffdb"


def test_survives_seeding(tokenizer):
    dataset = tf.data.Dataset.from_tensors(["the dog"]).map(tokenizer.tokenize)
    before = tokenizer.tokenize(["the dog"]).to_list()
    keras.utils.set_random_seed(1)
    assert tokenizer.tokenize(["the dog"]).to_list() == before
    assert next(iter(dataset)).to_list() == before


def test_file_gives_the_tokenizer_back(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "model.spm")
    loaded = kt.text.Tokenizer.load(tmp_path / "model.spm")
    assert loaded.vocabulary_size == tokenizer.vocabulary_size == 320
    assert loaded.tokens([5, 6]) == tokenizer.tokens([5, 6])


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_normalization_is_a_choice(corpus, model_type):
    tokenizer = kt.text.train_tokenizer(
        corpus[0], 285, model_type=model_type, normalization="nmt_nfkc"
    )
    found = tokenizer.detokenize(tokenizer.tokenize(["the \ufb01ne  dog"]))
    assert found.numpy()[0] == b"the fine dog"


def test_vocabulary_larger_than_the_text_supports_is_named(corpus):
    with pytest.raises(ValueError, match="vocabulary_size=50000"):
        kt.text.train_tokenizer(corpus[0], 50_000)


def test_empty_corpus_is_refused(tmp_path):
    path = tmp_path / "empty.txt"
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="empty.txt"):
        kt.text.train_tokenizer(path)


def test_not_a_model_is_refused():
    with pytest.raises(ValueError, match="SentencePiece"):
        kt.text.Tokenizer(b"not a model")


@pytest.mark.parametrize("model_type", ["word", "bpe", "unigram", "char"])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_the_first_word_is_a_word_like_any_other(tmp_path, model_type, byte_fallback):
    path = tmp_path / "text.txt"
    path.write_text("(S one two )S\n(S two three )S\n(NP one )NP\n" * 50)
    size = {"word": 11, "bpe": 24, "unigram": 18, "char": 18}[model_type]
    tokenizer = kt.text.train_tokenizer(
        path,
        size + 256 * byte_fallback,
        model_type=model_type,
        byte_fallback=byte_fallback,
        character_coverage=1.0,
    )
    text = "(S one )S"
    ids = tokenizer.tokenize([text, "one (S"])
    assert tokenizer.unknown_id not in ids.flat_values.numpy()
    assert tokenizer.detokenize(ids).numpy()[0].decode() == text
    if model_type == "word" and not byte_fallback:
        first, second = ids.to_list()
        assert first[0] == second[1] and first[1] == second[0]


@pytest.mark.parametrize("separator", [" ", ""])
def test_a_line_of_any_length_is_trained_on(tmp_path, separator):
    """SentencePiece itself leaves out lines of more than 1 MiB."""
    path = tmp_path / "long.txt"
    path.write_text(
        "a b\n" * 10 + separator.join(["zebra"] * 250_000) + "\n", encoding="utf-8"
    )
    tokenizer = kt.text.train_tokenizer(path, 275)
    tokens = "".join(tokenizer.tokens(range(tokenizer.vocabulary_size)))
    assert "zebra" in tokens
