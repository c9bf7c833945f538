"""Answers in pieces: joined they are the whole answer."""

import contextlib
import random

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

TEXTS = [
    "The dog runs. A cat sleeps.\n\n  The woman sees.",
    "the house",
    "",
    " \n\u200b",
    "你好。今天天气很好。 Yes.\n",
    "word " * 60 + ".\u00a0 And so.\u00a0\n\t",
]


@pytest.fixture(scope="module")
def export(tokenizer, tmp_path_factory):
    """An export with greedy search, whose answers are of random tokens."""
    options = {"extra_length": 9, "beam_size": 1, "min_length": 3}
    # Weights whose answers have several tokens with a text, whatever ran before.
    random.seed(5)
    translator = kt.Translator(
        kt.Transformer(320, **SIZES),
        tokenizer,
        max_source_length=32,
        search_options=options,
    )
    return Export(
        export_saved_model(
            translator,
            tmp_path_factory.mktemp("greedy"),
            signatures=["document", "split", "stream"],
            warmup_batch_sizes=(),
        )
    )


@pytest.fixture(scope="module", params=["rest", "grpc"])
def client(request, export):
    with contextlib.ExitStack() as stack:
        if request.param == "rest":
            server = rest_server(
                lambda _, body: answer_rest(export, body), True, export
            )
            yield RestClient(stack.enter_context(server), "small", retries=0)
        else:
            server = grpc_server(answer_grpc(export), export)
            yield GrpcClient(stack.enter_context(server), "small", retries=0)


@pytest.mark.parametrize("num_tokens", [1, 8, 1000])
@pytest.mark.long
def test_pieces_joined_are_the_whole_greedy_answer(client, export, num_tokens):
    whole = export("document", text=TEXTS)["translation"]
    for text, expected in zip(TEXTS, whole):
        pieces = list(client.stream(text, num_tokens))
        assert "".join(pieces) == expected.decode()
        assert all(pieces)


def test_pieces_come_before_the_answer_is_whole(client):
    text = "The dog runs. A cat sleeps. A man sees the small red house."
    few, many = (len(list(client.stream(text, count))) for count in (1000, 1))
    # A sentence's answer of a single token is a single piece.
    assert few == 3 and many > few


def test_a_sentence_too_long_is_streamed_in_parts(client, export):
    text = "word " * 300
    found = export("split", text=[text])
    assert found["num_sentences"][0] > 1
    assert b"".join(found["pieces"][0]) == text.encode()
    whole = export("document", text=[text])
    assert not whole["truncated"][0]
    assert "".join(client.stream(text)) == whole["translation"][0].decode()


def test_tokens_so_far_are_kept_and_only_whole_answers_are_finished(export):
    ids, length, finished = np.zeros([1, 1], "int32"), np.zeros(1, "int32"), False
    text, lengths = ["the house"], []
    while not finished:
        found = export(
            "stream", text=text, output_ids=ids, output_length=length, num_tokens=[2]
        )
        new = found["output_ids"]
        assert new[0, : length[0]].tolist() == ids[0, : length[0]].tolist()
        ids, length, (finished,) = new, found["output_length"], found["finished"]
        lengths.append(length[0])
    whole = export("serving_default", text=text)["translation"]
    assert found["translation"] == whole
    assert lengths[:-1] == [2 * n for n in range(1, len(lengths))]


@pytest.mark.parametrize("wrong", [None, 3, ["a text"], b"a"])
def test_a_text_is_a_string(client, wrong):
    with pytest.raises(TypeError, match="text must be a string; received"):
        client.stream(wrong)
    with pytest.raises(ValueError, match="num_tokens must be.*0"):
        client.stream("a", 0)


def test_an_export_without_the_signatures_is_named(exports):
    export = exports["generator"]
    with rest_server(lambda _, body: answer_rest(export, body), export=export) as url:
        with pytest.raises(ServingError, match="split"):
            list(RestClient(url, "small", retries=0).stream("a"))
