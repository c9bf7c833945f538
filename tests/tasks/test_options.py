"""Arguments of text models: checked at once; options hold on every path of a search."""

import dataclasses

import numpy as np
import pytest
from keras import ops

import keras_transformer as kt
from keras_transformer.tasks import text_to_text

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 16}
TEXTS = ["a red dog", "the cat", "the old man sleeps"]
KINDS = {
    kt.Translator: kt.Transformer,
    kt.TextGenerator: kt.LanguageModel,
    kt.TextEncoder: kt.EncoderModel,
}
# Of each option a value that is no text model's default.
OPTIONS = {
    "beam_size": 3,
    "num_hypotheses": 2,
    "length_penalty": 1.5,
    "penalty_form": "power",
    "stop_when": "full",
    "min_length": 3,
    "max_length": 7,
    "extra_length": 4,
    "force_end": True,
    "banned_ids": (9, 11),
    "no_repeat_ngram_size": 2,
    "allowed_tokens": lambda ids, index, source_ids: ids[..., :1] > 0,
    "phrase_bonus": 1.0,
    "force_phrases": True,
    "sample": True,
    "temperature": 0.5,
    "top_k": 5,
    "top_p": 0.8,
    "seed": 3,
    "longest": 40,
    "fixed_shapes": True,
}
# What is given with `num_hypotheses`, whose most is the beam's.
BESIDE = {"num_hypotheses": {"beam_size": 4}}


@pytest.fixture(scope="module")
def models(tokenizer):
    size = tokenizer.vocabulary_size
    options = {kt.EncoderModel: {"num_classes": 3}}
    return {
        kind: model_class(size, **options.get(model_class, {}), **SIZES)
        for kind, model_class in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value, error",
    [(0, ValueError), (-5, ValueError), ("3", TypeError), (2.5, TypeError)]
    + [(True, TypeError), (None, TypeError), (float("nan"), TypeError)],
)
def test_a_wrong_max_source_length_is_named(kind, value, error, models, tokenizer):
    with pytest.raises(error, match="max_source_length") as raised:
        kind(models[kind], tokenizer, max_source_length=value)
    assert f"max_source_length={value!r}" in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_numpy_are_as_good_as_python_s(kind, models, tokenizer):
    length = kind(models[kind], tokenizer, max_source_length=np.int64(9))
    assert type(length.max_source_length) is int and length.max_source_length == 9


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_another_kind_is_refused(kind, models, tokenizer):
    wanted = rf"model must be a kt\.{KINDS[kind].__name__}"
    for other in {*KINDS, None} - {kind}:
        with pytest.raises(TypeError, match=wanted):
            kind(models.get(other), tokenizer)
    with pytest.raises(TypeError, match="must be a tokenizer"):
        kind(models[kind], "a tokenizer")


@pytest.mark.parametrize("labels", [5, [1, 2, 3], {"a": 1, "b": 2, "c": 3}, b"abc"])
def test_labels_must_be_strings(labels, models, tokenizer):
    with pytest.raises(TypeError, match="labels"):
        kt.TextEncoder(models[kt.TextEncoder], tokenizer, labels=labels)


@pytest.mark.parametrize("value", [0, -5, "3", 2.5])
def test_a_wrong_number_of_tokens_at_once_is_named(value, models, tokenizer):
    translator = kt.Translator(models[kt.Translator], tokenizer)
    generator = kt.TextGenerator(models[kt.TextGenerator], tokenizer)
    encoder = kt.TextEncoder(models[kt.TextEncoder], tokenizer)
    for call in (
        translator.translate,
        generator.generate,
        encoder.embed,
        encoder.classify,
    ):
        with pytest.raises((TypeError, ValueError), match="tokens_per_batch"):
            call(TEXTS, tokens_per_batch=value)


def same(value, other):
    return np.array_equal(value, other) if np.ndim(value) else value == other


class Asked(Exception):
    """Holds the options with which a model was asked, instead of an answer."""


@pytest.fixture
def asked(monkeypatch):
    """A function from a search to the options with which it asks the model."""

    def ask(*arguments):
        raise Asked(arguments[-1])

    for model_class in (kt.Transformer, kt.LanguageModel):
        monkeypatch.setattr(model_class, "generate", ask)
    monkeypatch.setattr(text_to_text, "generate", ask)

    def options_of(search, *arguments, **options):
        with pytest.raises(Asked) as raised:
            search(*arguments, **options)
        return dict(raised.value.args[0].items())

    return options_of


