"""The command line: demo, train, translate, evaluate, export, doctor and more."""

import argparse
import dataclasses
import json
import os
import pathlib
import sys


def main(arguments=None):
    """Runs `keras-transformer`.

    Errors of use end it with a message and code 2, a loss that isn't finite with
    code 1, a training that a scheduler stopped and that can go on with code 75.
    """
    # TensorFlow's own notes on the machine; set the variable to 0 to see them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        print(f"keras-transformer: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except FloatingPointError as error:
        print(f"keras-transformer: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _parser():
    parser = argparse.ArgumentParser(
        "keras-transformer",
        description='The Transformer of "Attention Is All You Need": text to server.',
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = _command(commands, "demo", _demo, "learn to read dates; needs no data")
    demo.add_argument("--folder", default="runs/dates", help="the run's folder")
    demo.add_argument("--export", default="saved_models/dates", help="SavedModel")

    train = _command(commands, "train", _train, "train on parallel text, or go on")
    train.add_argument("folder", help="the run's folder")
    train.add_argument("source", nargs="?", help="source sentences, a TSV or tfds:...")
    train.add_argument("target", nargs="?", help="target sentences")
    train.add_argument("--valid-source", help="held-out sources, or a TSV")
    train.add_argument("--valid-target", help="held-out targets")
    train.add_argument("--preset", help="tiny, mini, small, base or big")
    train.add_argument(
        "--model", type=json.loads, help="arguments over the preset's, as JSON"
    )
    train.add_argument("--vocabulary-size", type=int)
    train.add_argument(
        "--separate-vocabularies",
        dest="joint_vocabulary",
        action="store_false",
        default=None,
    )
    train.add_argument(
        "--tokenizer", type=json.loads, help="arguments of train_tokenizer, as JSON"
    )
    for name, kind in (
        ("tokens-per-batch", int),
        ("max-length", int),
        ("steps", int),
        ("steps-per-epoch", int),
        ("peak-learning-rate", float),
        ("warmup-steps", int),
        ("label-smoothing", float),
        ("average-last", int),
        ("accumulation-steps", int),
        ("clip-norm", float),
        ("skip-nonfinite", int),
        ("bleu-sentences", int),
        ("seed", int),
    ):
        train.add_argument(f"--{name}", type=kind)
    train.add_argument("--strategy", help="auto, one-device, mirrored ...")
    train.add_argument("--verbose", type=int, default=1, choices=(0, 1, 2))

    translate = _command(
        commands, "translate", _translate, "translate texts, or lines of input"
    )
    translate.add_argument("folder", help="a run or a saved translator")
    translate.add_argument("texts", nargs="*", help="texts; standard input if none")
    _search_options(translate)

    evaluate = _command(commands, "evaluate", _evaluate, "score by BLEU")
    evaluate.add_argument("folder", help="a run or a saved translator")
    evaluate.add_argument("source", help="source sentences, or a TSV")
    evaluate.add_argument("target", nargs="?", help="references")
    _search_options(evaluate)

    export = _command(commands, "export", _export, "write a SavedModel for TF Serving")
    export.add_argument("folder", help="a run or a saved translator")
    export.add_argument("to", help="the model's folder; versions go inside")
    export.add_argument(
        "--weights",
        default="float32",
        help="or bfloat16, int8; with AVX-512 bfloat16_packed, int8_products",
    )
    export.add_argument(
        "--signature",
        dest="signatures",
        action="append",
        help="one to write beside serving_default, all by default; may be repeated",
    )
    export.add_argument(
        "--xla-bucket",
        dest="xla_buckets",
        type=_bucket,
        action="append",
        default=[],
        metavar="BATCHxLENGTH",
        help="adds signatures compiled by XLA for this shape; may be repeated",
    )
    export.add_argument(
        "--parallel-searches",
        type=int,
        default=1,
        help="share a batch out to so many searches, for as many inter-op threads",
    )
    _search_options(export)

    doctor = _command(
        commands, "doctor", _doctor, "say what would stop a SavedModel in TF Serving"
    )
    doctor.add_argument("folder", help="a SavedModel, or the folder of its versions")

    server = _command(
        commands, "server-config", _server_config, "write TF Serving's configuration"
    )
    server.add_argument("folder", help="the folder of all models, as saved_models")
    server.add_argument("--max-batch-size", type=int, default=32)
    server.add_argument("--threads", type=int, default=2)
    server.add_argument("--xla", action="store_true", help="for the _xla signatures")

    plot = _command(commands, "plot", _plot, "draw positions, attention or training")
    plot.add_argument(
        "what",
        choices=("positions", "curves", "distances", "attention", "training"),
        help="positions, curves and distances are of position encodings",
    )
    plot.add_argument("folder", nargs="?", help="a run, for attention and training")
    plot.add_argument("text", nargs="?", help="the source, for attention")
    plot.add_argument("--to", required=True, help="picture to write: .png, .svg, .pdf")
    return parser


def _command(commands, name, run, summary):
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    return parser


def _search_options(parser):
    parser.add_argument("--beam-size", type=int, help="4, or the model's own")
    parser.add_argument("--length-penalty", type=float, help="0.6, or the model's own")
    parser.add_argument("--max-length", type=int, help="source + 50, or the model's")


def _search(options):
    names = ("beam_size", "length_penalty", "max_length")
    return {name: getattr(options, name) for name in names}


def _load(folder):
    from keras_transformer.translator import Translator

    inside = pathlib.Path(folder) / "translator"
    return Translator.load(inside if inside.exists() else folder)


def _demo(options):
    from keras_transformer.demo import run_demo

    run_demo(options.folder, options.export)


def _train(options):
    from keras_transformer.run import RunConfig, train
    from keras_transformer.training import Interrupted

    path = pathlib.Path(options.folder) / "config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    for field in dataclasses.fields(RunConfig):
        value = getattr(options, field.name)
        if value is not None:
            config[field.name] = value
    if "source" not in config:
        raise ValueError(
            f"source is needed to start a run: keras-transformer train "
            f"{options.folder} SOURCE TARGET"
        )
    try:
        train(RunConfig(**config), options.folder, verbose=options.verbose)
    except Interrupted as stop:
        print(f"keras-transformer: {stop}", file=sys.stderr)
        raise


def _translate(options):
    texts = options.texts or [line.rstrip("\n") for line in sys.stdin]
    for answer in _load(options.folder).translate(texts, **_search(options)):
        # A line for each answer, even if the model wrote line breaks.
        print(*answer.splitlines())


def _evaluate(options):
    from keras_transformer.evaluation import bleu, exact_match
    from keras_transformer.text import read_pairs

    sources, references = map(list, zip(*read_pairs(options.source, options.target)))
    translator = _load(options.folder)
    answers = translator.translate(sources, verbose=1, **_search(options))
    score, signature = bleu(answers, references)
    print(f"BLEU {score:.2f}  {signature}")
    print(f"exact match {exact_match(answers, references):.2%}")


def _export(options):
    from keras_transformer.serving import export_saved_model, loading_seconds

    try:
        path = export_saved_model(
            _load(options.folder),
            options.to,
            weights=options.weights,
            signatures=options.signatures,
            xla_buckets=options.xla_buckets,
            parallel_searches=options.parallel_searches,
            verify=True,
            **_search(options),
        )
    except RuntimeError as error:
        # A machine that can't multiply these weights, or other answers.
        raise SystemExit(f"keras-transformer: {error}") from None
    print(f"{path}: a process of its own gives the same answers")
    model, warmup = loading_seconds(path)
    print(f"Loading takes {model:.1f} s here, and the warm-up {warmup:.1f} s.")


def _bucket(text):
    try:
        batch_size, source_length = map(int, text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be BATCHxLENGTH, such as 8x32; received {text!r}"
        ) from None
    return batch_size, source_length


def _doctor(options):
    from keras_transformer.serving import diagnose

    problems = diagnose(options.folder)
    for problem in problems:
        print(f"- {problem}")
    if problems:
        raise SystemExit(1)
    print("Nothing that would stop it.")


def _server_config(options):
    from keras_transformer.serving import write_server_config

    names = write_server_config(
        options.folder, options.max_batch_size, options.threads, options.xla
    )
    print(f"{options.folder}: configuration for {', '.join(names)}")


def _plot(options):
    from keras_transformer import plotting

    positions = {
        "positions": plotting.plot_position_encoding,
        "curves": plotting.plot_position_curves,
        "distances": plotting.plot_position_distances,
    }
    if options.what in positions:
        figure = positions[options.what]()
    elif options.folder is None:
        raise ValueError(f"folder is needed to plot {options.what}.")
    elif options.what == "training":
        figure = plotting.plot_training(pathlib.Path(options.folder) / "metrics.csv")
    elif options.text is None:
        raise ValueError("text is needed to plot attention.")
    else:
        figure = plotting.plot_attention(_load(options.folder), options.text)
    figure.savefig(options.to)
    print(options.to)
