import random

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import keras_transformer as kt
from keras_transformer.serving import export_saved_model


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
def signatures(saved_path):
    loaded = tf.saved_model.load(saved_path)
    with open(f"{saved_path}/saved_model.pb", "rb") as file:
        (graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs

    def ask(name, **inputs):
        # The server fills in what is left out and has a default.
        defaults = graph.signature_def[name].defaults
        inputs = {k: tf.make_ndarray(v) for k, v in defaults.items()} | inputs
        inputs = {k: tf.constant(v) for k, v in inputs.items()}
        return {k: v.numpy() for k, v in loaded.signatures[name](**inputs).items()}

    return ask
