"""Requests that a server joins: each row is answered as if it were alone."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_transformer as kt
from keras_transformer.serving import export_saved_model
from keras_transformer.serving.requests import without_padding
from tests.serving.conftest import SIZES, Export

TEXTS = ["the dog", "a small cat sees the old house", "woman \u00e9", "", "cat " * 50]
# The same requests, about texts of several sentences.
DOCUMENTS = [
    "The dog runs. A cat sleeps.\n\n  The woman sees.",
    "the house",
    " \n\u200b",
    "One. Two.",
    "cat " * 50,
]
NAN, INF = float("nan"), float("inf")

# Requests of one row each to each signature: its inputs but the text.
OF_ROWS = {
    ("translator", "translate"): [
        {"num_hypotheses": n, "length_penalty": p, "max_length": m, "target_prefix": t}
        for n, p, m, t in [
            (1, 0.6, 6, ""),
            (3, 0.0, 4, "dog"),
            (2, 2.0, 0, ""),
            (99, -1.0, -5, "a cat"),
            (-3, INF, 10**9, "x" * 500),
            (1, NAN, 3, ""),
        ]
    ],
    ("translator", "with_options"): [
        {"options": text}
        for text in [
            "",
            "num_hypotheses=3, max_length=5",
            "sample=1 seed=7 temperature=2 num_hypotheses=2",
            "sample=true seed=8 top_p=0.5",
            "min_length=8 max_length=8 length_penalty=1e3",
            "max_length=7 target_prefix=the dog, the cat",
            "nonsense=3",
            "temperature=0.5",
            "num_hypotheses=1e999",
            "sample=1 temperature=0",
        ]
    ],
    ("translator", "token_ids"): [
        {"source_ids": [ids], "source_length": n}
        for ids, n in [
            ([5, 6, 3, 9, 9], 3),
            ([5, 320, 3, 9, 9], 3),
            ([5, -7, 3, 9, 9], 3),
            ([5, -7, 3, 9, 9], 1),
            ([7, 8, 9, 10, 3], 5),
            ([7, 8, 9, 10, 3], -1),
            ([7, 8, 9, 10, 3], 10**9),
            ([0, 0, 0, 0, 0], 5),
        ]
    ],
    ("generator", "generate"): [
        {"max_new_tokens": n, "temperature": t, "top_p": p, "seed": s}
        for n, t, p, s in [
            (2, 1.0, 1.0, 1),
            (12, 1.0, 1.0, 2),
            (5, 0.0, 1.0, 3),
            (6, 2.0, 0.3, -4),
            (10**6, 1e9, 7.0, 2**31 - 1),
            (-1, -2.0, -1.0, 5),
            (4, NAN, 1.0, 6),
            (4, 1.0, NAN, 6),
        ]
    ],
    ("generator", "with_options"): [
        {"options": text}
        for text in [
            "",
            "max_new_tokens=12",
            "sample=1 seed=3",
            "sample=1 seed=4 temperature=3 max_new_tokens=9 min_new_tokens=9",
            "seed=3",
            "max_new_tokens=x",
        ]
    ],
    ("translator", "score"): [
        {"reference": text} for text in ["dog", "", "the cat " * 40, "a", "\u00e9"]
    ],
}
OF_ROWS["translator", "document"] = [
    {"length_penalty": p, "max_length": m, "target_prefix": t}
    for p, m, t in [
        (0.6, 6, ""),
        (2.0, 4, "dog"),
        (0.6, 0, ""),
        (NAN, 3, ""),
        (-1.0, 10**9, "a cat"),
    ]
]
OF_ROWS["translator", "document_with_options"] = [
    {"options": text}
    for text in [
        "",
        "max_length=5 length_penalty=2",
        "sample=1 seed=7 temperature=2",
        "max_length=4 target_prefix=the dog",
        "num_hypotheses=2",
    ]
]
OF_ROWS["translator", "stream"] = [
    {"output_ids": [ids], "output_length": n, "num_tokens": k}
    for ids, n, k in [
        ([5, 6, 9], 2, 3),
        ([5, 320, 9], 2, 3),
        ([5, 6, 9], 0, 10**9),
        ([5, 320, 9], 1, -1),
        ([7, 8, 9], 3, 1),
        ([7, 8, 9], 10**9, 1),
        ([7, 8, 9], -1, 1),
    ]
]
OF_ROWS["translator", "glossary"] = [
    {
        "glossary_source": [[*pairs, "", "", ""][:3]],
        "glossary_target": [[*pairs.values(), "", "", ""][:3]],
        "options": options,
    }
    for pairs, options in [
        ({"dog": "red house", "cat": "old"}, "force=1"),
        ({"small": "a tree", "sees": "the old man"}, "bonus=5 num_hypotheses=3"),
        ({"x": "y"}, ""),
        ({}, "force=1 max_length=4"),
        ({"cat": "x" * 50}, "force=1 max_length=3 target_prefix=the dog"),
        ({"dog": "cat", "": "x", "the": ""}, "bonus=1e9 length_penalty=0"),
        ({"small cat": "a tree"}, "sample=1"),
        ({"woman": "man"}, "force=2"),
        ({"dog": "cat"}, "bonus=much"),
    ]
]
for _kind, _names in (
    ("translator", ("serving_default", "n_best", "explain", "encode", "split")),
    ("generator", ("serving_default",)),
    ("encoder", ("serving_default", "embed", "classify")),
):
    OF_ROWS |= {(_kind, name): [{}] * len(TEXTS) for name in _names}


def requests_of(kind, name):
    """Requests of one row, in the shape that joins: lists by input's name."""
    found = []
    for i, row in enumerate(OF_ROWS[kind, name]):
        request = {key: np.atleast_1d(value) for key, value in row.items()}
        if name != "token_ids":
            texts = DOCUMENTS if name.startswith(("document", "split")) else TEXTS
            request["text"] = np.array([texts[i % len(texts)].encode()], object)
        found.append(request)
    return found


