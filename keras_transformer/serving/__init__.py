"""From a Translator to TF Serving, and from TF Serving to a client."""

import importlib

_NAMES = {
    "GrpcClient": "client",
    "InvalidRequest": "client",
    "RestClient": "client",
    "ServingError": "client",
    "diagnose": "doctor",
    "export_saved_model": "export",
    "loading_seconds": "loading_time",
    "write_server_config": "server_config",
    "write_warmup": "warmup",
}
__all__ = [*_NAMES, "serve"]


def __getattr__(name):
    # On first use: the command line reads the table of weight formats alone.
    if name in _NAMES:
        module = importlib.import_module(f"keras_transformer.serving.{_NAMES[name]}")
        return getattr(module, name)
    if name == "serve":
        return importlib.import_module("keras_transformer.web.server").serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
