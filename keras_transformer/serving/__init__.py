"""From a Translator to TF Serving, and from TF Serving to a client."""

from keras_transformer.serving.client import GrpcClient, RestClient, ServingError
from keras_transformer.serving.doctor import diagnose
from keras_transformer.serving.export import export_saved_model
from keras_transformer.serving.server_config import write_server_config
from keras_transformer.serving.warmup import write_warmup

__all__ = [
    "GrpcClient",
    "RestClient",
    "ServingError",
    "diagnose",
    "export_saved_model",
    "write_server_config",
    "write_warmup",
]