def plain(outputs):
    return without_padding({k: v.tolist() for k, v in outputs.items()})


@pytest.mark.parametrize("kind, name", OF_ROWS)
@pytest.mark.long
def test_joined_rows_are_answered_as_alone(exports, kind, name):
    requests = requests_of(kind, name)
    joined = {k: np.concatenate([r[k] for r in requests]) for k in requests[0]}
    together = plain(exports[kind].run(name, **joined))
    for row, request in enumerate(requests):
        alone = plain(exports[kind].run(name, **request))
        for key, (value,) in alone.items():
            beside = together[key][row]
            if np.asarray(value).dtype.kind == "f":
                assert np.shape(beside) == np.shape(value), (key, request)
                np.testing.assert_allclose(beside, value, atol=2e-4, err_msg=key)
            else:
                assert beside == value, (key, request)


def test_every_signature_is_tried(exports):
    named = {(kind, name) for kind in exports for name in exports[kind].definitions}
    assert named == set(OF_ROWS)


@pytest.mark.parametrize("kind, name", OF_ROWS)
def test_an_empty_batch_has_empty_answers(exports, kind, name):
    inputs = {
        key: np.zeros([0] * len(info.tensor_shape.dim), tf.as_dtype(info.dtype).name)
        if info.dtype != tf.string.as_datatype_enum
        else np.zeros([0] * len(info.tensor_shape.dim), bytes)
        for key, info in exports[kind].definitions[name].inputs.items()
    }
    found = exports[kind].run(name, **inputs)
    assert all(len(value) == 0 for value in found.values())


