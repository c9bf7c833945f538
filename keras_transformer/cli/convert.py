"""`keras-transformer convert`."""

import argparse

from keras_transformer.cli.translators import HELP, load_translator

EXAMPLE = """
  keras-transformer convert Helsinki-NLP/opus-mt-en-de en-de
  keras-transformer convert runs/en-de marian/en-de --format marian
  keras-transformer convert runs/en-de ct2/en-de --format ctranslate2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help=HELP)
    parser.add_argument("to", help="the folder to write")
    parser.add_argument(
        "--format",
        choices=("keras", "marian", "ctranslate2"),
        default="keras",
        help="keras, what kt.Translator.load reads; marian, for Hugging Face's "
        "Transformers; or ctranslate2 (keras)",
    )
    parser.add_argument(
        "--quantization",
        metavar="TYPE",
        help="with ctranslate2: int8, bfloat16 or another of its types",
    )


def run(options: argparse.Namespace) -> None:
    if options.quantization is not None and options.format != "ctranslate2":
        raise ValueError(
            "--quantization is for --format ctranslate2; received "
            f"--format {options.format}."
        )
    translator = load_translator(options.folder)
    from keras_transformer.interop import save_ctranslate2, save_marian

    if options.format == "ctranslate2":
        save_ctranslate2(translator, options.to, quantization=options.quantization)
    elif options.format == "marian":
        save_marian(translator, options.to)
    else:
        translator.save(options.to)
    print(options.to)
