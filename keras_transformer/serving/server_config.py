"""Ready configuration of a stock TF Serving: Docker's and Kubernetes's."""

import json
import math
import numbers
import os
import pathlib
import re
import textwrap

from keras_transformer import arguments
from keras_transformer.serving.checks.finding import FAILS, STOPS
from keras_transformer.serving.checks.folders import (
    find_version,
    read_version,
    version_number,
)
from keras_transformer.serving.checks.request import request_rows
from keras_transformer.serving.checks.stored import check_variables
from keras_transformer.serving.doctor import diagnose
from keras_transformer.serving.server_files import (
    BATCHING,
    COMPOSE,
    FLAGS,
    HEALTH,
    KUBERNETES,
    MONITORING,
)
from keras_transformer.serving.warmup import read_logs

# The newest whose image is known to exist. It loads what TensorFlow 2.21 exports.
IMAGE = "tensorflow/serving:2.20.0"
# What the server takes without any model.
_LEAST_GIGABYTES = 0.5
# [HOST[:PORT]/]NAME[/NAME][:TAG][@DIGEST], as Docker reads it.
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?(?:@[a-z0-9+.-]+:[0-9a-fA-F]{32,})?"
)
_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"


def write_server_config(
    folder: str | os.PathLike,
    max_batch_size: int = 32,
    threads: int = 2,
    *,
    xla: bool = False,
    publish: bool = False,
    image: str = IMAGE,
    memory: float | None = None,
    rest_threads: int = 64,
) -> list[str]:
    """Writes the files that a stock TF Serving needs to serve all models of a folder.

    `models.config`, `batching.config` and `monitoring.config` are the server's own;
    `docker-compose.yml` is for `docker compose up` there, `kubernetes.yaml` for more
    than one server. Each flag has its reason beside it.

    Args:
        folder: Folder of model folders, such as `saved_models`.
        max_batch_size: Most sentences that the server answers together.
        threads: Number of operations that the server runs at a time, each in a thread
            of its own; where exports have `parallel_searches`, the same number.
        xla: Whether the server compiles with XLA, for the `_xla` signatures. Operations
            then share that number of threads: compiled searches would wait for each
            other in a single one.
        publish: Whether other machines may reach the server's ports: it has no
            authentication, so that by default only this one can.
        image: The server's image.
        memory: Limit in gigabytes, at least 0.5, which the server takes without a
            model; by default estimated from the models.
        rest_threads: Number of requests by REST that are answered at a time. The server
            joins no more texts than that.

    Returns:
        The names of the models.

    Raises:
        ValueError: If the folder holds no exported model, or one that a server with
            these settings couldn't load or answer from; see `diagnose`.

    Example:

    >>> kt.serving.write_server_config("saved_models")
    ['en-de']
    """
    for name, value in (
        ("max_batch_size", max_batch_size),
        ("threads", threads),
        ("rest_threads", rest_threads),
    ):
        arguments.integer(name, value)
    for name, value in (("xla", xla), ("publish", publish)):
        arguments.flag(name, value)
    _check_memory(memory)
    if not (isinstance(image, str) and re.fullmatch(_IMAGE, image)):
        raise ValueError(
            f"image must be an image's name, such as {IMAGE!r}; received {image!r}."
        )
    folder = pathlib.Path(folder)
    names = _models(folder)
    for name in names:
        _check_model(folder / name, max_batch_size, xla)
    if memory is None:
        memory = _estimated_gigabytes([folder / name for name in names])
    files = _files(
        names, max_batch_size, threads, xla, publish, image, memory, rest_threads
    )
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return names


def _check_memory(memory):
    is_number = isinstance(memory, numbers.Real) and not isinstance(memory, bool)
    if memory is not None and not (is_number and _LEAST_GIGABYTES <= memory < math.inf):
        raise ValueError(
            f"memory must be a number of gigabytes, at least {_LEAST_GIGABYTES}; "
            f"received {memory!r}."
        )


def _models(folder):
    """Names of the folders that hold a SavedModel or a part of one."""
    patterns = ("*/saved_model.pb", "*/*/saved_model.pb", "*/*/variables")
    found = (path for pattern in patterns for path in folder.glob(pattern))
    names = {path.relative_to(folder).parts[0] for path in found}
    names = sorted(names | set(_unreadable_names(folder)))
    if not names:
        raise ValueError(
            f"folder={str(folder)!r} holds no exported model: no NAME/1/saved_model.pb."
        )
    numbers = [name for name in names if version_number(name) is not None]
    if numbers:
        raise ValueError(
            f"folder={str(folder)!r} holds versions of a model, {', '.join(numbers)}; "
            f"give the folder of all models, such as {str(folder.absolute().parent)!r}."
        )
    for name in names:
        if not re.fullmatch(_NAME, name):
            raise ValueError(
                f"A model's name is part of its address, so it must be of letters, "
                f"digits, '.', '_' and '-'; received {name!r}. Rename its folder."
            )
    return names


