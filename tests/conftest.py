import gc
import random
import signal

import pytest

import keras_transformer as kt

WORDS = "a the red blue old small dog cat man woman house runs sees sleeps".split()


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Ctrl-C interrupts, also where what started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module", autouse=True)
def small_heap():
    """What is left of earlier modules isn't looked through by each garbage collection.

    TensorFlow keeps the programs of all models.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded():
    """The same random weights in each run of a test: Keras draws seeds from here."""
    random.seed(0)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Two aligned files: the target is the source's words in reverse order."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = random.Random(0)
    lines = [generator.choices(WORDS, k=generator.randrange(2, 7)) for _ in range(2000)]
    source, target = folder / "train.a", folder / "train.b"
    source.write_text("".join(" ".join(line) + "\n" for line in lines))
    target.write_text("".join(" ".join(line[::-1]) + "\n" for line in lines))
    return str(source), str(target)


@pytest.fixture(scope="session")
def tokenizer(corpus):
    return kt.text.train_tokenizer(corpus, vocabulary_size=320)


@pytest.fixture
def model(tokenizer):
    return kt.Transformer(
        tokenizer.vocabulary_size,
        num_layers=2,
        hidden_dim=32,
        num_heads=2,
        intermediate_dim=64,
    )


@pytest.fixture
def translator(model, tokenizer):
    return kt.Translator(model, tokenizer)
