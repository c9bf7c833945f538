"""`keras-transformer server-config`."""

import argparse

from keras_transformer.cli.library import library

EXAMPLE = """
  keras-transformer server-config saved_models --threads 4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="the folder of all models, as saved_models")
    parser.add_argument(
        "--max-batch-size", type=int, default=32, help="most rows of a batch (32)"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="processors that the server may use (2)"
    )
    parser.add_argument("--xla", action="store_true", help="for the _xla signatures")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="let other machines reach the ports; there is no authentication",
    )
    parser.add_argument("--image", help="the server's image")
    parser.add_argument("--memory", type=float, help="limit in gigabytes")
    parser.add_argument(
        "--rest-threads", type=int, default=64, help="requests by REST at a time (64)"
    )


def run(options: argparse.Namespace) -> None:
    library()
    from keras_transformer.serving import write_server_config

    image = {} if options.image is None else {"image": options.image}
    names = write_server_config(
        options.folder,
        options.max_batch_size,
        options.threads,
        xla=options.xla,
        publish=options.publish,
        memory=options.memory,
        rest_threads=options.rest_threads,
        **image,
    )
    print(f"{options.folder}: configuration for {', '.join(names)}")
