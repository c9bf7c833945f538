"""`keras-transformer serve`."""

import argparse
import dataclasses

from keras_transformer.cli.config_options import field_words
from keras_transformer.cli.library import library
from keras_transformer.web.limits import Limits

EXAMPLE = """
  keras-transformer serve saved_models
  keras-transformer serve Helsinki-NLP/opus-mt-en-de --port 8000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--port", type=int, default=8501, help="port to listen at")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="[MODEL:]LABEL=VERSION",
        help="serve this version beside the newest, at /v1/models/MODEL/labels/LABEL; "
        "may be repeated",
    )
    words = field_words(Limits)
    for field in dataclasses.fields(Limits):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=field.type,
            default=field.default,
            metavar="N",
            help=words[field.name],
        )


def run(options: argparse.Namespace) -> None:
    limits = {f.name: getattr(options, f.name) for f in dataclasses.fields(Limits)}
    Limits(**limits)
    labels = dict(map(_label, options.label))
    library()
    from keras_transformer.web.server import serve

    serve(options.folder, options.host, options.port, labels=labels, **limits)


def _label(text):
    label, _, version = text.rpartition("=")
    if not label or not version.isdecimal():
        raise ValueError(
            f"--label must be [MODEL:]LABEL=VERSION, such as stable=3; received {text}."
        )
    return label, int(version)
