"""The command `keras-transformer serve`."""

import dataclasses

from keras_transformer.web.limits import Limits

SUMMARY = "serve models on this machine, with a page to try them"


def add_arguments(parser):
    """Declares the command's arguments."""
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
    parser.add_argument("--port", type=int, default=8501)
    for field in dataclasses.fields(Limits):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=field.type, default=field.default)


def run(options):
    """Serves until SIGTERM or Ctrl-C."""
    from keras_transformer.web.server import serve

    limits = {f.name: getattr(options, f.name) for f in dataclasses.fields(Limits)}
    serve(options.folder, options.host, options.port, **limits)
