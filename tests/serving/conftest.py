import pathlib
import random

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import keras_transformer as kt
from keras_transformer.serving import export_saved_model
from keras_transformer.serving.onednn import check_products

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}


@pytest.fixture(scope="package")
def small_translator(tokenizer):
    random.seed(0)
    model = kt.Transformer(
        320, num_layers=1, hidden_dim=16, num_heads=2, intermediate_dim=32
    )
    return kt.Translator(model, tokenizer, max_source_length=32)


@pytest.fixture(scope="package")
def saved_path(small_translator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    return export_saved_model(small_translator, folder, beam_size=3, max_length=6)


@pytest.fixture(scope="package")
def meta_graph():
    """A function of an export's path: what the server reads of it."""

    def read(path):
        data = pathlib.Path(path, "saved_model.pb").read_bytes()
        (graph,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
        return graph

    return read


@pytest.fixture(scope="package")
def int8_products():
    """Skips tests where TensorFlow has no products of int8."""
    skip_without("int8_products")


@pytest.fixture(scope="package")
def bfloat16_packed():
    """Skips tests where TensorFlow has no products of packed kernels."""
    skip_without("bfloat16_packed")


def skip_without(weights):
    try:
        check_products(weights)
    except RuntimeError as error:
        pytest.skip(str(error))


class Export:
    """A loaded export, to be asked.

    Args:
        path: Folder of one version.
    """

    def __init__(self, path):
        data = pathlib.Path(path, "saved_model.pb").read_bytes()
        (graph,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
        self.path = path
        self.definitions = dict(graph.signature_def)
        self.definitions.pop("__saved_model_init_op", None)
        self._loaded = tf.saved_model.load(path)

    def run(self, name, **inputs):
        """A signature's outputs, arrays by name, for all of its inputs."""
        wanted = self.definitions[name].inputs
        inputs = {k: tf.constant(v, wanted[k].dtype) for k, v in inputs.items()}
        found = self._loaded.signatures[name](**inputs)
        return {key: value.numpy() for key, value in found.items()}

    def __call__(self, name, **inputs):
        """As `run`; as the server does, it fills in defaults of what is left out."""
        defaults = self.definitions[name].defaults
        return self.run(
            name, **{k: tf.make_ndarray(v) for k, v in defaults.items()} | inputs
        )


@pytest.fixture(scope="package")
def signatures(saved_path):
    return Export(saved_path)


@pytest.fixture(scope="package")
def generator(tokenizer):
    random.seed(0)
    model = kt.LanguageModel(320, **SIZES)
    options = {"extra_length": 5}
    return kt.TextGenerator(model, tokenizer, 20, search_options=options)


@pytest.fixture(scope="package")
def encoder(tokenizer):
    random.seed(0)
    model = kt.EncoderModel(320, num_classes=2, **SIZES)
    return kt.TextEncoder(model, tokenizer, labels=["bad", "good"])


@pytest.fixture(scope="package")
def exports(signatures, generator, encoder, tmp_path_factory):
    """An export of each kind, by its kind."""
    folder = tmp_path_factory.mktemp("kinds")
    return {
        "translator": signatures,
        "generator": Export(export_saved_model(generator, folder / "generator")),
        "encoder": Export(export_saved_model(encoder, folder / "encoder")),
    }
