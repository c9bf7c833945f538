"""Names of the distribution strategies."""

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
