import pickle

import hypothesis.strategies as st
import keras
import numpy as np
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


ODD = ["", " ", "  ", " a", "a ", "a  b", "\t a", "\u2581", "a\u2581b", "\x1a", "\x1a0"]
ODD += [
    "\u3000a",
    "\xa0a",
    "\ufeffa",
    "a\ufeff",
    "a\x00b",
    "\ufffd",
    "\uffff",
    "e\u0301",
]
ODD += ["\ufb01n", "\r", "a\rb", "\u2028", "a\n", "\U0001f389", "<s> </s>", "<0x41>"]
ODD += [
    "a" * 5000,
    " " * 300,
    "\u200ba",
    "I\u0307",
    "\x7f\x80",
    "<fr>the",
    "the red dog",
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model_type": "unigram"},
        {"model_type": "char"},
        {"normalization": "nmt_nfkc"},
        {"normalization": "nfkc_cf", "model_type": "unigram"},
        {"byte_fallback": False, "vocabulary_size": 30},
        {"symbols": ["<fr>", "red dog", " x"]},
        {"split_digits": True},
    ],
    ids=str,
)
def test_without_tensorflow_ids_and_texts_are_the_same(corpus, options):
    size = options.pop("vocabulary_size", 290)
    tokenizer = kt.text.train_tokenizer(corpus[0], size, **options)
    random = np.random.default_rng(0)
    letters = list("ab the\u2581\x1a\u3000\xa0\ufeff\u0301\ufb01\U0001f389\x00<fr>")
    drawn = ["".join(random.choice(letters, 9)) for _ in range(300)]
    ids = tokenizer.tokenize([*ODD, *drawn])
    assert tokenizer.encode([*ODD, *drawn]) == ids.to_list()
    texts = [text.decode("utf-8") for text in tokenizer.detokenize(ids).numpy()]
    assert tokenizer.decode(ids.to_list()) == texts
    padded = [[tokenizer.start_id, *row, tokenizer.end_id, 0] for row in ids.to_list()]
    assert tokenizer.decode(padded) == texts


def test_a_tokenizer_can_be_pickled(tokenizer):
    found = pickle.loads(pickle.dumps(tokenizer))
    assert found.encode(ODD) == tokenizer.encode(ODD)


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


SYMBOLS = (
    "a b",
    " a",
    "a ",
    " ",
    "\u2581",
    "x\u2581y",
    "\x1a",
    "\x1a1",
    "<fr>",
    "a,b",
    'q"r',
    "\u00e9",
    "a\tb",
)


@pytest.fixture(scope="module")
def line_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / "lines.txt"
    path.write_text("the cat sat on a b mat\nold q house\n" * 100, "utf-8")
    return path


@pytest.mark.parametrize("model_type", ["bpe", "unigram", "char"])
def test_symbols_are_always_one_token(line_file, model_type):
    for symbol in SYMBOLS:
        tokenizer = kt.text.train_tokenizer(
            line_file, 276, model_type=model_type, symbols=[symbol, symbol]
        )
        escaped = symbol.replace("\x1a", "\x1a0").replace("\u2581", "\x1a1")
        token = escaped.replace(" ", "\u2581")
        for text in (f"q{symbol}q", symbol, f"the {symbol} cat"):
            ids = tokenizer.tokenize([text])
            assert token in tokenizer.tokens(ids[0].numpy()), (symbol, text)
            assert tokenizer.detokenize(ids).numpy()[0].decode() == text


@pytest.mark.parametrize(
    "symbol", ["", "<s>", "</s>", "<pad>", "<unk>", "<0x41>", "\0"]
)
def test_symbols_that_can_be_no_token_are_named(line_file, symbol):
    with pytest.raises(ValueError, match="symbols") as error:
        kt.text.train_tokenizer(line_file, 276, symbols=["fine", symbol])
    assert repr(symbol) in str(error.value)


def test_symbols_that_normalization_breaks_are_named(line_file):
    for symbol in (" a", "a ", "a  b", "\u2581"):
        with pytest.raises(ValueError, match='normalization="identity"'):
            kt.text.train_tokenizer(
                line_file, 276, symbols=[symbol], normalization="nmt_nfkc"
            )
    tokenizer = kt.text.train_tokenizer(
        line_file, 276, symbols="a b", normalization="nmt_nfkc"
    )
    ids = tokenizer.tokenize(["on a b mat"])[0].numpy()
    assert "a\u2581b" in tokenizer.tokens(ids)
    with pytest.raises(ValueError, match="model_type='word'"):
        kt.text.train_tokenizer(line_file, 268, model_type="word", symbols=["<fr>"])
    with pytest.raises(TypeError, match="symbols.*7"):
        kt.text.train_tokenizer(line_file, 276, symbols=["a", 7])


@pytest.mark.parametrize("content", [b"", b"?", b"[]", b"\xff" * 100])
def test_a_damaged_model_file_is_named(tmp_path, content):
    path = tmp_path / "source.spm"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="source.spm"):
        kt.text.Tokenizer.load(path)
    with pytest.raises(FileNotFoundError, match="nowhere.spm"):
        kt.text.Tokenizer.load(tmp_path / "nowhere.spm")


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


def test_sentences_train_as_the_lines_of_a_file_do(corpus):
    lines = [line for path in corpus for line in kt.text.read_lines(path)]
    expected = kt.text.train_tokenizer(corpus, 320)
    found = kt.text.train_tokenizer(vocabulary_size=320, sentences=iter(lines))
    ids = range(320)
    assert found.tokens(ids) == expected.tokens(ids)


@pytest.mark.parametrize(
    "given, error",
    [
        ({}, ValueError),
        ({"files": "a.txt", "sentences": ["a"]}, ValueError),
        ({"sentences": []}, ValueError),
        ({"sentences": ["", ""]}, ValueError),
        ({"sentences": "a sentence"}, TypeError),
    ],
)
def test_a_tokenizer_needs_files_or_sentences(given, error):
    with pytest.raises(error, match="sentences"):
        kt.text.train_tokenizer(**given)
