"""Every kind of text gets an answer, and no row affects its neighbours."""

import resource

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

FIXED = [
    "",
    " ",
    "   \t\n ",
    "the dog",
    "the dog " * 12_500,
    "\u0000",
    "a\u0000b",
    "e\u0301\u0302\u0303" * 20,
    "\U0001f469\u200d\U0001f680 \U0001f3f3\ufe0f\u200d\U0001f308",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202eabc\u202c",
    "\u2581 \x1a \x1a0 \x1a1",
    "<s></s><pad><unk>",
    "\r\n\x07\x1b[31m\x7f",
]
TEXT = st.text(max_size=60) | st.binary(max_size=60)
INVALID = [b"\xff", b"ab\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"ok \x80\x80 ok"]


def answers(signatures, texts):
    found = signatures("serving_default", text=texts)
    assert len(found["translation"]) == len(texts)
    for text in found["translation"]:
        text.decode("utf-8")
    assert np.all(np.isfinite(found["score"]))
    return found


def test_no_row_affects_its_neighbours(signatures):
    texts = [text.encode() for text in FIXED] + INVALID
    planes = [chr(plane * 0x10000 + 0x61).encode() for plane in range(17)]
    texts += [f"the {p.decode()} dog".encode() for p in planes]
    together = answers(signatures, texts)
    for row, text in enumerate(texts):
        alone = answers(signatures, [text])
        assert alone["translation"][0] == together["translation"][row], text[:40]
        assert alone["truncated"][0] == together["truncated"][row]
        np.testing.assert_allclose(alone["score"][0], together["score"][row], atol=1e-4)
    assert together["truncated"].tolist().count(True) >= 1
    assert together["truncated"][FIXED.index("the dog " * 12_500)]
    assert not together["truncated"][FIXED.index("the dog")]


def test_an_empty_batch_has_empty_answers(signatures):
    for name in ("serving_default", "n_best", "translate", "encode", "explain"):
        found = signatures(name, text=np.array([], "object").astype(bytes))
        assert all(len(value) == 0 for value in found.values()), name


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(max_size=60) | st.binary(max_size=60), min_size=100, max_size=100)
)
def test_generated_strings_all_get_an_answer(signatures, texts):
    """50 batches of 100 strings."""
    texts = [t if isinstance(t, bytes) else t.encode("utf-8", "replace") for t in texts]
    answers(signatures, texts)


def test_memory_stays_bounded(signatures):
    long = [b"\xf0\x9f\x98\x80 word" * 10_000] * 8
    answers(signatures, long)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        answers(signatures, long)
        signatures("score", text=[b"the dog"] * 8, reference=long)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, f"{grown} KiB more"
