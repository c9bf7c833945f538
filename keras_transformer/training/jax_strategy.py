"""Data parallelism on JAX, in the form of a `tf.distribute` strategy."""

import contextlib
import os
import types

import keras

from keras_transformer.training.workers import NO_WORKERS, read_tf_config


class JaxStrategy:
    """What a script asks of a `tf.distribute.Strategy`, answered by JAX.

    Args:
        distribution: A `keras.distribution.DataParallel`, or None for one device.
        num_replicas_in_sync: Number of devices of all processes.
    """

    def __init__(self, distribution=None, num_replicas_in_sync=1):
        import jax

        self._distribution = distribution
        self.num_replicas_in_sync = num_replicas_in_sync
        self.process = jax.process_index(), jax.process_count()
        chief = jax.process_index() == 0
        self.extended = types.SimpleNamespace(should_checkpoint=chief)

    @contextlib.contextmanager
    def scope(self):
        """Turns the distribution on, also for what comes after the scope."""
        keras.distribution.set_distribution(self._distribution)
        yield

    def wait_for_all(self):
        """Returns when all processes have called it."""
        if self.process[1] > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("wait_for_all")


def jax_strategy(name):
    """The strategy of `kt.training.get_strategy` on JAX."""
    import jax

    if name == "multi_worker":
        _join_processes()
    devices = jax.devices()
    if name == "auto":
        gpus = devices[0].platform == "gpu" and len(devices) > 1
        name = "mirrored" if gpus else "one_device"
    if name == "tpu" and devices[0].platform != "tpu":
        raise ValueError(
            'strategy="tpu" needs a TPU; JAX finds only devices of the platform '
            f'{devices[0].platform!r}. For all of them use "mirrored".'
        )
    if name == "one_device":
        return JaxStrategy()
    # Each process brings its own rows: see `make_batches`.
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    return JaxStrategy(distribution, len(devices))


def _join_processes():
    import jax

    if jax.distributed.is_initialized():
        return
    # For CPUs; GPUs have their own.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if "TF_CONFIG" not in os.environ:
        # Finds Slurm, Open MPI, Kubernetes and TPU pods.
        try:
            jax.distributed.initialize()
        except ValueError as error:
            raise ValueError(f"{NO_WORKERS} JAX says: {error}") from None
        return
    workers, index = read_tf_config()
    jax.distributed.initialize(workers[0], len(workers), index)
