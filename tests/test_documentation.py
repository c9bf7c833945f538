"""What README, docs and docstrings show runs as it stands.

Files, sizes and models of the network are stand-ins: smaller ones of the same kind.
Page and docstring are run, not read: a name or an argument that is gone fails here.
"""

import dataclasses
import doctest
import importlib
import pathlib
import random
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_transformer as kt
from keras_transformer.models import PRESETS
from tests import snippets
from tests.test_house import MODULES

pytestmark = pytest.mark.slow

MARIAN = pathlib.Path(__file__).parent / "interop" / "tiny-marian"
SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
TEXTS = ["the red dog runs", "a small cat sees the house"]
# Asked of servers: tests/serving/test_client.py runs it.
WITH_SERVERS = {"serving.md"}


@pytest.fixture(scope="module")
def files(corpus, tmp_path_factory):
    """A folder with the files that examples name."""
    folder = tmp_path_factory.mktemp("files")
    for language, path in zip(("en", "de"), corpus):
        lines = pathlib.Path(path).read_text("utf-8").splitlines(keepends=True)[:400]
        for name in ("train", "val", "mine"):
            (folder / f"{name}.{language}").write_text("".join(lines), "utf-8")
    for name in ("texts.txt", "corpus.txt"):
        (folder / name).write_text("".join(lines), "utf-8")
    words = sorted({word for line in lines for word in line.split()})
    words = ["[PAD]", "[UNK]", "[START]", "[END]", *words]
    (folder / "vocabulary.txt").write_text("\n".join(words), "utf-8")
    (folder / "config.json").write_text("{}", "utf-8")
    return folder


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as found:
        yield found


@pytest.fixture(scope="module")
def smaller(patch):
    """Models, vocabularies, trainings and downloads become as small as can be."""
    for name in PRESETS:
        patch.setitem(PRESETS, name, SIZES)
    fit, load, train = keras.Model.fit, kt.interop.load_marian, kt.train
    train_tokenizer = kt.text.train_tokenizer

    def few_steps(model, x, *args, **options):
        if isinstance(x, tf.data.Dataset):
            options["steps_per_epoch"] = 1
        return fit(model, x, *args, **{**options, "epochs": 1, "verbose": 0})

    def few_tokens(files, vocabulary_size=8000, **options):
        return train_tokenizer(files, min(vocabulary_size, 320), **options)

    def of_the_network(name, *args, **options):
        return load(MARIAN if name.startswith("Helsinki") else name, *args, **options)

    def short(config, folder, **options):
        few = {"steps": 2, "steps_per_epoch": 1, "vocabulary_size": 320}
        return train(dataclasses.replace(config, **few), folder, verbose=0)

    patch.setattr(keras.Model, "fit", few_steps)
    patch.setattr(kt.text, "train_tokenizer", few_tokens)
    patch.setattr(kt.interop, "load_marian", of_the_network)
    patch.setattr(kt.interop, "load", of_the_network)
    patch.setattr(kt, "train", short, raising=False)


@pytest.fixture(scope="module")
def shared(files, smaller, tokenizer):
    """What an example may use without saying where it has it from."""
    random.seed(0)
    batches = kt.text.make_batches(
        files / "train.en", files / "train.de", source_tokenizer=tokenizer
    )
    model = kt.Transformer(tokenizer.vocabulary_size, **SIZES)
    loss = kt.training.MaskedCrossentropy()
    model.compile("adam", loss)
    ids = np.random.default_rng(0).integers(4, 320, (4, 6))
    return {
        "kt": kt,
        "keras": keras,
        "np": np,
        "ops": ops,
        "tf": tf,
        "tokenizer": tokenizer,
        "model": model,
        "loss": loss,
        "batches": batches,
        "held_out": batches.take(1),
        "checkpoints": kt.training.Checkpoints("run/checkpoints"),
        "translator": kt.interop.load_marian("Helsinki-NLP/opus-mt-en-de"),
        "translate": lambda texts: texts,
        "texts": TEXTS,
        "sources": TEXTS,
        "references": TEXTS,
        "inputs": ids,
        "labels": ids,
        "numbers_of_labels": np.array([0, 1]),
        "heads": np.zeros((2, 2, 5, 8), "float32"),
        "scores": np.zeros((2, 2, 5, 5), "float32"),
        "step": 3,
    }


