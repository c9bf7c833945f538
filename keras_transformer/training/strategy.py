"""Distribution strategies by name."""

from keras_transformer.training.multi_worker import multi_worker_strategy

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def get_strategy(name="auto"):
    """The `tf.distribute` strategy to build and compile a model under.

    Args:
        name: `"one_device"`; `"mirrored"`, all devices of this machine;
            `"multi_worker"`, the cluster that the variable TF_CONFIG describes;
            `"tpu"`; or `"auto"`, mirrored where there are several GPUs and one device
            otherwise.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: For an unknown name.

    Example:

    >>> with kt.training.get_strategy("mirrored").scope():
    ...     model = kt.Transformer.from_preset("base", 37_000)
    ...     model.compile("adam", kt.training.MaskedCrossentropy())
    """
    import tensorflow as tf

    if name not in STRATEGIES:
        raise ValueError(
            f"The strategy must be one of {STRATEGIES}; received {name!r}."
        )
    if name == "auto":
        gpus = tf.config.list_logical_devices("GPU")
        name = "mirrored" if len(gpus) > 1 else "one_device"
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU")
        devices = devices or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi_worker":
        return multi_worker_strategy()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    return tf.distribute.get_strategy()
