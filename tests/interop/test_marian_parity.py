"""Marian models give the answers that Transformers and CTranslate2 give."""

import json

import keras
import numpy as np
import pytest

import keras_transformer as kt
from tests.interop.marian_models import answers, sentences, write_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CONFIGURATIONS = {
    "opus": {},
    "deep encoder, relu": {
        "encoder_layers": 3,
        "decoder_layers": 1,
        "activation_function": "relu",
    },
    "separate vocabularies, gelu": {"separate": True, "activation_function": "gelu"},
    "unscaled, stops at full": {
        "scale_embedding": False,
        "init_std": 0.45,
        "generation": {"early_stopping": True, "num_beams": 3, "length_penalty": 0.6},
    },
    "never stops early": {"generation": {"early_stopping": "never"}},
}
TEXTS = [source for source, _ in sentences(200, seed=7)]
TEXTS[::5] = [f">>fra<< {text}" for text in TEXTS[::5]]


@pytest.fixture(scope="module", params=CONFIGURATIONS, ids=lambda name: name)
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("marian")
    theirs = write_model(folder, **CONFIGURATIONS[request.param])
    return *theirs, kt.interop.load_marian(folder)


def our_answers(translator, texts, **options):
    found = []
    for rows, ids in translator._batches(texts, 4096):
        batch = np.asarray(translator.search(ids, **options)["ids"])[:, 0]
        found += zip(rows, batch.tolist())
    special = {0, translator.target_tokenizer.end_id}
    return [[i - 1 for i in row if i not in special] for _, row in sorted(found)]


def test_logits_equal_transformers(pair):
    model, tokenizer, translator = pair
    inputs = tokenizer(TEXTS[:40], return_tensors="pt", padding=True)
    target = torch.randint(2, model.config.decoder_vocab_size - 1, (40, 9))
    target[:, 0] = model.config.decoder_start_token_id
    with torch.no_grad():
        theirs = model(**inputs, decoder_input_ids=target).logits.numpy()
    source = np.where(inputs["attention_mask"], inputs["input_ids"] + 1, 0)
    ours = translator.model({"source_ids": source, "target_ids": target.numpy() + 1})
    np.testing.assert_allclose(np.asarray(ours)[..., 1:], theirs, atol=1e-4)


@pytest.mark.long
def test_greedy_and_beam_answers_equal_transformers(pair):
    model, tokenizer, translator = pair
    greedy = answers(model, tokenizer, TEXTS, num_beams=1)
    assert our_answers(translator, TEXTS, beam_size=1) == greedy
    assert our_answers(translator, TEXTS) == answers(model, tokenizer, TEXTS)
    # They aren't all alike.
    assert len({tuple(answer) for answer in greedy}) > 5


def test_texts_equal_transformers(pair):
    model, tokenizer, translator = pair
    inputs = tokenizer(TEXTS[:20], return_tensors="pt", padding=True)
    with torch.no_grad():
        found = model.generate(**inputs)
    theirs = tokenizer.batch_decode(
        found, skip_special_tokens=True, use_source_tokenizer=False
    )
    assert translator.translate(TEXTS[:20]) == theirs


def varied_texts(count):
    generator = np.random.default_rng(3)
    words = [
        "the",
        "cat",
        "River",
        "\u00e9t\u00e9",
        "\U0001f600",
        "\u4f60\u597d",
        ">>fra<<",
        ">>xyz<<",
        "<<",
        ">>",
        "1,234.5",
        "\ufb01",
        "e\u0301",
        "\u0440\u0435\u043a\u0430",
        "\u200b",
        "\u00ad",
        "don't",
        "\u2581",
        "\t",
        "...",
        "\U0001f469\u200d\U0001f680",
        "\u05e9\u05dc\u05d5\u05dd",
    ]
    yield from ("", " ", ">>fra<<", ">>fra<<x", ">> a <<b", "  two  spaces ")
    for _ in range(count):
        chosen = generator.choice(words, generator.integers(1, 9))
        yield generator.choice(["", " ", "  "]).join(chosen)


def test_tokens_equal_marian_tokenizer(pair):
    _, tokenizer, translator = pair
    texts = list(varied_texts(1000))
    theirs = [ids[:-1] for ids in tokenizer(texts)["input_ids"]]
    ours = translator.source_tokenizer.tokenize(texts).to_list()
    differ = [
        (text, [i - 1 for i in our], their)
        for text, our, their in zip(texts, ours, theirs)
        if [i - 1 for i in our] != their
    ]
    assert differ == []


