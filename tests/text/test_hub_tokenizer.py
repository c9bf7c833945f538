"""KerasHub's tokenizers are accepted wherever a tokenizer is, in the graph too."""

import random

import keras
import keras_hub
import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.serving.clean_process import ask_in_clean_process
from tests.conftest import WORDS

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
TEXTS = ["the red dog", "", "a cat sees the old house"]


def word_piece():
    words = [word for word in WORDS if len(word) > 1]
    special = ["[PAD]", "[UNK]", "[START]", "[END]"]
    pieces = [*special, *words, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return keras_hub.tokenizers.WordPieceTokenizer(pieces)


def byte_pair(special=("<s>", "<pad>", "</s>")):
    tokens = [*special, *map(chr, range(33, 127)), "\u0120", "th", "the", "\u0120the"]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    merges = ["t h", "th e", "\u0120 the"]
    return keras_hub.tokenizers.BytePairTokenizer(
        vocabulary, merges, unsplittable_tokens=list(special)
    )


@pytest.fixture(scope="module")
def hub_tokenizers(tokenizer):
    return {
        "SentencePiece": keras_hub.tokenizers.SentencePieceTokenizer(tokenizer.model),
        "WordPiece": word_piece(),
        "BytePair": byte_pair(),
        "Byte": keras_hub.tokenizers.ByteTokenizer(lowercase=False),
        "UnicodeCodepoint": keras_hub.tokenizers.UnicodeCodepointTokenizer(
            vocabulary_size=300, lowercase=False
        ),
    }


NAMES = ("SentencePiece", "WordPiece", "BytePair", "Byte", "UnicodeCodepoint")
# First ids of their own, start, end: where padding is 0, ids stay as they are.
IDS = {
    "SentencePiece": (0, 2, 3, 320),
    "WordPiece": (0, 2, 3, None),
    "BytePair": (1, 1, 3, None),
    "Byte": (0, 256, 257, 258),
    "UnicodeCodepoint": (0, 300, 301, 302),
}


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_theirs_and_have_padding_start_and_end(hub_tokenizers, name):
    theirs = hub_tokenizers[name]
    ours = kt.text.HubTokenizer(theirs)
    shift, start, end, size = IDS[name]
    assert (ours.start_id, ours.end_id) == (start, end)
    size = size or theirs.vocabulary_size() + shift
    assert ours.vocabulary_size == size
    ids = ours.tokenize(TEXTS).to_list()
    assert ids == [[i + shift for i in theirs.tokenize(text)] for text in TEXTS]
    padded = np.zeros((3, 40), "int32")
    for row, found in zip(padded, ids):
        row[: len(found) + 2] = [start, *found, end]
    assert [text.decode() for text in ours.detokenize(padded).numpy()] == TEXTS
    assert len(ours.tokens(range(size))) == size
    keras.utils.set_random_seed(1)
    assert ours.tokenize(TEXTS).to_list() == ids


def test_special_tokens_in_a_text_neither_pad_nor_end_it(hub_tokenizers):
    for name in NAMES:
        ours = kt.text.HubTokenizer(hub_tokenizers[name])
        text = "a </s><pad><s>[END][PAD]\0 b"
        found = ours.tokenize([text]).to_list()[0]
        assert not {0, ours.start_id, ours.end_id} & set(found)


def test_start_and_end_may_be_chosen():
    ours = kt.text.HubTokenizer(word_piece(), start="the", end="dog")
    assert ours.tokens([ours.start_id, ours.end_id]) == ["the", "dog"]
    with pytest.raises(ValueError, match="start='nowhere'"):
        kt.text.HubTokenizer(word_piece(), start="nowhere")


def test_a_vocabulary_without_special_tokens_gets_them():
    ours = kt.text.HubTokenizer(byte_pair(special=()))
    size = byte_pair(special=()).vocabulary_size()
    assert (ours.start_id, ours.end_id) == (size + 1, size + 2)
    assert ours.tokens([0, size + 1, size + 2]) == ["<padding>", "<start>", "<end>"]


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        (lambda: keras_hub.tokenizers.ByteTokenizer(sequence_length=8), "=8"),
        (
            lambda: keras_hub.tokenizers.WordPieceTokenizer(["[UNK]"], dtype="string"),
            "dtype",
        ),
    ],
)
def test_what_gives_no_ids_of_a_text_alone_is_refused(tokenizer, words):
    with pytest.raises(ValueError, match=words):
        kt.text.HubTokenizer(tokenizer())
    with pytest.raises(TypeError, match="str"):
        kt.text.HubTokenizer("bert_base_en")


