import json
import random

import pytest
from werkzeug.test import Client

import keras_transformer as kt
from keras_transformer.serving import export_saved_model
from keras_transformer.web.application import Application
from keras_transformer.web.catalogue import Catalogue
from keras_transformer.web.limits import Limits

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}


@pytest.fixture(scope="package")
def small_translator(tokenizer):
    random.seed(0)
    model = kt.Transformer(320, **SIZES)
    return kt.Translator(model, tokenizer, max_source_length=32)


@pytest.fixture(scope="package")
def models_folder(small_translator, tmp_path_factory):
    """A folder of models with one export, `en-de/1`."""
    folder = tmp_path_factory.mktemp("served") / "saved_models"
    options = {"beam_size": 3, "max_length": 6, "warmup_batch_sizes": ()}
    export_saved_model(small_translator, folder / "en-de", **options)
    return folder


@pytest.fixture(scope="package")
def plain_folder(small_translator, tmp_path_factory):
    """As `models_folder`; the export has `serving_default` alone, and loads quickly."""
    folder = tmp_path_factory.mktemp("plain") / "saved_models"
    options = {"beam_size": 1, "max_length": 6, "warmup_batch_sizes": ()}
    export_saved_model(small_translator, folder / "en-de", signatures=[], **options)
    return folder


@pytest.fixture(scope="package")
def catalogue(models_folder):
    return Catalogue(str(models_folder))


class Browser:
    """Asks an application without sockets."""

    def __init__(self, application):
        self._client = Client(application)

    def get(self, path, **options):
        return self._client.get(
            path, base_url="http://localhost", buffered=True, **options
        )

    def post(self, path, body, **options):
        options = {"buffered": True, **options}
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self._client.post(
            path, base_url="http://localhost", data=data, **options
        )

    def ask(self, path, body):
        """A request's status and JSON."""
        response = self.post(path, body, content_type="application/json")
        return response.status_code, response.json


@pytest.fixture(scope="package")
def browser(catalogue):
    return Browser(Application(catalogue))


@pytest.fixture
def limited(catalogue):
    """A function of limits: a browser of an application with them."""
    return lambda **limits: Browser(Application(catalogue, Limits(**limits)))


@pytest.fixture(scope="package")
def translator_browser(small_translator):
    """A browser of an application that serves a translator in memory."""
    return Browser(Application(Catalogue(small_translator)))
