"""The signature `glossary`: terms that answers are favoured to have, or must have."""

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.serving import (
    GrpcClient,
    RestClient,
    ServingError,
    export_saved_model,
)
from tests.serving.conftest import SIZES, Export
from tests.serving.rules import answer_grpc, answer_rest, grpc_server, rest_server

TEXTS = ["the dog sees a dog", "a small cat", "woman", " \n"]
GLOSSARIES = [
    {"dog": "red house", "the": "old man", "cat": "x"},
    {"small cat": "the tree", "smal": "y"},
    {},
    {" ": "z", "dog": "w"},
]


def padded(glossaries, count=3):
    rows = [[*terms.items(), *[("", "")] * count][:count] for terms in glossaries]
    pairs = np.array(rows, object)
    return {"glossary_source": pairs[..., 0], "glossary_target": pairs[..., 1]}


@pytest.mark.parametrize(
    "options, given",
    [
        ("", {}),
        ("bonus=4", {"glossary_bonus": 4.0}),
        ("force=1", {"glossary_force": True}),
        ("force=true max_length=5 target_prefix=a", {"glossary_force": True}),
    ],
)
def test_answers_are_the_translator_s(signatures, small_translator, options, given):
    inputs = padded(GLOSSARIES)
    found = signatures("glossary", text=TEXTS, options=[options] * 4, **inputs)
    more = {"target_prefix": "a", "max_length": 5} if "prefix" in options else {}
    expected, scores = small_translator.translate(
        TEXTS,
        glossary=GLOSSARIES,
        return_scores=True,
        **{"beam_size": 3, "max_length": 6, **given, **more},
    )
    answers = [answer.decode() for answer in found["translations"][:, 0]]
    assert answers == expected
    np.testing.assert_allclose(found["scores"][:, 0], scores, atol=1e-4)
    if given.get("glossary_force") and not more:
        assert "red house" in answers[0] or "old man" in answers[0]


def test_without_terms_answers_are_those_of_translate(signatures):
    expected = signatures("translate", text=TEXTS)
    for count in (0, 2):
        inputs = (
            padded([{}] * 4, count)
            if count
            else dict.fromkeys(
                ("glossary_source", "glossary_target"), np.zeros([4, 0], "S1")
            )
        )
        for options in ("", "force=1"):
            found = signatures("glossary", text=TEXTS, options=[options], **inputs)
            for name in ("translations", "truncated"):
                np.testing.assert_array_equal(found[name], expected[name])
            np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)


@pytest.mark.long
def test_forced_terms_are_in_answers_long_enough(tokenizer, tmp_path):
    model = kt.Transformer(320, **SIZES)
    for beam_size in (1, 2, 4):
        options = {"beam_size": beam_size, "extra_length": 20}
        translator = kt.Translator(
            model, tokenizer, max_source_length=32, search_options=options
        )
        path = export_saved_model(
            translator,
            tmp_path / str(beam_size),
            signatures=["glossary"],
            warmup_batch_sizes=(),
        )
        export = Export(path)
        inputs = {"text": TEXTS, **padded(GLOSSARIES)}
        found = export("glossary", options=["force=1"], **inputs)["translations"]
        assert b"red house" in found[0, 0] and b"old man" in found[0, 0]
        assert b"the tree" in found[1, 0]
        # The others are as without a glossary.
        plain = export("serving_default", text=TEXTS)["translation"]
        assert found[2:, 0].tolist() == plain[2:].tolist()
        mixed = ["force=1", "force=0", "", "force=1"]
        again = export("glossary", options=mixed, **inputs)["translations"]
        alone = export("glossary", options=[""], **inputs)["translations"]
        assert again[0] == found[0] and again[1] == alone[1]


@pytest.fixture(params=["rest", "grpc"])
def client(request, signatures):
    if request.param == "rest":
        server = rest_server(
            lambda _, body: answer_rest(signatures, body), True, signatures
        )
        kind = RestClient
    else:
        server, kind = grpc_server(answer_grpc(signatures), signatures), GrpcClient
    with server as place:
        yield kind(place, "small", retries=0)


def test_clients_translate_with_glossaries(client, small_translator):
    options = {"beam_size": 3, "max_length": 6}
    for given in ({}, {"glossary_bonus": 5}, {"glossary_force": True}):
        expected = small_translator.translate(
            TEXTS, glossary=GLOSSARIES, **given, **options
        )
        found = client.translate(TEXTS, 2, glossary=GLOSSARIES, **given)
        assert found == expected
        assert client.translate(TEXTS[0], glossary=GLOSSARIES[0], **given) == found[0]
    assert client.translate(TEXTS, glossary={}) == client.translate(TEXTS)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"glossary_bonus": -1}, "glossary_bonus must be"),
        ({"glossary_bonus": "2"}, "glossary_bonus must be"),
        ({"glossary_force": 1}, "glossary_force must be"),
        ({"glossary": [{}]}, "received 1 for 4 texts"),
    ],
)
def test_clients_name_what_is_wrong(client, given, words):
    with pytest.raises(ValueError, match=words):
        client.translate(TEXTS, **{"glossary": {}, **given})


def test_an_export_without_the_signature_is_named(exports):
    export = exports["generator"]
    with rest_server(lambda _, body: answer_rest(export, body), export=export) as url:
        with pytest.raises(ServingError, match="glossary"):
            RestClient(url, "small", retries=0).translate("a", glossary={})


def test_what_a_server_pads_a_request_with_is_no_term(signatures, small_translator):
    """It pads with a request's first value, where others have more terms."""
    from keras_transformer.serving.requests import glossary_request

    request = glossary_request(TEXTS[:2], [{"dog": "red house"}, {}])
    for name in ("glossary_source", "glossary_target"):
        request[name] = [[*row, *[request[name][0][0]] * 3] for row in request[name]]
    found = signatures("glossary", options=[""], **request)["translations"]
    alone = small_translator.translate(TEXTS[1], beam_size=3, max_length=6)
    assert found[1, 0].decode() == alone
