"""Both clients: the same answers, the same errors, and nothing sent in vain."""

import contextlib
import json
import os
import pickle
import socket
import time
import urllib.parse

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from keras_transformer import serving
from keras_transformer.serving import GrpcClient, RestClient, ServingError
from keras_transformer.serving.requests import without_padding
from tests import snippets
from tests.serving.rules import (
    answer_grpc,
    answer_rest,
    grpc_server,
    rest_server,
)

TEXTS = ["the dog", "a small cat sees the old house", "woman"]


@pytest.fixture(scope="module")
def clients(exports):
    """Clients of servers with TF Serving's rules, by kind of model and of client."""
    with contextlib.ExitStack() as stack:
        found = {}
        for kind, export in exports.items():
            url = stack.enter_context(
                rest_server(
                    lambda path, body, export=export: answer_rest(export, body),
                    export=export,
                )
            )
            target = stack.enter_context(grpc_server(answer_grpc(export), export))
            found[kind, "rest"] = RestClient(url, "small", retries=0)
            found[kind, "grpc"] = GrpcClient(target, "small", retries=0)
        yield found


@pytest.fixture(params=["rest", "grpc"])
def client(request, clients):
    return clients["translator", request.param]


def same(found, expected):
    """Whether nested lists are equal, but for rounding."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        value = without_padding({name: value})[name]
        for ours, theirs in zip(found[name], value, strict=True):
            if np.asarray(theirs).dtype.kind == "f":
                np.testing.assert_allclose(ours, theirs, atol=2e-4)
            else:
                assert ours == theirs, name


REQUESTS = [
    ("translator", "serving_default", {}),
    ("translator", "n_best", {}),
    ("translator", "explain", {}),
    ("translator", "encode", {}),
    ("translator", "score", {"reference": ["dog", "", "the cat"]}),
    ("translator", "translate", {}),
    ("translator", "translate", {"num_hypotheses": [1, 3, 2]}),
    ("translator", "translate", {"num_hypotheses": 2, "target_prefix": "a dog"}),
    ("translator", "translate", {"length_penalty": [1], "max_length": (4, 5, 6)}),
    ("translator", "with_options", {}),
    ("translator", "with_options", {"options": ["", "num_hypotheses=3", "bad"]}),
    (
        "translator",
        "glossary",
        {
            "glossary_source": [["dog", "cat"], ["", "a"], ["", ""]],
            "glossary_target": [["x y", "z"], ["", "b"], ["", ""]],
            "options": "force=1",
        },
    ),
    ("generator", "serving_default", {}),
    ("generator", "generate", {"seed": [1, 2, 3], "max_new_tokens": 4}),
    ("generator", "with_options", {"options": "sample=1 seed=2"}),
    ("encoder", "classify", {}),
    ("encoder", "embed", {}),
]


def is_by_row(value):
    return np.ndim(value) > 0 and len(value) == len(TEXTS)


@pytest.mark.parametrize("kind, signature, options", REQUESTS)
@pytest.mark.long
def test_many_texts_are_answered_as_each_alone(clients, kind, signature, options):
    for protocol in ("rest", "grpc"):
        client = clients[kind, protocol]
        together = client.ask(signature, text=TEXTS, **options)
        for row, text in enumerate(TEXTS):
            own = {
                name: value[row : row + 1] if is_by_row(value) else value
                for name, value in options.items()
            }
            alone = client.ask(signature, text=[text], **own)
            same(
                {name: value[row : row + 1] for name, value in together.items()}, alone
            )


def test_token_ids_have_the_length_of_their_own(clients):
    for protocol in ("rest", "grpc"):
        found = clients["translator", protocol].ask(
            "token_ids",
            source_ids=np.array([[5, 6, 3], [7, 0, 0]]),
            source_length=np.array([3, 1]),
        )
        lengths = [len(ids) for ids in found["output_ids"]]
        assert lengths == found["output_length"]
        assert all(0 not in ids for ids in found["output_ids"])


def test_left_out_options_are_the_export_s(client, small_translator):
    found = client.ask("translate", text=TEXTS, num_hypotheses=[3])
    expected = small_translator.translate(TEXTS, 3, 6, num_hypotheses=3)
    assert found["translations"] == expected
    assert client.ask("with_options", text=TEXTS[0])["translations"] == [
        small_translator.translate(TEXTS[:1], 3, 6)
    ]


@pytest.mark.parametrize(
    "text",
    [
        np.array(["the dog", "a cat"]),
        np.array(["the dog", "a cat"], object),
        np.array([b"the dog", b"a cat"]),
        ("the dog", "a cat"),
        [b"the dog", "a cat"],
        [np.str_("the dog"), np.bytes_(b"a cat")],
        (text for text in ("the dog", "a cat")),
        tf.constant(["the dog", "a cat"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_texts_come_in_any_form(exports, clients, text):
    if not isinstance(text, (list, tuple, np.ndarray)) and not tf.is_tensor(text):
        text = list(text)
    expected = exports["translator"]("serving_default", text=["the dog", "a cat"])
    for protocol in ("rest", "grpc"):
        found = clients["translator", protocol].ask(text=text)
        assert found["translation"] == [x.decode() for x in expected["translation"]]


@pytest.mark.parametrize(
    "text", ["\ud800 dog", b"\xff dog", "a\0b\0", "\U0001f600", "", "the dog"]
)
def test_any_string_gets_the_same_answer_from_both(clients, small_translator, text):
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    expected = small_translator.translate(plain, 3, 6)
    for protocol in ("rest", "grpc"):
        found = clients["translator", protocol].ask(text=text)["translation"]
        assert found == [expected.encode("utf-8", "replace").decode()]


@pytest.mark.parametrize(
    "signature, inputs, words",
    [
        ("serving_default", {"text": []}, "text must have at least one row"),
        ("serving_default", {"text": np.array([], str)}, "at least one row"),
        ("serving_default", {}, "text must have at least one row"),
        ("translate", {"text": (), "num_hypotheses": []}, "at least one row"),
        ("serving_default", {"text": None}, "text must be a list.*None"),
        ("serving_default", {"text": {"a": 1}}, "text must be a list.*'a'"),
        ("serving_default", {"text": [None]}, "text must be strings or numbers"),
        ("serving_default", {"text": [["a"], ["b", "c"]]}, "rows of equal length"),
        ("translate", {"text": "a", "num_hypothesis": 2}, "num_hypothesis; its inputs"),
        ("translate", {"text": ["a"] * 3, "max_length": [1, 2]}, "max_length.*rows"),
        ("translate", {"text": "a", "max_length": 2.5}, r"int32; received \[2.5\]"),
        ("translate", {"text": "a", "max_length": 2**40}, "int32; received"),
        ("translate", {"text": "a", "max_length": "4"}, "must be int32"),
        ("translate", {"text": [3]}, "text must be string"),
        ("score", {"text": "a"}, "score needs reference too"),
        ("serving_default", {"text": [["a"]]}, "text must have one value in each row"),
        ("n_best", {"text": [["a", "b"]]}, "text must have one value in each row"),
        (
            "translate",
            {"text": ["a", "b"], "num_hypotheses": [[1], [2]]},
            "num_hypotheses must have one value in each row",
        ),
        (
            "token_ids",
            {"source_ids": [5, 6], "source_length": [1, 1]},
            "source_ids must have a list in each row",
        ),
        (
            "glossary",
            {"text": "a", "glossary_source": ["a"], "glossary_target": ["b"]},
            r"glossary_\w+ must have a list in each row",
        ),
        (
            "glossary",
            {"text": "a", "glossary_source": [["a", "b"]], "glossary_target": [["b"]]},
            "as many terms in each row; received 2 and 1",
        ),
        ("token_ids", {"source_ids": [[1, 2], [3]], "source_length": [2, 1]}, "equal"),
    ],
)
def test_wrong_requests_are_not_sent(clients, signature, inputs, words):
    for protocol in ("rest", "grpc"):
        with pytest.raises(ServingError, match=words) as error:
            clients["translator", protocol].ask(signature, **inputs)
        assert isinstance(error.value, ValueError)


def test_unknown_signatures_are_refused_by_the_server(client):
    with pytest.raises(ServingError, match="not found"):
        client.ask("translates", text=["a"])


@pytest.mark.parametrize(
    "texts",
    [
        ("the dog", "a cat"),
        [b"the dog", "a cat"],
        np.array(["the dog", "a cat"]),
        tf.constant(["the dog", "a cat"]),
        (text for text in ["the dog", "a cat"]),
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_texts_to_translate_come_in_any_form(texts):
    found = {"outputs": {"translation": ["A CAT", "THE DOG"]}}
    with rest_server(lambda path, body: (200, found)) as url:
        client = RestClient(url, "small")
        assert client.translate(texts) == ["THE DOG", "A CAT"]
        assert client.translate(b"the dog") == "A CAT"
        for wrong in ([1], [None], [["a"]], np.array([1.5])):
            with pytest.raises(serving.InvalidRequest, match="texts must be strings"):
                client.translate(wrong)


def test_no_text_is_no_request():
    for client in (
        RestClient("http://localhost:1", "m"),
        GrpcClient("localhost:1", "m"),
    ):
        assert client.translate([]) == []


def test_metadata_without_defaults_leaves_only_what_any_export_has(exports):
    export = exports["translator"]
    with rest_server(
        lambda path, body: answer_rest(export, body), has_defaults=False, export=export
    ) as url:
        client = RestClient(url, "small")
        found = client.ask("with_options", text=TEXTS)
        assert found["error"] == [""] * 3
        with pytest.raises(ServingError, match="needs length_penalty too"):
            client.ask("translate", text=TEXTS)
        client.ask("translate", text=TEXTS, length_penalty=1.0)


def test_servers_without_metadata_are_asked_all_the_same(exports):
    export = exports["translator"]
    with rest_server(lambda path, body: answer_rest(export, body)) as url:
        client = RestClient(url, "small")
        assert len(client.ask("n_best", text=TEXTS)["scores"]) == 3
        with pytest.raises(ServingError, match="HTTP 400: Missing named input"):
            client.ask("translate", text=TEXTS)
    with grpc_server(answer_grpc(export)) as target:
        client = GrpcClient(target, "small")
        assert len(client.ask("n_best", text=TEXTS)["scores"]) == 3


@pytest.mark.parametrize(
    "status, answer",
    [
        (200, b"<html>Welcome</html>"),
        (200, b"\xff\xfe"),
        (200, b""),
        (200, {"predictions": [1]}),
        (200, [1, 2]),
        (200, b"null"),
        (502, b"<html>bad gateway</html>"),
        (500, {"error": {"odd": 1}}),
    ],
)
def test_answers_that_are_none_are_serving_errors(status, answer):
    with rest_server(lambda path, body: (status, answer)) as url:
        client = RestClient(url, "small", retries=0)
        for ask in (client.translate, lambda text: client.ask("n_best", text=text)):
            with pytest.raises(ServingError):
                ask(["a"])


def test_rest_tries_again_where_it_may_help_and_only_there():
    for status, tries in ((503, 3), (429, 3), (502, 3), (400, 1), (404, 1), (500, 1)):
        sent = []

        def answer(path, body, status=status, sent=sent):
            sent.append(json.loads(body))
            return status, {"error": "no"}

        with rest_server(answer) as url:
            with pytest.raises(ServingError, match=f"HTTP {status}: no") as error:
                RestClient(url, "small", retries=2).ask(text=["a"])
        assert len(sent) == tries
        assert error.value.may_pass == (tries > 1)


def abort(code, words, sent):
    def answer(request, context):
        sent.append(request)
        context.abort(code, words)

    return answer


@pytest.mark.parametrize(
    "code, words, tries",
    [
        ("UNAVAILABLE", "queue is full", 3),
        ("RESOURCE_EXHAUSTED", "out of memory", 3),
        ("RESOURCE_EXHAUSTED", "Sent message larger than max (9 vs. 4)", 1),
        ("INVALID_ARGUMENT", "no", 1),
        ("INTERNAL", "no", 1),
    ],
)
def test_grpc_tries_again_where_it_may_help_and_only_there(code, words, tries):
    sent = []
    with grpc_server(abort(getattr(grpc.StatusCode, code), words, sent)) as target:
        with pytest.raises(ServingError, match=code):
            GrpcClient(target, "small", retries=2).ask(text=["a"])
    assert len(sent) == tries


def test_an_answer_that_takes_too_long_is_not_asked_for_again():
    sent = []

    def wait(*_):
        sent.append(1)
        time.sleep(0.6)
        return 200, {"outputs": {}}

    with rest_server(wait) as url:
        with pytest.raises(ServingError, match="timed out: no answer in 0.2 seconds"):
            RestClient(url, "small", timeout=0.2).ask(text=["a"])
    with grpc_server(wait) as target:
        with pytest.raises(ServingError, match="timed out: no answer in 0.2 seconds"):
            GrpcClient(target, "small", timeout=0.2).ask(text=["a"])
    assert len(sent) == 2


def test_answers_and_requests_may_be_large():
    text = "x" * (6 << 20)

    def echo(request, context):
        response = predict_pb2.PredictResponse()
        response.outputs["translation"].CopyFrom(request.inputs["text"])
        return response

    with grpc_server(echo) as target:
        assert GrpcClient(target, "small").ask(text=[text])["translation"] == [text]


@pytest.mark.parametrize("version", [None, 0, 7])
def test_a_version_is_asked_for_by_its_number_0_too(exports, version):
    asked = []

    def answer(path, body):
        asked.append(path.removesuffix(":predict"))
        return answer_rest(exports["translator"], body)

    def predict(request, context):
        spec = request.model_spec
        asked.append(spec.version.value if spec.HasField("version") else None)
        return answer_grpc(exports["translator"])(request, context)

    with rest_server(answer) as url, grpc_server(predict) as target:
        RestClient(url, "small", version).translate("the dog")
        GrpcClient(target, "small", version).translate("the dog")
    place = "" if version is None else f"/versions/{version}"
    assert asked == [f"/v1/models/small{place}", version]


def test_a_busy_server_is_asked_again_and_then_answers(exports):
    failures = [503, 429]

    def answer(path, body):
        if failures:
            return failures.pop(0), {"error": "not now"}
        return answer_rest(exports["translator"], body)

    with rest_server(answer) as url:
        expected = exports["translator"]("serving_default", text=["the dog"])
        assert RestClient(url, "small").translate(["the dog"]) == [
            expected["translation"][0].decode()
        ]


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8501",
        "localhost",
        "",
        "http://",
        "ftp://localhost",
        "http://localhost:99999",
        "http://local host",
        "http://user:word@localhost:8501",
        "http://localhost:8501?a=b",
        "http://localhost:8501#a",
    ],
)
def test_addresses_that_are_none_are_refused_at_once(url):
    with pytest.raises(ValueError, match="url must be such as .*; received url="):
        RestClient(url, "small")


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"timeout": 0}, "timeout must be .*greater than 0; received timeout=0"),
        ({"timeout": float("nan")}, "timeout must be finite"),
        ({"timeout": "9"}, "timeout must be a number"),
        ({"retries": -1}, "retries must be at least 0; received retries=-1"),
        ({"retries": 1.5}, "retries must be an integer"),
    ],
)
def test_wrong_settings_are_named_at_once(arguments, words):
    for kind, server in ((RestClient, "http://localhost:1"), (GrpcClient, "localhost")):
        with pytest.raises(ValueError, match=words):
            kind(server, "small", **arguments)
    with pytest.raises(TypeError, match="url must be a string; received url=None"):
        RestClient(None, "small")
    with pytest.raises(ValueError, match="target must be such as .* without http"):
        GrpcClient("http://localhost:8500", "small")


@pytest.mark.parametrize(
    "name", ["en-de", "50%", "a%41", "a b", "a?b#c", "größe", "a/b"]
)
def test_any_name_of_a_model_arrives_as_it_is(name):
    asked = []

    def answer(path, body):
        asked.append(urllib.parse.unquote(path))
        return 200, {"outputs": ["x"]}

    with rest_server(answer) as url:
        for server in (url, f"{url}/"):
            RestClient(server, name).ask(text="a")
    assert asked == [f"/v1/models/{name}:predict"] * 2


def test_a_proxy_of_the_environment_is_used_but_where_it_is_not_to_be(monkeypatch):
    asked = []

    def answer(path, body):
        asked.append(path)
        return 200, {"outputs": ["x"]}

    with rest_server(answer) as url:
        for proxy in (url, url.removeprefix("http://")):
            monkeypatch.setenv("http_proxy", proxy)
            RestClient("http://models.invalid:8501", "small").ask(text="a")
        monkeypatch.setenv("http_proxy", "http://localhost:1")
        monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
        RestClient(url, "small").ask(text="a")
    whole = "http://models.invalid:8501/v1/models/small:predict"
    assert asked == [whole, whole, "/v1/models/small:predict"]


def test_a_client_can_be_sent_to_another_process_and_connects_there_anew(monkeypatch):
    with rest_server(lambda path, body: (200, {"outputs": ["x"]})) as url:
        client = RestClient(url, "small")
        expected = client.ask(text="a")
        assert pickle.loads(pickle.dumps(client)).ask(text="a") == expected
        # In a fork, which has its parent's memory and sockets.
        before = client._connections
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert client.ask(text="a") == expected
        assert client._connections is not before


@pytest.mark.parametrize("signature", ["serving_default", "translate"])
def test_a_server_that_is_not_there_is_named(signature):
    with socket.socket() as one:
        one.bind(("localhost", 0))
        port = one.getsockname()[1]
    start = time.time()
    for client in (
        RestClient(f"http://localhost:{port}", "small", retries=1),
        GrpcClient(f"localhost:{port}", "small", retries=1),
    ):
        with pytest.raises(ServingError, match=f"{port}.*after 2 tries") as error:
            client.ask(signature, text=["a"])
        assert error.value.may_pass
    assert time.time() - start < 20


def test_client_sends_no_more_texts_at_a_time_than_a_server_takes(monkeypatch):
    requests = []

    def ask(self, text):
        requests.append(text)
        return {"translation": [one.upper() for one in text]}

    monkeypatch.setattr(RestClient, "ask", ask)
    client = RestClient("http://localhost:8501", "small")
    texts = [chr(97 + i % 26) * (1 + 7 * i % 10) for i in range(70)]
    assert client.translate(iter(texts)) == [text.upper() for text in texts]
    assert [len(request) for request in requests] == [32, 32, 6]
    assert len(requests[0][-1]) <= len(requests[1][0])
    assert client.translate("one", batch_size=1) == "ONE"
    with pytest.raises(ValueError, match="batch_size=0"):
        client.translate(texts, batch_size=0)


def test_the_clients_code_in_docs_serving_runs(clients, monkeypatch):
    """As it stands, but for the servers' addresses."""
    for kind, name in (("rest", "RestClient"), ("grpc", "GrpcClient")):
        client = clients["translator", kind]
        monkeypatch.setattr(serving, name, lambda *_, client=client, **__: client)
    names = snippets.run(snippets.ROOT / "docs" / "serving.md", {"texts": TEXTS})
    assert names["client"] is clients["translator", "rest"]