@pytest.mark.parametrize(
    "kind, name, wrong",
    [
        ("translator", "translate", [5]),
        ("translator", "with_options", [6, 7, 8]),
        ("translator", "token_ids", [1, 2, 5, 6, 7]),
        ("translator", "document", [3]),
        ("translator", "document_with_options", [4]),
        ("translator", "stream", [1, 5, 6]),
        ("translator", "glossary", [6, 7, 8]),
        ("generator", "generate", [6, 7]),
        ("generator", "with_options", [4, 5]),
    ],
)
def test_a_row_that_cannot_be_answered_says_why(exports, kind, name, wrong):
    requests = requests_of(kind, name)
    joined = {k: np.concatenate([r[k] for r in requests]) for k in requests[0]}
    found = exports[kind].run(name, **joined)
    assert np.flatnonzero(found["error"] != b"").tolist() == wrong
    if has_scores := {"scores", "score"} & set(found):
        scores = found[has_scores.pop()].reshape(len(requests), -1)[:, 0]
        assert np.flatnonzero(scores == -1e9).tolist() == wrong
        assert np.all(np.isfinite(scores))
    names = ("translations", "translation", "generated")
    answers = [found[k] for k in names if k in found]
    for texts in answers:
        assert np.all(texts[wrong] == b"")
    if name == "with_options" and kind == "translator":
        assert b"received nonsense=3" in found["error"][6]
        assert found["error"][7] == b"temperature needs sample=1."
        assert b"num_hypotheses must be a whole number" in found["error"][8]
    if name == "token_ids":
        words = b"source_length must be from 0 to the row's number of ids."
        assert found["error"][5:7].tolist() == [words] * 2
    if name == "translate":
        assert b"length_penalty must be a number" in found["error"][5]


@pytest.mark.parametrize(
    "kind, name, bounded",
    [
        ("translator", "translate", [3, 4]),
        ("translator", "with_options", [4]),
        ("translator", "document", [4]),
        ("translator", "document_with_options", []),
        ("translator", "glossary", [5]),
        ("generator", "generate", [4, 5]),
        ("generator", "with_options", []),
    ],
)
def test_options_past_the_export_s_limits_are_marked(exports, kind, name, bounded):
    requests = requests_of(kind, name)
    joined = {k: np.concatenate([r[k] for r in requests]) for k in requests[0]}
    found = exports[kind].run(name, **joined)
    assert np.flatnonzero(found["bounded"]).tolist() == bounded


def test_an_answer_is_bounded_by_the_export(exports, generator):
    found = exports["generator"](
        "generate", text=["the dog"], max_new_tokens=[10**6], seed=[3]
    )
    longest = generator.generate("the dog", 20, sample=True, seed=3)
    assert found["generated"] == [longest.encode()]
    assert found["bounded"] == [True]


def test_rows_of_generate_are_the_generator_s_own(exports, generator):
    options = {
        "max_new_tokens": [2, 12, 7],
        "temperature": [1.0, 0.5, 3.0],
        "top_p": [1.0, 0.9, 0.5],
        "seed": [5, 5, 6],
    }
    found = exports["generator"]("generate", text=TEXTS[:3], **options)
    for row, text in enumerate(TEXTS[:3]):
        own = {name: values[row] for name, values in options.items()}
        expected = generator.generate(text, sample=True, **own)
        assert found["generated"][row] == expected.encode()


def test_with_options_gives_the_translator_s_answers(exports, small_translator):
    rows = [
        {"num_hypotheses": 2, "length_penalty": 1.5, "max_length": 5},
        {"sample": True, "seed": 4, "temperature": 2.5, "num_hypotheses": 3},
        {"min_length": 6},
        {"target_prefix": "the old, red"},
    ]
    texts = TEXTS[:4]
    options = [
        " ".join(f"{name}={value}" for name, value in row.items()) for row in rows
    ]
    found = exports["translator"]("with_options", text=texts, options=options)
    for row, text in enumerate(texts):
        own = {"beam_size": 3, "max_length": 6, **rows[row]}
        count = own.get("num_hypotheses", 1)
        answers, scores = small_translator.translate(
            [text], return_scores=True, **{**own, "num_hypotheses": count}
        )
        answers, scores = np.reshape(answers, -1), np.reshape(scores, -1)
        assert found["num_hypotheses"][row] == count
        columns = found["translations"][row]
        assert [x.decode() for x in columns[:count]] == answers.tolist()
        assert np.all(columns[count:] == b"")
        np.testing.assert_allclose(found["scores"][row, :count], scores, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(max_size=40)
        | st.binary(max_size=40)
        | st.lists(
            st.sampled_from(
                ["seed=1", "sample=1", "max_length=", "top_p=nan", ",", "=", "a=b"]
                + ["num_hypotheses=2", "target_prefix=", "temperature=1e400", "x"]
            ),
            max_size=6,
        ).map(" ".join),
        min_size=50,
        max_size=50,
    )
)
def test_no_options_disturb_a_neighbour(exports, options):
    options = [
        t if isinstance(t, bytes) else t.encode("utf-8", "replace") for t in options
    ]
    found = exports["translator"](
        "with_options", text=["the dog"] * 51, options=[*options, b""]
    )
    alone = exports["translator"]("with_options", text=["the dog"], options=[""])
    assert found["translations"][-1, 0] == alone["translations"][0, 0]
    assert found["error"][-1] == b""
    for text in found["error"]:
        text.decode("utf-8")


