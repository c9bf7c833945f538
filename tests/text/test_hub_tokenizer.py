"""KerasHub's tokenizers are accepted wherever a tokenizer is, in the graph too."""

import random

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

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


@pytest.fixture(scope="module")
def adapted(hub_tokenizers):
    """Each as a `HubTokenizer`, traced once."""
    return {name: kt.text.HubTokenizer(each) for name, each in hub_tokenizers.items()}


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
def test_ids_are_theirs_and_have_padding_start_and_end(adapted, name):
    ours = adapted[name]
    theirs = ours.tokenizer
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


def test_special_tokens_in_a_text_neither_pad_nor_end_it(adapted):
    for ours in adapted.values():
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
def test_a_saved_translator_has_its_tokenizer_again(adapted, tmp_path, name):
    ours = adapted[name]
    translator = kt.Translator(kt.Transformer(330, **SIZES), ours)
    assert translator.target_tokenizer is ours
    translator.save(tmp_path / "saved")
    again = kt.Translator.load(tmp_path / "saved").source_tokenizer
    ids = ours.tokenize(TEXTS)
    assert again.tokenize(TEXTS).to_list() == ids.to_list()
    assert (again.start_id, again.end_id) == (ours.start_id, ours.end_id)
    assert [text.decode() for text in again.detokenize(ids).numpy()] == TEXTS


def test_all_of_them_are_served_by_stock_operations(adapted, tmp_path):
    """One graph of all five, loaded with TF Text alone, as the server does."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def there_and_back(text):
        return {n: each.detokenize(each.tokenize(text)) for n, each in adapted.items()}

    module = tf.Module()
    module.tables = [table for each in adapted.values() for table in each.resources]
    signatures = {"serving_default": there_and_back}
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    found = ask_in_clean_process(str(tmp_path), "serving_default", {"text": TEXTS})
    assert found == dict.fromkeys(NAMES, TEXTS)


def test_an_exported_translator_answers_alike(hub_tokenizers, adapted, tmp_path):
    random.seed(0)
    translator = kt.Translator(
        kt.Transformer(330, **SIZES),
        hub_tokenizers["WordPiece"],
        adapted["BytePair"],
        search_options={"max_length": 4, "beam_size": 1},
    )
    path = kt.serving.export_saved_model(
        translator, tmp_path, signatures=(), warmup_batch_sizes=()
    )
    found = ask_in_clean_process(path, "serving_default", {"text": TEXTS[::2]})
    assert found["translation"] == translator.translate(TEXTS[::2])


def test_generators_and_encoders_take_them(hub_tokenizers, tmp_path):
    byte, piece = hub_tokenizers["Byte"], hub_tokenizers["WordPiece"]
    generator = kt.TextGenerator(kt.LanguageModel(258, **SIZES), byte)
    text = generator.generate("the", max_new_tokens=3)
    assert text.startswith("the")
    encoder = kt.TextEncoder(kt.EncoderModel(100, num_classes=2, **SIZES), piece)
    encoder.save(tmp_path / "encoder")
    again = kt.TextEncoder.load(tmp_path / "encoder")
    np.testing.assert_allclose(again.embed(TEXTS), encoder.embed(TEXTS), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "BytePair"])
def test_one_tokenizer_may_be_of_several_models(hub_tokenizers, name):
    for _ in range(2):
        ours = kt.text.HubTokenizer(hub_tokenizers[name])
        found = ours.detokenize(ours.tokenize(TEXTS)).numpy()
        assert [text.decode() for text in found] == TEXTS


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


def test_what_is_no_tokenizer_is_named(corpus):
    model = kt.Transformer(330, **SIZES)
    for make in (
        lambda: kt.Translator(model, "bert_base_en"),
        lambda: kt.Translator(model, None),
        lambda: kt.text.make_batches(*corpus, source_tokenizer="bert_base_en"),
    ):
        with pytest.raises(TypeError, match="tokenizer must be a tokenizer"):
            make()


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
