"""From a Translator to TF Serving, and from TF Serving to a client."""

import importlib
from typing import TYPE_CHECKING

_NAMES = {
    "GrpcClient": "serving.client",
    "InvalidRequest": "serving.client",
    "RestClient": "serving.client",
    "ServingError": "serving.client",
    "diagnose": "serving.doctor",
    "export_saved_model": "serving.export",
    "loading_seconds": "serving.loading_time",
    "serve": "web.server",
    "write_server_config": "serving.server_config",
    "write_warmup": "serving.warmup",
}
__all__ = list(_NAMES)

if TYPE_CHECKING:
    # As type checkers see the names.
    from keras_transformer.serving.client import GrpcClient as GrpcClient
    from keras_transformer.serving.client import InvalidRequest as InvalidRequest
    from keras_transformer.serving.client import RestClient as RestClient
    from keras_transformer.serving.client import ServingError as ServingError
    from keras_transformer.serving.doctor import diagnose as diagnose
    from keras_transformer.serving.export import (
        export_saved_model as export_saved_model,
    )
    from keras_transformer.serving.loading_time import (
        loading_seconds as loading_seconds,
    )
    from keras_transformer.serving.server_config import (
        write_server_config as write_server_config,
    )
    from keras_transformer.serving.warmup import write_warmup as write_warmup
    from keras_transformer.web.server import serve as serve


def __getattr__(name):
    # On first use: the command line reads the table of weight formats alone.
    if name in _NAMES:
        module = importlib.import_module(f"keras_transformer.{_NAMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
