import pathlib
import random

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import keras_transformer as kt
from keras_transformer.serving import export_saved_model
from keras_transformer.serving.onednn import check_products


@pytest.fixture(scope="package")
def small_translator(tokenizer):
    random.seed(0)
    model = kt.Transformer(
        320, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32
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


@pytest.fixture(scope="package")
def signatures(saved_path, meta_graph):
    loaded = tf.saved_model.load(saved_path)
    definitions = meta_graph(saved_path).signature_def

    def ask(name, **inputs):
        # The server fills in what is left out and has a default.
        defaults = definitions[name].defaults
        inputs = {k: tf.make_ndarray(v) for k, v in defaults.items()} | inputs
        inputs = {k: tf.constant(v) for k, v in inputs.items()}
        return {k: v.numpy() for k, v in loaded.signatures[name](**inputs).items()}

    return ask
