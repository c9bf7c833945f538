"""The command line: demo, train, translate, evaluate, export, doctor and more."""

import argparse
import dataclasses
import json
import os
import pathlib
import sys

from keras_transformer.files import whole
from keras_transformer.models.presets import PRESETS
from keras_transformer.training import Interrupted
from keras_transformer.training.strategy import STRATEGIES
from keras_transformer.web import command


def main(arguments=None):
    """Runs `keras-transformer`.

    Errors of use end it with a line and code 2, a loss that isn't finite with code 1, a
    training that a scheduler stopped and that can go on with code 75, Ctrl-C with 130.
    """
    # TensorFlow's own notes on the machine; set the variable to 0 to see them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A locale that lacks a character costs the character, not the program.
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, ImportError) as error:
        _end(error, 2)
    except FloatingPointError as error:
        _end(error, 1)
    except Interrupted as stop:
        _end(stop, stop.code)
    except KeyboardInterrupt:
        trains = options.run in (_train, _demo)
        again = "The same command goes on." if trains else ""
        _end(f"Stopped by Ctrl-C. {again}", 130)


def _end(message, code):
    """Ends the program with one line."""
    lines = map(str.strip, str(message).splitlines())
    print("keras-transformer:", *filter(None, lines), file=sys.stderr)
    raise SystemExit(code) from None


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def _parser():
    parser = _Parser(
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
    train.add_argument("--preset", choices=sorted(PRESETS), help="the model's size")
    train.add_argument(
        "--model",
        type=_json_object,
        metavar="JSON",
        help="arguments over the preset's, such as '{\"dropout\": 0.3}'",
    )
    train.add_argument("--vocabulary-size", type=int)
    train.add_argument(
        "--separate-vocabularies",
        dest="joint_vocabulary",
        action="store_false",
        default=None,
    )
    train.add_argument(
        "--tokenizer",
        type=_json_object,
        metavar="JSON",
        help="arguments of train_tokenizer, such as '{\"split_digits\": true}'",
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
    train.add_argument("--strategy", choices=STRATEGIES, help="which devices to use")
    train.add_argument("--verbose", type=int, default=1, choices=(0, 1, 2))

    translate = _command(
        commands, "translate", _translate, "translate texts, or lines of input"
    )
    translate.add_argument("folder", help="a run or a saved translator")
    translate.add_argument("texts", nargs="*", help="texts; standard input if none")
    translate.add_argument(
        "--document",
        metavar="FILE",
        help="text file to translate as a whole, white space kept; - is standard input",
    )
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
    export.add_argument(
        "--xla-warmup",
        action="store_true",
        help="warm these up too: a server without XLA won't load the model then",
    )
    export.add_argument(
        "--keep", type=int, help="delete all versions but the newest so many"
    )
    _search_options(export)

    doctor = _command(
        commands, "doctor", _doctor, "say what would stop a SavedModel in TF Serving"
    )
    doctor.add_argument("folder", help="a SavedModel, or the folder of its versions")
    doctor.add_argument(
        "--load",
        action="store_true",
        help="load it in a process of its own, and ask each signature",
    )

    server = _command(
        commands, "server-config", _server_config, "write TF Serving's configuration"
    )
    server.add_argument("folder", help="the folder of all models, as saved_models")
    server.add_argument("--max-batch-size", type=int, default=32)
    server.add_argument("--threads", type=int, default=2)
    server.add_argument("--xla", action="store_true", help="for the _xla signatures")
    server.add_argument(
        "--publish",
        action="store_true",
        help="let other machines reach the ports; there is no authentication",
    )
    server.add_argument("--image", help="the server's image")
    server.add_argument("--memory", type=float, help="limit in gigabytes")
    server.add_argument(
        "--rest-threads", type=int, default=64, help="requests by REST at a time"
    )

    serve = _command(commands, "serve", command.run, command.SUMMARY)
    command.add_arguments(serve)

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


def _json_object(text):
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}; received {text}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object; received {text}")
    return value


def _load(folder):
    from keras_transformer.tasks.translator import Translator

    inside = whole(pathlib.Path(folder) / "translator")
    if inside.exists():
        return Translator.load(inside)
    if list(pathlib.Path(folder).glob("checkpoints/step-*.keras")):
        raise FileNotFoundError(
            f"folder={folder!r} is a run that hasn't ended, so it has no translator "
            f"yet: keras-transformer train {folder} goes on with it."
        )
    return Translator.load(folder)


def _demo(options):
    from keras_transformer.demo import run_demo

    run_demo(options.folder, options.export)


def _train(options):
    from keras_transformer.run import RunConfig, train
    from keras_transformer.run.folder import has_checkpoint, read_config

    folder = pathlib.Path(options.folder)
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(RunConfig)
        if getattr(options, field.name) is not None
    }
    # Without a checkpoint nothing of an earlier start counts, unless its texts are
    # asked for by giving none.
    if has_checkpoint(folder) or "source" not in given:
        if not (folder / "config.json").exists() and "source" not in given:
            raise ValueError(
                "source is needed to start a run: keras-transformer train "
                f"{options.folder} SOURCE TARGET"
            )
        given = {**dataclasses.asdict(read_config(folder)), **given}
    try:
        config = RunConfig(**given)
    except TypeError as error:
        raise ValueError(str(error)) from None
    train(config, folder, verbose=options.verbose)


def _translate(options):
    from keras_transformer.text import read_lines

    if options.document is not None:
        return _translate_document(options)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    texts = options.texts or list(read_lines(_standard_input()))
    if not texts:
        raise ValueError("standard input is empty: it holds no text to translate.")
    for answer in _load(options.folder).translate(texts, **_search(options)):
        # A line for each answer, even if the model wrote line breaks.
        print(*answer.splitlines())


def _translate_document(options):
    if options.texts:
        raise ValueError(
            "texts and --document exclude each other; received both, "
            f"--document {options.document} and {len(options.texts)} texts."
        )
    document = options.document
    data = (
        _standard_input().read()
        if document == "-"
        else pathlib.Path(document).read_bytes()
    )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--document {document} must be UTF-8; received {error.reason} at byte "
            f"{error.start + 1}."
        ) from None
    answer = _load(options.folder).translate(text, split=True, **_search(options))
    # As bytes, so that line ends stay what they are on every system.
    sys.stdout.buffer.write(answer.encode("utf-8"))
    sys.stdout.flush()


def _standard_input():
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError(
            "standard input is closed; give texts as arguments, or pipe lines to it."
        )
    return sys.stdin.buffer


def _evaluate(options):
    from keras_transformer.evaluation import bleu, exact_match
    from keras_transformer.text import read_pairs

    pairs = list(read_pairs(options.source, options.target))
    if not pairs:
        raise ValueError(f"source={options.source!r} is empty: it holds no pair.")
    sources, references = map(list, zip(*pairs))
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
            xla_warmup=options.xla_warmup,
            keep=options.keep,
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
    from keras_transformer.serving.doctor import diagnose, serving_notes

    findings = diagnose(options.folder, load=options.load)
    for finding in findings:
        print(f"- {finding.severity}: {finding}")
    for note in serving_notes(options.folder):
        print(f"note: {note}", file=sys.stderr)
    if any(finding.severity != "advice" for finding in findings):
        raise SystemExit(1)
    print("Nothing that would stop it.")


def _server_config(options):
    from keras_transformer.serving import write_server_config

    image = {"image": options.image} if options.image else {}
    names = write_server_config(
        options.folder,
        options.max_batch_size,
        options.threads,
        options.xla,
        publish=options.publish,
        memory=options.memory,
        rest_threads=options.rest_threads,
        **image,
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
