"""On JAX, where TensorFlow can't be imported: the same batches, and training."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_transformer.data import make_batches, prepare

OPTIONS = {"tokens_per_batch": 512, "seed": 5, "accumulation_steps": 2}
OPTIONS |= {"bpe_dropout": 0.1}
SCRIPT = """
import hashlib, itertools, json, sys


class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_text", "keras_hub"):
            raise ModuleNotFoundError(f"No module named {name!r}")


sys.meta_path.insert(0, NoTensorFlow())
import keras
import keras_transformer as kt

source, target, folder, tokenizer, options = sys.argv[1:]
options = json.loads(options)
tokenizer = kt.text.Tokenizer.load(tokenizer)
texts = [" the\\u2581dog ", "", "\\u00e9\\x1a0"]
assert tokenizer.detokenize(tokenizer.tokenize(texts)) == texts
of_texts = kt.text.make_batches(source, target, source_tokenizer=tokenizer, **options)
batches = kt.data.make_batches(folder, **options)
assert batches.report == of_texts.report
held_out = kt.data.make_batches(folder, repeat=False, shuffle=False)


def digest(batches):
    found = hashlib.sha256()
    for batch in itertools.islice(batches, 40):
        for part in keras.tree.flatten(batch):
            found.update(str(part.shape).encode() + part.tobytes())
    return found.hexdigest()


model = kt.Transformer(tokenizer.vocabulary_size, None, 1, 16, 2, 32)
optimizer = kt.training.Adam(0.01, gradient_accumulation_steps=2)
model.compile(optimizer, kt.training.MaskedCrossentropy())
losses = model.fit(
    batches.from_step(1), steps_per_epoch=6, epochs=2, verbose=0,
    validation_data=held_out,
).history
print(json.dumps({
    "digests": [digest(of_texts), digest(batches), digest(batches.from_step(30))],
    "losses": losses["loss"] + losses["val_loss"],
    "size": held_out.num_batches,
    "tensorflow": [name for name in sys.modules if name.startswith("tensorflow")],
}))
"""


def digest(batches):
    found = hashlib.sha256()
    for inputs, *others in batches.take(40).as_numpy_iterator():
        for part in (*(inputs[name] for name in sorted(inputs)), *others):
            found.update(str(part.shape).encode() + part.tobytes())
    return found.hexdigest()


@pytest.mark.process
def test_jax_alone_has_the_same_batches_and_trains(corpus, tokenizer, tmp_path):
    prepared = prepare(*corpus, tmp_path / "corpus", source_tokenizer=tokenizer)
    tokenizer.save(tmp_path / "spm")
    arguments = [*corpus, str(prepared.folder), str(tmp_path / "spm")]
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments, json.dumps(OPTIONS)],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    found = json.loads(answer.splitlines()[-1])
    batches = make_batches(prepared, **OPTIONS)
    expected = digest(batches)
    assert found["digests"] == [expected, expected, digest(batches.from_step(30))]
    assert found["tensorflow"] == [] and np.isfinite(found["losses"]).all()
    held_out = make_batches(prepared, repeat=False, shuffle=False)
    assert found["size"] == int(held_out.cardinality())