@pytest.fixture
def names(files, shared, tmp_path, monkeypatch):
    """As an example finds them: in a folder of its own."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return dict(shared)


def run_or_skip(run):
    try:
        run()
    except ImportError as error:
        if str(error.name).partition(".")[0] in ("keras_transformer", "keras"):
            raise
        pytest.skip(f"not installed: {error.name}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name)
        for page in snippets.PAGES
        if snippets.has_code(page) and page.name not in WITH_SERVERS
    ],
)
def test_code_of_a_page_runs(page, names):
    run_or_skip(lambda: snippets.run(page, names))


# Whose answers are those of a trained model, of a server or of a larger vocabulary:
# they are asked, and what they print isn't compared.
AS_TRAINED = {
    "interop.marian.load_marian",
    "tasks.text_encoder.TextEncoder",
    "tasks.text_generator.TextGenerator",
    "tasks.translator.Translator",
    "text.tokenizer.train_tokenizer",
    "text.vocabulary_tokenizer.VocabularyTokenizer",
}
# Whose model is of another kind than most examples'.
OTHER_MODELS = {
    "tasks.text_encoder.TextEncoder": lambda: {
        "model": kt.EncoderModel(320, num_classes=2, **SIZES)
    },
    "tasks.text_generator.TextGenerator": lambda: {
        "model": kt.LanguageModel(320, **SIZES)
    },
    "text.vocabulary_tokenizer.VocabularyTokenizer": lambda: {
        "model": kt.text.train_tokenizer(
            "corpus.txt", 24, byte_fallback=False, model_type="char"
        ).model
    },
}
# Need a server, or an export of their own, which tests/serving has.
ELSEWHERE = {
    "serving.client.GrpcClient",
    "serving.client.RestClient",
    "serving.client._Client.stream",
    "serving.client._Client.translate",
    "serving.doctor.diagnose",
    "serving.export.export_saved_model",
    "serving.server_config.write_server_config",
    "web.server.Server",
    "web.server.serve",
}


class _Runner(doctest.DocTestRunner):
    """Collects what goes wrong; what isn't shown isn't compared."""

    def __init__(self, compares):
        flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        super().__init__(verbose=False, optionflags=flags)
        self.wrong, self.compares = [], compares

    def report_failure(self, out, test, example, got):
        if self.compares and example.want:
            self.wrong.append(f"{example.source}{example.want}but got\n{got}")

    def report_unexpected_exception(self, out, test, example, exc_info):
        if isinstance(exc_info[1], ModuleNotFoundError):
            raise exc_info[1]
        self.wrong.append(f"{example.source}{exc_info[0].__name__}: {exc_info[1]}")


def examples():
    """The docstrings of the package that have examples."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in MODULES:
        if name.endswith("__main__"):
            continue
        module = importlib.import_module(name)
        for test in finder.find(module, name, extraglobs={}):
            short = test.name.removeprefix("keras_transformer.")
            if test.examples and short not in ELSEWHERE:
                yield pytest.param(test, short, id=short)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("test, name", examples())
def test_example_of_a_docstring_runs(test, name, names):
    runner = _Runner(compares=name not in AS_TRAINED)
    if "metrics.csv" in test.docstring:
        pathlib.Path("runs", "en-de").mkdir(parents=True)
        metrics = "epoch,loss,val_bleu,val_loss\n0,5.0,1.5,4.0\n"
        pathlib.Path("runs", "en-de", "metrics.csv").write_text(metrics, "utf-8")
    names |= OTHER_MODELS.get(name, dict)()
    test.globs = {**test.globs, **names}
    run_or_skip(lambda: runner.run(test, out=lambda _: None, clear_globs=False))
    assert runner.wrong == []
