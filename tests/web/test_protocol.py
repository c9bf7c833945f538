"""TF Serving's REST protocol: answers as recorded from the SavedModel's own session."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf

PREDICT = "/v1/models/en-de:predict"
TEXTS = ["the dog", "a small cat sees the old house"]
B64 = base64.b64encode(b"the dog").decode()
LATIN = base64.b64encode(b"caf\xe9").decode()


def rows(*texts, **more):
    """A request in row format whose instances are objects."""
    columns = {"text": texts, **more}
    return {"instances": [dict(zip(columns, row)) for row in zip(*columns.values())]}


def columns(**inputs):
    return {"inputs": inputs}


def named(signature, request):
    return {"signature_name": signature, **request}


TRANSLATE = {
    "text": TEXTS,
    "num_hypotheses": [1, 3],
    "length_penalty": [0.6, 1],
    "max_length": [0, 4],
    "target_prefix": ["", "a dog"],
}
OPTIONS = {"text": TEXTS, "options": ["num_hypotheses=2 max_length=4", "nonsense"]}
SCORE = {"text": TEXTS, "reference": ["dog the", ""]}
IDS = {"source_ids": [[5, 6, 3], [7, 3, 0]], "source_length": [3, 2]}
DEFAULT = "serving_default"

# A request, the signature that answers, and the tensors that it is fed with.
RIGHT = {
    "row": ({"instances": ["the dog"]}, DEFAULT, {"text": ["the dog"]}),
    "rows": ({"instances": TEXTS}, DEFAULT, {"text": TEXTS}),
    "row object": (rows("the dog"), DEFAULT, {"text": ["the dog"]}),
    "row objects": (rows(*TEXTS), DEFAULT, {"text": TEXTS}),
    "column": (columns(text=TEXTS), DEFAULT, {"text": TEXTS}),
    "bare column": ({"inputs": TEXTS}, DEFAULT, {"text": TEXTS}),
    "no row": (columns(text=[]), DEFAULT, {"text": []}),
    "empty text": ({"instances": [""]}, DEFAULT, {"text": [""]}),
    "base64": ({"instances": [{"b64": B64}]}, DEFAULT, {"text": ["the dog"]}),
    "base64 column": (columns(text=[{"b64": B64}]), DEFAULT, {"text": ["the dog"]}),
    "base64 in an object": (
        {"instances": [{"text": {"b64": B64}}]},
        DEFAULT,
        {"text": ["the dog"]},
    ),
    "base64 without its padding": (
        {"instances": [{"b64": B64.rstrip("=")}]},
        DEFAULT,
        {"text": ["the dog"]},
    ),
    "bytes that aren't UTF-8": (
        {"instances": [{"b64": LATIN}]},
        DEFAULT,
        {"text": [b"caf\xe9"]},
    ),
    "a body that isn't UTF-8": (
        b'{"instances": ["caf\xe9"]}',
        DEFAULT,
        {"text": [b"caf\xe9"]},
    ),
    "escapes": (
        b'{"instances": ["\\u00e4\\ud83d\\ude00"]}',
        DEFAULT,
        {"text": ["ä😀"]},
    ),
    "text of all kinds": (
        {"instances": ["我爱你", "مرحبا", "👩‍👩‍👧", "<img src=x>", "\u0000a\n"]},
        DEFAULT,
        {"text": ["我爱你", "مرحبا", "👩‍👩‍👧", "<img src=x>", "\u0000a\n"]},
    ),
    "a long text": ({"instances": ["dog " * 500]}, DEFAULT, {"text": ["dog " * 500]}),
    "signature by name": (
        named(DEFAULT, {"instances": TEXTS}),
        DEFAULT,
        {"text": TEXTS},
    ),
    "signature without a name": (
        named("", {"instances": TEXTS}),
        DEFAULT,
        {"text": TEXTS},
    ),
    "other keys": ({"instances": TEXTS, "user": 7}, DEFAULT, {"text": TEXTS}),
    "an input that it hasn't": (
        columns(text=TEXTS, beam=[4]),
        DEFAULT,
        {"text": TEXTS},
    ),
    "the first of two": (
        b'{"instances": ["the dog"], "instances": [1]}',
        DEFAULT,
        {"text": ["the dog"]},
    ),
    "byte order mark": (
        b'\xef\xbb\xbf{"instances": ["the dog"]}',
        DEFAULT,
        {"text": ["the dog"]},
    ),
    "n_best": (named("n_best", {"instances": TEXTS}), "n_best", {"text": TEXTS}),
    "n_best columns": (named("n_best", columns(text=TEXTS)), "n_best", {"text": TEXTS}),
    "explain": (named("explain", {"instances": TEXTS}), "explain", {"text": TEXTS}),
    "explain columns": (
        named("explain", columns(text=TEXTS)),
        "explain",
        {"text": TEXTS},
    ),
    "encode": (named("encode", {"instances": TEXTS}), "encode", {"text": TEXTS}),
    "encode columns": (named("encode", columns(text=TEXTS)), "encode", {"text": TEXTS}),
    "score": (
        named("score", rows(*TEXTS, reference=SCORE["reference"])),
        "score",
        SCORE,
    ),
    "score columns": (named("score", columns(**SCORE)), "score", SCORE),
    "translate": (
        named(
            "translate",
            {
                "instances": [
                    dict(zip(TRANSLATE, row)) for row in zip(*TRANSLATE.values())
                ]
            },
        ),
        "translate",
        TRANSLATE,
    ),
    "translate columns": (
        named("translate", columns(**TRANSLATE)),
        "translate",
        TRANSLATE,
    ),
    "one value for all rows": (
        named("with_options", columns(text=TEXTS, options=["max_length=3"])),
        "with_options",
        {"text": TEXTS, "options": ["max_length=3"]},
    ),
    "a row with an error": (
        named("with_options", columns(**OPTIONS)),
        "with_options",
        OPTIONS,
    ),
    "with_options": (
        named("with_options", rows(*TEXTS, options=OPTIONS["options"])),
        "with_options",
        OPTIONS,
    ),
    "token_ids": (named("token_ids", columns(**IDS)), "token_ids", IDS),
    "token_ids rows": (
        named(
            "token_ids",
            {"instances": [dict(zip(IDS, row)) for row in zip(*IDS.values())]},
        ),
        "token_ids",
        IDS,
    ),
}

TYPE = "is not of expected type"
MANY = (
    "instances is a plain list, but expecting list of objects as multiple input "
    "tensors required as per tensorinfo_map"
)
# A request, and what the error says.
WRONG = {
    "nothing": (b"", "JSON Parse error: The document is empty"),
    "no JSON": (b"the dog", "JSON Parse error: "),
    "cut JSON": (b'{"instances": ["the', "JSON Parse error: "),
    "two documents": (b'{"instances": ["a"]} {}', "JSON Parse error: "),
    "a lone surrogate": (b'{"instances": ["\\ud800"]}', "surrogate pair"),
    "brackets": (b"[" * 100_000, "JSON Parse error: "),
    "a list": ([1], "Is not object"),
    "null": (None, "JSON Value: null Is not object"),
    "neither": ({"texts": ["a"]}, "Missing 'inputs' or 'instances' key"),
    "both": ({"instances": ["a"], "inputs": ["a"]}, "only one of 'inputs' or"),
    "a name that is a number": (
        named(1, {"instances": ["a"]}),
        "'signature_name' key must be a string value.",
    ),
    "unknown signature": (
        named("guess", {"instances": ["a"]}),
        'Serving signature name: "guess" not found in signature def',
    ),
    "instances that are text": ({"instances": "a"}, "Excepting 'instances' to be"),
    "no instance": ({"instances": []}, "No values in 'instances' array"),
    "a number for a text": (
        {"instances": ["a", 7]},
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        f"JSON Value: 7 Type: Number {TYPE}: string",
    ),
    "null for a text": ({"instances": [None]}, f"Type: Null {TYPE}: string"),
    "true for a text": ({"instances": [True]}, f"Type: True {TYPE}: string"),
    "a number in a column": (
        columns(text=[7]),
        f"JSON Value: 7 Type: Number {TYPE}: string",
    ),
    "object and text": (
        {"instances": [{"text": "a"}, "b"]},
        "Expecting object but got list at item 1 of input list",
    ),
    "text and object": (
        {"instances": ["b", {"text": "a"}]},
        "Expecting value/list but got object at item 1 of input list",
    ),
    "an unknown name": (
        {"instances": [{"txt": "a"}]},
        "Failed to process element: 0 key: txt of 'instances' list. Error: "
        "INVALID_ARGUMENT: JSON object: does not have named input: txt",
    ),
    "a missing column": (
        named("score", columns(text=["a"])),
        "Missing named input: reference in 'inputs' object.",
    ),
    "a missing value": (
        named("score", {"instances": [{"text": "a"}]}),
        "keys must be equal to: reference,text",
    ),
    "text where objects are due": (named("score", {"instances": ["a"]}), MANY),
    "a column where objects are due": (
        named("score", {"inputs": ["a"]}),
        "inputs is a plain value/list, but expecting an object",
    ),
    "options are all due": (
        named("translate", columns(text=["a"])),
        "Missing named input: length_penalty in 'inputs' object.",
    ),
    "a scalar": (columns(text="a"), "text must have the shape [-1]"),
    "a bare scalar": ({"inputs": "a"}, "text must have the shape [-1]"),
    "a matrix": ({"instances": [["a"]]}, "text must have the shape [-1]"),
    "rows of unequal length": (
        {"instances": [["a"], ["b", "c"]]},
        "Expecting tensor size: 1 but got: 2",
    ),
    "a list among texts": (
        columns(text=["a", ["b"]]),
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    "a text among lists": (
        columns(text=[["a"], "b"]),
        "found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    "ragged ids": (
        named("token_ids", columns(source_ids=[[1], [1, 2]], source_length=[1, 2])),
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    "ids of unequal shape": (
        named(
            "token_ids",
            {
                "instances": [
                    {"source_ids": [5], "source_length": 1},
                    {"source_ids": [[5]], "source_length": 1},
                ]
            },
        ),
        "Expecting shape [1] but got: [1,1]",
    ),
    "a fraction for a whole number": (
        named("translate", columns(**{**TRANSLATE, "num_hypotheses": [1.0, 2]})),
        f"JSON Value: 1.0 Type: Number {TYPE}: int32",
    ),
    "a whole number beyond int32": (
        named("translate", columns(**{**TRANSLATE, "max_length": [2**31, 0]})),
        f"{TYPE}: int32",
    ),
    "a number beyond float32": (
        named("translate", columns(**{**TRANSLATE, "length_penalty": [1e39, 0]})),
        "to float without loss of precision.",
    ),
    "text for a number": (
        named("translate", columns(**{**TRANSLATE, "length_penalty": ["1", 0]})),
        f'JSON Value: "1" Type: String {TYPE}: float',
    ),
    "other rows in each input": (
        named("score", columns(text=["a", "b", "c"], reference=["a", "b"])),
        "The model can't answer this request",
    ),
    "base64 that isn't": ({"instances": [{"b64": "*"}]}, "Unable to base64 decode"),
    "base64 of a number": ({"instances": [{"b64": 1}]}, "does not have named input"),
    "base64 and more": (
        columns(text=[{"b64": B64, "x": 1}]),
        "not formatted correctly for base64 data",
    ),
    "base64 for a number": (
        named("translate", columns(**{**TRANSLATE, "max_length": [{"b64": B64}, 0]})),
        f"Type: Object {TYPE}: int32",
    ),
}
GOOD = {"instances": ["the dog"]}
# An address, a request or None to GET it, the status and what the answer says.
ADDRESSES = [
    ("/v1/models/en-de/versions/1:predict", GOOD, 200, "predictions"),
    ("/V1/Models/en-de:Predict", GOOD, 200, "predictions"),
    ("/v1/models/en%2dde:predict", GOOD, 200, "predictions"),
    ("/v1/models/en-de?pretty=1", None, 200, "AVAILABLE"),
    (
        "/v1/models/en-de/versions/2:predict",
        GOOD,
        404,
        "Servable not found for request: Specific(en-de, 2)",
    ),
    ("/v1/models/xx:predict", GOOD, 404, "Servable not found for request: Latest(xx)"),
    ("/v1/models/xx:predict", b"{", 400, "JSON Parse error"),
    (
        "/v1/models/en-de/labels/stable:predict",
        GOOD,
        400,
        "Unrecognized servable version label: stable",
    ),
    ("/v1/models/en-de/versions/1/labels/a:predict", GOOD, 400, "Malformed request"),
    (f"/v1/models/en-de/versions/{'9' * 30}:predict", GOOD, 400, "to numeric"),
    ("/v1/models/en-de:translate", GOOD, 400, "Malformed request: POST /v1/models/"),
    ("/v1/models/en-de", GOOD, 400, "Malformed request: POST /v1/models/en-de"),
    (PREDICT, None, 400, f"Malformed request: GET {PREDICT}"),
    ("/v1/models", None, 400, "Missing model name in request."),
    ("/v1/other", None, 400, "Malformed request: GET /v1/other"),
    ("/v1/models/en-de", None, 200, "AVAILABLE"),
    ("/v1/models/en-de/versions/1", None, 200, "AVAILABLE"),
    ("/v1/models/xx", None, 404, "Could not find any versions of model xx"),
    ("/v1/models/en-de/versions/5", None, 404, "find version 5 of model en-de"),
    ("/v1/models/en-de/metadata", None, 200, "signature_def"),
    ("/v1/models/en-de/versions/1/metadata", None, 200, "signature_def"),
    ("/v1/models/xx/metadata", None, 404, "Servable not found"),
    ("/v2/models", None, 404, "No such address"),
]


@pytest.fixture(scope="module")
def recorded(models_folder):
    """A function of a signature and tensors: what a session of TensorFlow answers."""
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        path = str(models_folder / "en-de" / "1")
        meta = tf.compat.v1.saved_model.load(session, ["serve"], path)

        def run(signature, tensors):
            definition = meta.signature_def[signature]
            feeds = {
                info.name: np.array(
                    tensors[name], tf.as_dtype(info.dtype).as_numpy_dtype
                )
                for name, info in definition.inputs.items()
            }
            outputs = {name: info.name for name, info in definition.outputs.items()}
            return session.run(outputs, feeds)

        yield run


def as_json(outputs, by_rows):
    """Outputs as the API's documentation has them, numbers as they are."""

    def plain(value):
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value.decode() if isinstance(value, bytes) else value

    found = {name: plain(value.tolist()) for name, value in outputs.items()}
    if not by_rows:
        return {"outputs": found}
    return {"predictions": [dict(zip(found, row)) for row in zip(*found.values())]}