@pytest.mark.parametrize(
    "options",
    [
        {"extra_length": 3},
        {"min_length": 9, "extra_length": 12},
        {"sample": True, "top_p": 0.8, "seed": 5},
        {"beam_size": 1, "no_repeat_ngram_size": 1},
    ],
)
@pytest.mark.long
def test_search_options_hold_in_every_signature(tokenizer, tmp_path, options):
    model = kt.Transformer(320, **SIZES)
    translator = kt.Translator(
        model, tokenizer, max_source_length=32, search_options=options
    )
    names = ["n_best", "translate", "with_options", "token_ids", "explain"]
    export = Export(
        export_saved_model(
            translator, tmp_path, signatures=names, warmup_batch_sizes=()
        )
    )
    texts = TEXTS[:2]
    expected = [text.encode() for text in translator.translate(texts)]
    for name in ("serving_default", "explain"):
        assert export(name, text=texts)["translation"].tolist() == expected
    for name, more in (("translate", {}), ("with_options", {"options": ["", ""]})):
        found = export(name, text=texts, **more)
        assert found["translations"][:, 0].tolist() == expected, name


@pytest.mark.long
def test_a_model_with_ids_that_have_no_text_never_gives_them(tokenizer, tmp_path):
    model = kt.Transformer(400, **SIZES)
    table = np.array(model.target_embedding.embeddings)
    # All of them more probable than any other.
    table[320:] = 5 * np.sign(table[320:])
    model.target_embedding.embeddings.assign(table)
    translator = kt.Translator(model, tokenizer, max_source_length=32)
    export = Export(
        export_saved_model(
            translator, tmp_path, max_length=4, beam_size=2, warmup_batch_sizes=()
        )
    )
    ids = export("token_ids", source_ids=[[5, 6, 399]], source_length=[3])
    assert 0 < ids["output_ids"].max() < 320
    found = export("explain", text=TEXTS)
    assert found["translation"].tolist() == [
        text.encode() for text in translator.translate(TEXTS, 2, 4)
    ]


@pytest.mark.long
def test_positions_that_end_bound_sources_and_answers(tokenizer, tmp_path):
    position = kt.layers.LearnedPositionalEncoding(max_length=12)
    model = kt.Transformer(320, **SIZES, position_encoding=position)
    export = Export(
        export_saved_model(
            kt.Translator(model, tokenizer, max_source_length=32),
            tmp_path,
            beam_size=1,
            warmup_batch_sizes=(),
        )
    )
    long = ["the old house " * 9, "dog"]
    for name, more in (
        ("serving_default", {}),
        ("score", {"reference": long}),
        ("explain", {}),
        ("encode", {}),
        ("with_options", {"options": ["max_length=99"] * 2}),
    ):
        found = export(name, text=long, **more)
        assert found["truncated"].tolist() == [True, False], name
    ids = export("token_ids", source_ids=[[7] * 40], source_length=[40])
    assert ids["truncated"] == [True] and ids["output_length"] == [12]