def _unreadable_names(folder):
    """Names of folders that may hold a model, which this user can't look into."""
    for path in folder.glob("*"):
        if re.fullmatch(_NAME, path.name) and path.is_dir():
            try:
                for version in path.iterdir():
                    if version_number(version.name) is not None:
                        (version / "saved_model.pb").exists()
            except PermissionError:
                yield path.name


def _check_model(path, max_batch_size, xla):
    """Raises a ValueError if a server with these settings can't serve the model."""
    folder, _ = find_version(path)
    if folder:
        _check_links(path, folder)
    version = read_version(folder)[0] if folder else None
    compiled = version.xla_signatures if version else []
    if compiled and not xla:
        raise ValueError(
            f"{path} has signatures that XLA must compile, {', '.join(compiled)}, and "
            "a server without XLA fails their requests. Give xla=True (--xla), or "
            "export the model without xla_buckets (--xla-bucket)."
        )
    # With XLA, a warm-up may ask what it compiles.
    stops = [
        finding
        for finding in diagnose(path)
        if finding.severity == STOPS and not (xla and "XLA must compile" in finding)
    ]
    # Without its variables a model is loaded, and fails each request.
    fails = check_variables(version) if version and not stops else ()
    stops += [finding for finding in fails if finding.severity == FAILS]
    if stops:
        raise ValueError(f"A server can't serve {path}: {' '.join(stops)}")
    for log in read_logs(version.path):
        for value in log.predict_log.request.inputs.values():
            rows = request_rows(value) or 0
            if rows > max_batch_size:
                raise ValueError(
                    f"max_batch_size must be at least {rows}, the rows of a request in "
                    f"the warm-up of {version.path}, which can't be loaded otherwise; "
                    f"received max_batch_size={max_batch_size}."
                )


def _check_links(path, version):
    """Raises a ValueError for links that lead nowhere in the server's container."""
    root = path.parent.resolve()
    for file in (path, version, *version.rglob("*")):
        if file.is_symlink() and (
            os.path.isabs(os.readlink(file)) or not file.resolve().is_relative_to(root)
        ):
            raise ValueError(
                f"{file} is a link to {os.readlink(file)}, but the server's container "
                f"has nothing but {path.parent}: copy what it links to in its place, "
                "or link to a relative path in there."
            )


def _estimated_gigabytes(models):
    """The server alone, and for each model its graph and copies of its weights.

    One of them counts twice: a new version is loaded beside the old one.
    """
    sizes = []
    for model in models:
        version, _ = find_version(model)
        files = (path for path in version.rglob("*") if path.is_file())
        sizes.append(1.0 + 4 * sum(path.stat().st_size for path in files) / 2**30)
    return round(1.0 + sum(sizes) + max(sizes), 1)


def _files(names, max_batch_size, threads, xla, publish, image, memory, rest_threads):
    models = "".join(
        f"  config {{\n    name: '{name}'\n    base_path: '/models/{name}'\n"
        "    model_platform: 'tensorflow'\n  }\n"
        for name in names
    )
    configs = {
        "models.config": f"model_config_list {{\n{models}}}\n",
        "batching.config": BATCHING.format(
            max_batch_size=max_batch_size, threads=threads
        ),
        "monitoring.config": MONITORING,
    }
    intra_op, flag = 1, ""
    reason = "Operations of a search are small: one thread each, several at a time."
    if xla:
        intra_op = threads
        flag = "# For the _xla signatures.\n- --xla_cpu_compilation_enabled=true\n"
        reason = "Compiled searches run side by side if there is a thread for each."
    values = {
        "image": image,
        "megabytes": int(memory * 1024),
        "threads": threads,
        "first": names[0],
    }

    def flags(indent, configured_in):
        text = FLAGS.format(
            configs=configured_in,
            rest_threads=rest_threads,
            reason=reason,
            intra_op=intra_op,
            threads=threads,
        )
        return textwrap.indent(text + flag, " " * indent).rstrip()

    health = HEALTH.replace("MODELS", " ".join(names)).replace("$", "$$")
    address = "" if publish else "127.0.0.1:"
    compose = COMPOSE.format(
        flags=flags(6, "/models"), health=json.dumps(health), address=address, **values
    )
    data = "".join(
        f"  {name}: |\n{textwrap.indent(text, '    ')}"
        for name, text in configs.items()
    )
    kubernetes = KUBERNETES.format(flags=flags(12, "/config"), data=data, **values)
    return {**configs, "docker-compose.yml": compose, "kubernetes.yaml": kubernetes}
