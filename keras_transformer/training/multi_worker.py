"""`MultiWorkerMirroredStrategy` that works with Keras 3's `model.fit`."""

import os

from keras_transformer.training.workers import NO_WORKERS, read_tf_config


def multi_worker_strategy():
    """A `tf.distribute.MultiWorkerMirroredStrategy` for `model.fit`.

    Keras 3.15's trainer asks a strategy of several workers for two reductions that
    TensorFlow refuses (keras-team/keras#20585): the mean of a scalar over its axis 0,
    for the losses, and the mean of a whole batch, of which it only needs the shapes.
    This strategy answers both: the mean over all replicas, and this worker's own part
    of the batch. Everything else is TensorFlow's, and so is all of Keras.

    Any functional model built in its scope profits. Use it through
    `kt.training.get_strategy("multi_worker")`.

    Raises:
        ValueError: If neither TF_CONFIG nor Slurm describes the workers, or TF_CONFIG
            isn't whole.
    """
    import tensorflow as tf

    class MultiWorkerMirroredStrategy(tf.distribute.MultiWorkerMirroredStrategy):
        def reduce(self, reduce_op, value, axis):
            local = self.experimental_local_results(value)
            parts = tf.nest.flatten(local[0])
            scalars = all(len(part.shape) == 0 for part in parts)
            if axis is None and not scalars:
                return local[0]
            if axis == 0 and scalars:
                axis = None
            return super().reduce(reduce_op, value, axis)

    resolver = None
    if "TF_CONFIG" in os.environ:
        read_tf_config()
    elif "SLURM_PROCID" not in os.environ:
        raise ValueError(NO_WORKERS)
    else:
        # Slurm itself gives each task its GPUs: these numbers only keep TensorFlow from
        # asking nvidia-smi, which fails where there is none, and mean nothing else.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=1024, gpus_per_task=1, auto_set_gpu=False
        )
    return MultiWorkerMirroredStrategy(cluster_resolver=resolver)
