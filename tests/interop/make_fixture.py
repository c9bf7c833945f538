"""Writes tests/interop/tiny-marian: `python -m tests.interop.make_fixture`."""

import json
import pathlib
import shutil

from tests.interop.marian_models import answers, sentences, write_model

FOLDER = pathlib.Path(__file__).parent / "tiny-marian"
MORE = [
    "",
    " ",
    ">>fra<< The cat likes the boat.",
    "Na\u00efve \U0001f600 \u4f60\u597d",
    ">>xyz<<x",
]


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    model, tokenizer = write_model(FOLDER, normalization="identity")
    texts = [source for source, _ in sentences(25, seed=11)] + MORE
    record = {
        "texts": texts,
        "source_ids": tokenizer(texts)["input_ids"],
        "greedy": answers(model, tokenizer, texts, num_beams=1),
        "beam": answers(model, tokenizer, texts),
    }
    text = json.dumps(record, ensure_ascii=False)
    (FOLDER / "answers.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
