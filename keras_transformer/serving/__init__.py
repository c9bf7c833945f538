"""From a Translator to TF Serving, and from TF Serving to a client."""

import importlib

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


def __getattr__(name):
    # On first use: the command line reads the table of weight formats alone.
    if name in _NAMES:
        module = importlib.import_module(f"keras_transformer.{_NAMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
