"""`keras-transformer serve`."""

import dataclasses

from keras_transformer.cli.library import library
from keras_transformer.web.limits import Limits

EXAMPLE = """
  keras-transformer serve saved_models
  keras-transformer serve runs/en-de --port 8600
"""


def add_arguments(parser):
    parser.add_argument(
        "folder",
        help="saved_models, an export, a run, a translator, a Marian folder or its "
        "name on the Hub",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; 0.0.0.0 lets other machines ask",
    )
    parser.add_argument("--port", type=int, default=8501, help="8501 by default")
    for field in dataclasses.fields(Limits):
        flag = f"--{field.name.replace('_', '-')}"
        words = f"{field.metadata['help']}, {field.default} by default"
        parser.add_argument(flag, type=field.type, default=field.default, help=words)


def run(options):
    names = [field.name for field in dataclasses.fields(Limits)]
    limits = {name: getattr(options, name) for name in names}
    Limits(**limits)
    library()
    from keras_transformer.web.server import serve

    serve(options.folder, options.host, options.port, **limits)
