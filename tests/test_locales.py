"""Files are UTF-8 in every locale."""

import os
import subprocess
import sys

POSIX = r"""
import pathlib, sys
import keras_transformer as kt
from keras_transformer.text import VocabularyTokenizer, train_tokenizer
from keras_transformer.run.folder import RunFolder

folder, text = pathlib.Path(sys.argv[1]), sys.argv[2]
sentence = "Zw\u00f6lf \u732b"
pathlib.Path(text).write_text((sentence + "\n") * 9, encoding="utf-8")
run = RunFolder(folder / "run", kt.RunConfig(text, text, vocabulary_size=270))
run.prepare()
assert RunFolder(folder / "run", run.config).config.source == text
model = train_tokenizer(text, 24, byte_fallback=False, model_type="char").model
words = ["<pad>", "<s>", "</s>", "<unk>", *sentence.replace(" ", "\u2581")]
special = {"start": "<s>", "end": "</s>", "unknown": "<unk>"}
tokenizer = VocabularyTokenizer(model, words, **special)
model = kt.Transformer(len(words), None, 1, 8, 1, 8)
kt.Translator(model, tokenizer).save(folder / "translator")
loaded = kt.Translator.load(folder / "translator")
assert loaded.source_tokenizer.vocabulary == words
"""


def test_files_are_utf_8_in_every_locale(tmp_path):
    environment = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "POSIX"}
    done = subprocess.run(
        [sys.executable, "-c", POSIX, str(tmp_path), str(tmp_path / "text")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