def same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for name, value in expected.items():
            same(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    else:
        assert found == expected


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.long
def test_answers_are_those_of_the_saved_model(browser, recorded, name):
    request, signature, tensors = RIGHT[name]
    response = browser.post(PREDICT, request)
    assert response.status_code == 200, response.text
    assert response.content_type == "application/json"
    by_rows = b"instances" in (
        request if isinstance(request, bytes) else json.dumps(request).encode()
    )
    same(response.json, as_json(recorded(signature, tensors), by_rows))


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_the_server_s(browser, name):
    request, words = WRONG[name]
    body = request if isinstance(request, bytes) else json.dumps(request)
    response = browser.post(PREDICT, body)
    assert response.status_code == 400
    assert [*response.json] == ["error"]
    assert words in response.json["error"]


@pytest.mark.parametrize("address, request_, status, words", ADDRESSES)
def test_addresses_are_the_server_s(browser, address, request_, status, words):
    if request_ is None:
        response = browser.get(address)
    else:
        response = browser.post(address, request_)
    assert (response.status_code, response.content_type) == (status, "application/json")
    assert words in response.text
    assert ("error" in response.json) == (status != 200)


def test_the_table_has_sixty_requests_and_more():
    assert len(RIGHT) + len(WRONG) + len(ADDRESSES) >= 100


def test_status_is_the_server_s(browser):
    expected = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert browser.get("/v1/models/en-de").json == {"model_version_status": [expected]}


def test_metadata_is_the_saved_model_s(browser, models_folder):
    from google.protobuf import json_format
    from tensorflow_serving.apis import get_model_metadata_pb2

    from keras_transformer.serving.checks.folders import read_version

    found = browser.get("/v1/models/en-de/metadata").json
    assert found["model_spec"] == {
        "name": "en-de",
        "signature_name": "",
        "version": "1",
    }
    signatures = get_model_metadata_pb2.SignatureDefMap()
    json_format.ParseDict(found["metadata"]["signature_def"], signatures)
    version, _ = read_version(models_folder / "en-de" / "1")
    assert dict(signatures.signature_def) == version.signatures


def test_numbers_are_written_with_the_fewest_digits(browser):
    text = browser.post(PREDICT, named("encode", {"inputs": ["dog"]})).text
    numbers = json.loads(text)["outputs"]["embedding"][0]
    for number in numbers:
        assert str(np.float32(number)) == str(number)
