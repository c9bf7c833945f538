"""The processes of a distributed training, as the variable TF_CONFIG names them."""

import json
import os

NO_WORKERS = (
    'strategy="multi_worker" needs the variable TF_CONFIG, which names all workers and '
    "this one, or a start by Slurm's srun; for all devices of one machine use "
    '"mirrored".'
)


def read_tf_config():
    """The addresses of all workers, the chief first, and the index of this one.

    Raises:
        ValueError: If TF_CONFIG doesn't name them; its form is in the message.
    """
    value = os.environ["TF_CONFIG"]
    try:
        config = json.loads(value)
        chiefs = config["cluster"].get("chief", [])
        workers = [*chiefs, *config["cluster"].get("worker", [])]
        kind, index = config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _malformed(value) from None
    if kind == "worker":
        index += len(chiefs)
    if kind not in ("chief", "worker") or not 0 <= index < len(workers):
        raise _malformed(value)
    return workers, index


def _malformed(value):
    return ValueError(
        'strategy="multi_worker" needs a TF_CONFIG such as {"cluster": {"worker": '
        '["10.0.0.1:12345", "10.0.0.2:12345"]}, "task": {"type": "worker", "index": '
        f"0}}}}, whose task is one of the workers; received TF_CONFIG={value!r}."
    )
