"""Ready configuration of a stock TF Serving."""

import pathlib

_BATCHING = """\
# Requests that arrive within 5 ms are answered together.
max_batch_size {{ value: {max_batch_size} }}
batch_timeout_micros {{ value: 5000 }}
num_batch_threads {{ value: {threads} }}
max_enqueued_batches {{ value: 100 }}
# token_ids: rows of unequal length; their lengths come beside them.
pad_variable_length_inputs: true
"""

_COMPOSE = """\
# docker compose up: gRPC on port 8500, REST on port 8501.
services:
  translate:
    image: tensorflow/serving:2.21.0
    command:
      - --model_config_file=/models/models.config
      - --model_config_file_poll_wait_seconds=60
      - --enable_batching=true
      - --batching_parameters_file=/models/batching.config
      # {reason}
      - --tensorflow_intra_op_parallelism={intra_op}
      - --tensorflow_inter_op_parallelism={threads}{xla}
    entrypoint:
      - /usr/bin/tensorflow_model_server
      - --port=8500
      - --rest_api_port=8501
    ports: ["8500:8500", "8501:8501"]
    volumes: [".:/models:ro"]
"""


def write_server_config(folder, max_batch_size=32, threads=2, xla=False):
    """Writes `models.config`, `batching.config` and `docker-compose.yml`.

    All models in the folder are served; run `docker compose up` there.

    Args:
        folder: Folder of model folders, such as `saved_models`.
        max_batch_size: Most sentences that the server answers together.
        threads: Number of operations that the server runs at a time, each in a thread
            of its own; where exports have `parallel_searches`, the same number.
        xla: Whether the server compiles with XLA, for the `_xla` signatures. Operations
            then share that number of threads: compiled searches would wait for each
            other in a single one.

    Returns:
        The names of the models.

    Raises:
        ValueError: If the folder holds no exported model.

    Example:

    >>> kt.serving.write_server_config("saved_models")
    ['en-de']
    """
    folder = pathlib.Path(folder)
    names = sorted(
        {path.parents[1].name for path in folder.glob("*/[0-9]*/saved_model.pb")}
    )
    if not names:
        raise ValueError(
            f"folder={str(folder)!r} holds no exported model: no NAME/1/saved_model.pb."
        )
    models = "".join(
        f"  config {{\n    name: '{name}'\n    base_path: '/models/{name}'\n"
        "    model_platform: 'tensorflow'\n  }\n"
        for name in names
    )
    (folder / "models.config").write_text(f"model_config_list {{\n{models}}}\n")
    (folder / "batching.config").write_text(
        _BATCHING.format(max_batch_size=max_batch_size, threads=threads)
    )
    intra_op, flag = 1, ""
    reason = "Operations of a search are small: one thread each, several at a time."
    if xla:
        intra_op, flag = threads, "\n      - --xla_cpu_compilation_enabled=true"
        reason = "Compiled searches run side by side if there is a thread for each."
    (folder / "docker-compose.yml").write_text(
        _COMPOSE.format(threads=threads, xla=flag, intra_op=intra_op, reason=reason)
    )
    return names
