"""Distribution strategies by name, on every backend."""

import contextlib
import difflib
import types

import keras

from keras_transformer.training.strategy_names import STRATEGIES


def get_strategy(name="auto"):
    """The distribution strategy to build and compile a model under.

    On TensorFlow it is one of `tf.distribute`. On JAX it stands for
    `keras.distribution.DataParallel`, which entering its scope turns on for the whole
    program. On PyTorch there is one device. The script around it is the same.

    Args:
        name: `"one_device"`; `"mirrored"`, all devices of this machine;
            `"multi_worker"`, the processes that the variable TF_CONFIG describes, or
            Slurm started (on JAX also what `jax.distributed.initialize` finds);
            `"tpu"`; or `"auto"`, mirrored where there are several GPUs and one device
            otherwise.

    Returns:
        A `tf.distribute.Strategy`, or on other backends an object with its `scope()`
        and `num_replicas_in_sync`.

    Raises:
        ValueError: For an unknown name, one that the backend doesn't have, `"tpu"`
            where there is none, or `"multi_worker"` where nothing describes the
            processes.

    Example:

    >>> with kt.training.get_strategy("mirrored").scope():
    ...     model = kt.Transformer.from_preset("base", 37_000)
    ...     model.compile("adam", kt.training.MaskedCrossentropy())
    """
    _check_name(name)
    backend = keras.backend.backend()
    if backend == "jax":
        from keras_transformer.training.jax_strategy import jax_strategy

        return jax_strategy(name)
    if backend != "tensorflow":
        return _one_device_of(backend, name)
    import tensorflow as tf

    if name == "auto":
        gpus = tf.config.list_logical_devices("GPU")
        name = "mirrored" if len(gpus) > 1 else "one_device"
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU")
        devices = devices or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi_worker":
        from keras_transformer.training.multi_worker import multi_worker_strategy

        return multi_worker_strategy()
    if name == "tpu":
        return _tpu_strategy()
    return tf.distribute.get_strategy()


class OneDeviceStrategy:
    """What a script asks of a `tf.distribute.Strategy`, for one device."""

    num_replicas_in_sync = 1
    extended = types.SimpleNamespace(should_checkpoint=True)

    def scope(self):
        """A scope that changes nothing."""
        return contextlib.nullcontext()


def _check_name(name):
    if name in STRATEGIES:
        return
    meant = difflib.get_close_matches(str(name).lower().replace("-", "_"), STRATEGIES)
    hint = f' Did you mean "{meant[0]}"?' if meant else ""
    names = ", ".join(f'"{known}"' for known in STRATEGIES)
    raise ValueError(f"strategy must be one of {names}; received {name!r}.{hint}")


def _one_device_of(backend, name):
    if name not in ("auto", "one_device"):
        raise ValueError(
            f'On the backend {backend} strategy must be "auto" or "one_device"; '
            f"received {name!r}. TensorFlow and JAX use several devices: set the "
            "variable KERAS_BACKEND to one of them."
        )
    return OneDeviceStrategy()


def _tpu_strategy():
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
    except ValueError as error:
        raise ValueError(
            f'strategy="tpu" needs a TPU, and TensorFlow finds none: {error} For all '
            'devices of this machine use "mirrored".'
        ) from None
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)


def is_chief(strategy):
    """Whether this process is the one of all workers that writes files and reports."""
    return strategy.extended.should_checkpoint


def wait_for_all(strategy):
    """Returns when all workers have called it."""
    if hasattr(strategy, "wait_for_all"):
        strategy.wait_for_all()
    elif strategy.num_replicas_in_sync > 1:
        import tensorflow as tf

        @tf.function
        def meet():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))

        strategy.run(meet)


def sum_over_replicas(values):
    """In a replica's step: tensors of the global batch from those of its own part."""
    if keras.backend.backend() != "tensorflow":
        # Other backends see the global batch.
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


@contextlib.contextmanager
def alone():
    """A scope for what one process does without the others, such as saving a model.

    Keras makes variables when it saves. Under a distribution of several processes on
    JAX all of them would have to make them.
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)
