"""`MultiWorkerMirroredStrategy` that works with Keras 3's `model.fit`."""

import os

from keras_transformer.training.workers import NO_WORKERS, read_tf_config


def multi_worker_strategy():
    """A `tf.distribute.MultiWorkerMirroredStrategy` for `model.fit`.

    Keras 3.15's trainer asks a strategy of several workers for two reductions that
    TensorFlow refuses (keras-team/keras#20585): the mean of a scalar over its axis 0,
    for the losses, and the mean of a whole batch, of which it only needs the shapes.
    This strategy answers both: the mean over all replicas, and this worker's own part
    of the batch.

    TensorFlow's strategy parts each batch, so every worker reads all of it. Its
    `process` here is this worker's number and the number of workers: batches that
    `make_batches(process=strategy.process)` made are this worker's own rows, and aren't
    parted again. Everything else is TensorFlow's, and so is all of Keras.

    Any functional model built in its scope profits. Use it through
    `kt.training.get_strategy("multi_worker")`.

    Raises:
        ValueError: If neither TF_CONFIG nor Slurm describes the workers, or TF_CONFIG
            isn't whole.
    """
    import tensorflow as tf

    class MultiWorkerMirroredStrategy(tf.distribute.MultiWorkerMirroredStrategy):
        @property
        def process(self):
            cluster = self.cluster_resolver.cluster_spec()
            sizes = {kind: cluster.num_tasks(kind) for kind in cluster.jobs}
            index = self.cluster_resolver.task_id
            if self.cluster_resolver.task_type == "worker":
                index += sizes.get("chief", 0)
            return index, sizes.get("chief", 0) + sizes.get("worker", 0)

        def experimental_distribute_dataset(self, dataset, options=None):
            sequence = getattr(dataset, "sequence", None)
            if sequence is None or sequence.arrays.process == (0, 1):
                return super().experimental_distribute_dataset(dataset, options)
            if sequence.arrays.process != self.process:
                raise ValueError(
                    f"The batches must be those of process={self.process}, this "
                    "strategy's own, or of all processes; received batches of "
                    f"process={sequence.arrays.process}."
                )
            replicas = self.num_replicas_in_sync // self.process[1]
            own = parted(dataset, replicas) if replicas > 1 else dataset
            return self.distribute_datasets_from_function(lambda _: own, options)

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


def parted(dataset, count):
    """Batches in `count` parts of as many rows each, one after the other."""
    import tensorflow as tf

    def parts(*batch):
        def part(values):
            shape = tf.shape(values)
            return tf.reshape(values, [count, shape[0] // count, shape[1]])

        return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(part, batch))

    return dataset.flat_map(parts)