@pytest.mark.parametrize(
    "kind, method", [(kt.Translator, "translate"), (kt.TextGenerator, "generate")]
)
def test_an_option_of_a_text_model_holds_on_every_path(
    kind, method, asked, models, tokenizer
):
    names = {field.name for field in dataclasses.fields(kt.decoding.SearchOptions)}
    assert names - set(OPTIONS) == {
        "target_prefix",
        "phrases",
        "start_id",
        "end_id",
    }
    plain = kind(models[kind], tokenizer)
    ids = np.array([[5, 6, 3]])
    for name, value in OPTIONS.items():
        options = {**BESIDE.get(name, {}), name: value}
        text_model = kind(models[kind], tokenizer, search_options=options)
        ways = {
            "method": asked(getattr(text_model, method), TEXTS),
            "documents": None,
            "search": asked(text_model.search, ids),
            "options": dict(text_model.options().items()),
            "a call's own": asked(getattr(plain, method), TEXTS, **options),
            "changes": asked(plain.search, ids, **options),
        }
        if kind is kt.Translator and name != "num_hypotheses":
            ways["documents"] = asked(text_model.translate, TEXTS, split=True)
        assert not same(dict(plain.options().items())[name], value), name
        for way, found in ways.items():
            if found is not None:
                assert same(found[name], value), (name, way)


def test_an_option_of_a_call_comes_before_the_text_model_s(asked, models, tokenizer):
    kind = kt.Translator
    options = {"beam_size": 2, "max_length": 9, "length_penalty": 0.1}
    translator = kind(models[kind], tokenizer, search_options=options)
    found = asked(translator.translate, TEXTS, beam_size=5)
    assert (found["beam_size"], found["max_length"]) == (5, 9)
    # It says how long an answer may be, as max_length does.
    found = asked(translator.translate, TEXTS, extra_length=4)
    assert (found["extra_length"], found["max_length"]) == (4, None)
    assert found["length_penalty"] == 0.1


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
@pytest.mark.parametrize("tokens_per_batch", [4096, 1])
def test_each_text_gets_its_own_option_in_any_order(
    order, tokens_per_batch, monkeypatch, models, tokenizer
):
    kind = kt.Translator
    translator = kind(models[kind], tokenizer)
    own = {
        "length_penalty": [0.1, 0.2, 0.3],
        "max_length": [4, 5, 6],
        "min_length": [1, 2, 3],
        "temperature": [0.5, 1.0, 2.0],
        "top_p": [0.7, 0.8, 0.9],
        "seed": [7, 8, 9],
    }
    found = {}

    def generate(model, source_ids, options):
        for row, ids in enumerate(source_ids):
            text = translator.source_tokenizer.detokenize(ids[None]).numpy()[0]
            found[text.decode()] = {n: getattr(options, n)[row] for n in own}
        shape = (len(source_ids), 1)
        return {"ids": np.zeros((*shape, 2), "int32"), "scores": np.zeros(shape)}

    monkeypatch.setattr(kt.Transformer, "generate", generate)
    translator.translate(
        [TEXTS[i] for i in order],
        tokens_per_batch=tokens_per_batch,
        sample=True,
        **{name: [values[i] for i in order] for name, values in own.items()},
    )
    for i, text in enumerate(TEXTS):
        assert found[text] == {name: values[i] for name, values in own.items()}


def test_a_list_of_options_gives_what_each_text_gets_alone(models, tokenizer):
    kind = kt.Translator
    translator = kind(models[kind], tokenizer)
    lengths, penalties = [9, 3, 6], [0.0, 2.0, 0.6]
    answers, scores = translator.translate(
        TEXTS, max_length=lengths, length_penalty=penalties, return_scores=True
    )
    for text, length, penalty, answer, score in zip(
        TEXTS, lengths, penalties, answers, scores
    ):
        alone = translator.translate(
            [text], max_length=[length], length_penalty=[penalty], return_scores=True
        )
        assert alone[0] == [answer]
        assert alone[1] == pytest.approx([score], abs=1e-4)
    with pytest.raises(ValueError, match="2 values for 3 texts"):
        translator.translate(TEXTS, length_penalty=[0.1, 0.2])


@pytest.fixture
def broken(tokenizer):
    """A function that makes a text model whose model has lost its numbers."""

    def make(kind):
        options = {"num_classes": 3} if kind is kt.TextEncoder else {}
        model = KINDS[kind](tokenizer.vocabulary_size, **options, **SIZES)
        model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
        return kind(model, tokenizer)

    return make


def test_text_models_say_that_weights_are_not_numbers(broken):
    encoder, translator = broken(kt.TextEncoder), broken(kt.Translator)
    generator = broken(kt.TextGenerator)
    for call in (
        encoder.embed,
        encoder.classify,
        lambda texts: translator.translate(texts, max_length=4),
        lambda texts: translator.translate(texts, max_length=4, split=True),
        lambda texts: translator.translate(texts, max_length=4, sample=True),
        lambda texts: generator.generate(texts, max_new_tokens=3),
    ):
        with pytest.raises(FloatingPointError, match="weights aren't finite"):
            call(TEXTS[:2])


def test_one_weight_that_is_no_number_is_found_and_named(models, tokenizer):
    model = kt.EncoderModel(tokenizer.vocabulary_size, num_classes=3, **SIZES)
    bias = model.get_layer("logits").bias
    values = ops.convert_to_numpy(bias).copy()
    values[1] = np.inf
    bias.assign(values)
    encoder = kt.TextEncoder(model, tokenizer)
    assert np.isfinite(encoder.embed(TEXTS)).all()
    with pytest.raises(FloatingPointError, match="1 of its weights .*logits/bias"):
        encoder.classify(TEXTS)
