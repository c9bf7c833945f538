"""Trains for some steps under a strategy and writes the weights.

Run as a program by test_distribution.py:
python train_distributed.py STRATEGY OUTPUT.npz [plain]
"""

import contextlib
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_transformer as kt

STEPS, GLOBAL_BATCH = 50, 4


def batches():
    """The same global batches for all; workers get their rows of each."""
    generator = np.random.default_rng(0)
    source = generator.integers(4, 20, (STEPS * GLOBAL_BATCH, 6)).astype("int32")
    lengths = generator.integers(2, 7, len(source))
    # Unequal numbers of real tokens on the workers.
    source[np.arange(6) >= lengths[:, None]] = 0
    target = np.roll(source, 1, axis=1)
    target[:, 0] = 2
    inputs = {"source_ids": source, "target_ids": target}
    data = tf.data.Dataset.from_tensor_slices((inputs, source)).batch(GLOBAL_BATCH)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return data.with_options(options)


def scope(name, plain):
    if name == "data_parallel":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    if name == "mirrored":
        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    if plain:
        return tf.distribute.MultiWorkerMirroredStrategy().scope()
    return kt.training.get_strategy(name).scope()


def main(name, path, plain):
    with scope(name, plain):
        keras.utils.set_random_seed(1)
        model = kt.Transformer(
            20, num_layers=1, hidden_dim=8, num_heads=2, intermediate_dim=16, dropout=0
        )
        model.compile(keras.optimizers.SGD(0.05), kt.training.MaskedCrossentropy(0.1))
    history = model.fit(batches(), steps_per_epoch=STEPS, verbose=0)
    weights = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    np.savez(path, *weights, loss=history.history["loss"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "plain" in sys.argv[3:])