@pytest.mark.parametrize("name", NAMES)
def test_a_translator_translates_saves_and_exports(hub_tokenizers, tmp_path, name):
    random.seed(0)
    model = kt.Transformer(330, **SIZES)
    translator = kt.Translator(
        model, hub_tokenizers[name], search_options={"max_length": 6, "beam_size": 2}
    )
    assert translator.target_tokenizer is translator.source_tokenizer
    answers = translator.translate(TEXTS)
    translator.save(tmp_path / "saved")
    loaded = kt.Translator.load(tmp_path / "saved")
    assert loaded.translate(TEXTS) == answers
    ids = translator.source_tokenizer.tokenize(TEXTS).to_list()
    assert loaded.source_tokenizer.tokenize(TEXTS).to_list() == ids
    path = kt.serving.export_saved_model(
        loaded, tmp_path / "export", signatures=(), warmup_batch_sizes=()
    )
    found = ask_in_clean_process(path, "serving_default", {"text": TEXTS})
    assert found["translation"] == answers


def test_generators_and_encoders_take_them(hub_tokenizers, tmp_path):
    byte, piece = hub_tokenizers["Byte"], hub_tokenizers["WordPiece"]
    generator = kt.TextGenerator(kt.LanguageModel(258, **SIZES), byte)
    text = generator.generate("the", max_new_tokens=3)
    assert text.startswith("the")
    encoder = kt.TextEncoder(kt.EncoderModel(100, num_classes=2, **SIZES), piece)
    encoder.save(tmp_path / "encoder")
    again = kt.TextEncoder.load(tmp_path / "encoder")
    np.testing.assert_allclose(again.embed(TEXTS), encoder.embed(TEXTS), atol=1e-6)


def test_batches_are_made_with_them(hub_tokenizers, corpus):
    byte = hub_tokenizers["Byte"]
    batches = kt.text.make_batches(
        *corpus,
        source_tokenizer=hub_tokenizers["WordPiece"],
        target_tokenizer=byte,
        shuffle=False,
    )
    inputs, labels = next(iter(batches))
    target = inputs["target_ids"].numpy()
    assert (target[:, 0] == 256).all()
    for row, label in zip(target, labels.numpy()):
        count = (label > 0).sum()
        assert label[count - 1] == 257
        np.testing.assert_array_equal(row[1:count], label[: count - 1])


def test_a_configuration_of_another_layer_is_refused(hub_tokenizers, tmp_path):
    folder = tmp_path / "tokenizer"
    kt.text.HubTokenizer(hub_tokenizers["Byte"]).save(folder)
    path = folder / "hub_tokenizer.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace("keras_hub>ByteTokenizer", "Dense"), "utf-8")
    with pytest.raises(ValueError, match="hub_tokenizer.json.*'Dense'"):
        kt.text.HubTokenizer.load(folder)


def test_formats_of_sentencepiece_refuse_them(hub_tokenizers, tmp_path):
    model = kt.Transformer(330, **SIZES)
    translator = kt.Translator(model, hub_tokenizers["Byte"])
    for save in (kt.interop.save_marian, kt.interop.save_ctranslate2):
        with pytest.raises(ValueError, match="HubTokenizer"):
            save(translator, tmp_path / "folder")
