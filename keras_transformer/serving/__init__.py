"""From a Translator to TF Serving, and from TF Serving to a client."""

import importlib

from keras_transformer.serving.client import (
    GrpcClient,
    InvalidRequest,
    RestClient,
    ServingError,
)
from keras_transformer.serving.doctor import diagnose
from keras_transformer.serving.export import export_saved_model
from keras_transformer.serving.loading_time import loading_seconds
from keras_transformer.serving.server_config import write_server_config
from keras_transformer.serving.warmup import write_warmup

__all__ = [
    "GrpcClient",
    "InvalidRequest",
    "RestClient",
    "ServingError",
    "diagnose",
    "export_saved_model",
    "loading_seconds",
    "serve",
    "write_server_config",
    "write_warmup",
]


def __getattr__(name):
    # When it is asked for: the server is built on what stands here.
    if name == "serve":
        return importlib.import_module("keras_transformer.web.server").serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
