"""Trains for some steps under a strategy and writes the weights.

Run as a program by test_distribution.py:
python train_distributed.py STRATEGY OUTPUT.npz [plain]
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import keras_transformer as kt

STEPS, GLOBAL_BATCH = 50, 4
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    "clipped": lambda: kt.training.Adam(0.005, epsilon=1e-2, global_clipnorm=0.1),
}


def batches():
    """The same global batches for all; workers get their rows of each.

    The last batch has a single row: all but one worker get none of it. JAX takes only
    batches that it can divide.
    """
    generator = np.random.default_rng(0)
    rows = STEPS * GLOBAL_BATCH
    if keras.backend.backend() == "tensorflow":
        rows -= GLOBAL_BATCH - 1
    source = generator.integers(4, 20, (rows, 6)).astype("int32")
    lengths = generator.integers(2, 7, rows)
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
    if name == "mirrored" and keras.backend.backend() == "tensorflow":
        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
    if plain:
        return tf.distribute.MultiWorkerMirroredStrategy().scope()
    return kt.training.get_strategy(name).scope()


def main(name, path, plain):
    found = {}
    with scope(name, plain):
        for optimizer, make in OPTIMIZERS.items():
            keras.utils.set_random_seed(1)
            model = kt.Transformer(
                20,
                num_layers=1,
                hidden_dim=8,
                num_heads=2,
                intermediate_dim=16,
                dropout=0,
            )
            model.compile(make(), kt.training.MaskedCrossentropy(0.1))
            history = model.fit(batches(), verbose=0)
            found[f"{optimizer} loss"] = history.history["loss"]
            for weight in model.trainable_weights:
                values = keras.ops.convert_to_numpy(weight)
                found[f"{optimizer} {weight.path}"] = values
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "plain" in sys.argv[3:])