def test_saved_again_it_is_the_same_to_transformers(pair, tmp_path):
    model, tokenizer, translator = pair
    kt.interop.save_marian(translator, tmp_path / "again")
    again = transformers.MarianMTModel.from_pretrained(tmp_path / "again")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    loaded = transformers.MarianTokenizer.from_pretrained(tmp_path / "again")
    assert loaded(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert answers(again, loaded, TEXTS[:30]) == answers(model, tokenizer, TEXTS[:30])


def test_bin_file_is_read_as_safetensors_are(tmp_path):
    model, _ = write_model(tmp_path)
    translator = kt.interop.load_marian(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    again = kt.interop.load_marian(tmp_path)
    for one, other in zip(translator.model.weights, again.model.weights):
        np.testing.assert_array_equal(one, other)


def test_our_own_model_is_the_same_to_transformers(translator, tmp_path):
    """Interleaved sinusoids and a tokenizer of our own fit the format too."""
    kt.interop.save_marian(translator, tmp_path)
    model = transformers.MarianMTModel.from_pretrained(tmp_path).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(tmp_path)
    texts = ["the dog sees a cat", "old house", "a woman \u00e9 runs", ""]
    inputs = tokenizer(texts, return_tensors="pt", padding=True)
    ours, _ = translator.encode(texts)
    assert inputs["input_ids"].tolist() == ours.to_tensor().numpy().tolist()
    target = np.random.default_rng(0).integers(4, 300, (4, 7))
    target[:, 0] = translator.target_tokenizer.start_id
    with torch.no_grad():
        theirs = model(**inputs, decoder_input_ids=torch.tensor(target)).logits.numpy()
    inputs = {"source_ids": ours.to_tensor().numpy(), "target_ids": target}
    np.testing.assert_allclose(np.asarray(translator.model(inputs)), theirs, atol=1e-4)


@pytest.mark.parametrize("norm_first", (False, True))
def test_ctranslate2_gives_our_answers(tokenizer, tmp_path, norm_first):
    ctranslate2 = pytest.importorskip("ctranslate2")
    keras.utils.set_random_seed(5)
    model = kt.Transformer(
        320,
        num_layers=2,
        num_decoder_layers=1,
        hidden_dim=32,
        num_heads=4,
        intermediate_dim=48,
        norm_first=norm_first,
        norm_embedding=norm_first,
        activation="silu",
        logits_bias=True,
    )
    for weight in model.weights:
        if weight.name != "seed_generator_state":
            weight.assign(weight + 0.2 * keras.random.normal(weight.shape))
    translator = kt.Translator(model, tokenizer)
    kt.interop.save_ctranslate2(translator, tmp_path / "ct2")
    engine = ctranslate2.Translator(str(tmp_path / "ct2"), device="cpu")
    texts = ["the dog sees a cat", "old house", "a small red woman runs"] * 5
    ids, _ = translator.encode(texts)
    tokens = [tokenizer.tokens(row) for row in ids.to_list()]
    for beam in (1, 4):
        theirs = engine.translate_batch(
            tokens,
            beam_size=beam,
            max_decoding_length=12,
            min_decoding_length=0,
            length_penalty=0.0,
        )
        ours = translator.translate(
            texts, beam_size=beam, max_length=12, length_penalty=0.0
        )
        pieces = [result.hypotheses[0] for result in theirs]
        texts_of = tokenizer.detokenize(
            np.array(
                [
                    [tokenizer._processor.piece_to_id(p) for p in row]
                    + [0] * (12 - len(row))
                    for row in pieces
                ],
                "int32",
            )
        )
        assert ours == [text.decode() for text in texts_of.numpy()]


def test_fixture_is_what_transformers_says(request):
    """The recorded answers of the committed checkpoint, made anew."""
    folder = request.path.parent / "tiny-marian"
    recorded = json.loads((folder / "answers.json").read_text("utf-8"))
    model = transformers.MarianMTModel.from_pretrained(folder).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    assert tokenizer(recorded["texts"])["input_ids"] == recorded["source_ids"]
    assert answers(model, tokenizer, recorded["texts"]) == recorded["beam"]
    greedy = answers(model, tokenizer, recorded["texts"], num_beams=1)
    assert greedy == recorded["greedy"]
