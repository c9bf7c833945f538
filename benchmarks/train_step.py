"""A training step side by side: ours, KerasHub's layers, PyTorch, Transformers.

    pip install -e ".[parity]"
    python benchmarks/train_step.py --size small --size base

Each contender runs in a process of its own and waits for its turn: rounds are
interleaved, medians are printed. All train an encoder-decoder of the same shape on the
same batch, 64 pairs of 32 tokens, with dropout 0.1, tied embeddings, label smoothing
0.1 and Adam. Keras's contenders go through `compile` and `train_on_batch`, the step
that `fit` runs; KerasHub's is given our loss, as Keras has none with label smoothing
from integer labels. The floor is the products of matrices alone, forward and backward,
with the step's own shapes, in TensorFlow. The first step's time holds building and
tracing, not imports; memory is the process's peak.
"""

import argparse
import importlib
import json
import pathlib
import resource
import tempfile
import time

from turns import (
    SIZES,
    THREADS,
    print_table,
    processes,
    serve_turns,
    take_turns,
    use_threads,
)

BATCH, LENGTH, DROPOUT, SMOOTHING = 64, 32, 0.1, 0.1
PEER = "KerasHub"
# Operations of a graph that TensorFlow runs at the same time.
INTER_OP_THREADS = THREADS


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", action="append", choices=SIZES, default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=CONTENDERS)
    parser.add_argument("--take-turns", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.take_turns:
        serve_turns(CONTENDERS)
        return
    names = arguments.only or CONTENDERS
    jax = {"KERAS_BACKEND": "jax"}
    environments = {name: jax for name in names if name.endswith("JAX")}
    for size in arguments.size or ["small"]:
        with tempfile.TemporaryDirectory() as folder:
            with processes(__file__, names, environments) as started:
                job = {"size": size, "answers": folder}
                seconds = take_turns(started, job, arguments.rounds)
            peer = PEER if PEER in seconds else next(iter(seconds))
            print_table(f"{size}, a training step", seconds, peer)
            print("\n| | first step, s | peak memory, MB |\n| --- | --- | --- |")
            for name in seconds:
                found = json.loads(pathlib.Path(folder, f"{name}.json").read_text())
                print(f"| {name} | {found['first']:.1f} | {found['memory']:.0f} |")


def batch(size):
    import numpy as np

    shape = BATCH, LENGTH
    return np.random.default_rng(1).integers(4, size["words"], shape, dtype="int32")


def measured(start, *modules):
    """A contender from a function that builds it and returns its step.

    The modules are imported before the clock of the first step starts.
    """

    def contender(job):
        for module in modules:
            importlib.import_module(module)
        began = time.perf_counter()
        step = start(SIZES[job["size"]])

        def work():
            step()
            usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return {"first": time.perf_counter() - began, "memory": usage / 1024}

        return work

    return contender


# Keras.


def use_keras_threads():
    import keras

    if keras.backend.backend() == "tensorflow":
        use_threads(INTER_OP_THREADS)


def keras_step(model, optimizer, size):
    import keras_transformer as kt

    model.compile(optimizer, kt.training.MaskedCrossentropy(SMOOTHING))
    ids = batch(size)
    inputs = {"source_ids": ids, "target_ids": ids}
    return lambda: model.train_on_batch(inputs, ids)


def ours(dtype):
    def start(size):
        use_keras_threads()
        import keras_transformer as kt

        model = kt.Transformer(
            size["words"],
            num_layers=size["layers"],
            hidden_dim=size["hidden"],
            num_heads=size["heads"],
            intermediate_dim=size["inner"],
            dropout=DROPOUT,
            dtype=dtype,
        )
        return keras_step(model, kt.training.Adam(1e-4), size)

    return measured(start, "keras_transformer")


def keras_hub(dtype):
    def start(size):
        use_keras_threads()
        import keras
        import keras_hub

        keras.config.set_dtype_policy(dtype)
        embedding = keras_hub.layers.ReversibleEmbedding(
            size["words"], size["hidden"], tie_weights=True, mask_zero=True
        )
        position = keras_hub.layers.SinePositionEncoding()
        drop = keras.layers.Dropout(DROPOUT)
        common = {
            "intermediate_dim": size["inner"],
            "num_heads": size["heads"],
            "dropout": DROPOUT,
        }

        def embedded(ids):
            vectors = embedding(ids)
            return drop(vectors * size["hidden"] ** 0.5 + position(vectors))

        source_ids = keras.Input((None,), dtype="int32", name="source_ids")
        target_ids = keras.Input((None,), dtype="int32", name="target_ids")
        memory, x = embedded(source_ids), embedded(target_ids)
        for _ in range(size["layers"]):
            memory = keras_hub.layers.TransformerEncoder(**common)(memory)
        for _ in range(size["layers"]):
            x = keras_hub.layers.TransformerDecoder(**common)(x, memory)
        logits = embedding(x, reverse=True)
        inputs = {"source_ids": source_ids, "target_ids": target_ids}
        optimizer = keras.optimizers.Adam(1e-4, beta_2=0.98, epsilon=1e-9)
        return keras_step(keras.Model(inputs, logits), optimizer, size)

    return measured(start, "keras_transformer", "keras_hub")


# PyTorch.


def torch_step(model, logits_of, size):
    import torch
    from torch.nn import functional

    torch.set_num_threads(THREADS)
    ids = torch.tensor(batch(size)).long()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, betas=(0.9, 0.98))
    model.train()

    def step():
        logits = logits_of(ids)
        loss = functional.cross_entropy(
            logits.flatten(0, 1).float(),
            ids.flatten(),
            ignore_index=0,
            label_smoothing=SMOOTHING,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def torch_transformer(dtype):
    def start(size):
        import torch

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = torch.nn.Embedding(size["words"], size["hidden"])
                self.body = torch.nn.Transformer(
                    size["hidden"],
                    size["heads"],
                    size["layers"],
                    size["layers"],
                    size["inner"],
                    DROPOUT,
                    batch_first=True,
                )
                self.dropout = torch.nn.Dropout(DROPOUT)
                self.mask = self.body.generate_square_subsequent_mask(LENGTH)
                position = torch.arange(LENGTH)[:, None]
                rate = 1e4 ** (torch.arange(0, size["hidden"], 2) / size["hidden"])
                angles = position / rate
                signal = torch.stack([angles.sin(), angles.cos()], dim=-1)
                self.position = signal.flatten(1)

            def forward(self, ids):
                x = self.embedding(ids) * size["hidden"] ** 0.5 + self.position
                x = self.dropout(x)
                x = self.body(x, x, tgt_mask=self.mask, tgt_is_causal=True)
                return x @ self.embedding.weight.T

        model = Model()

        def logits_of(ids):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                return model(ids)

        return torch_step(model, logits_of, size)

    return measured(start, "torch")


def transformers_marian(size):
    import torch
    import transformers

    model = transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=size["words"] + 1,
            d_model=size["hidden"],
            encoder_layers=size["layers"],
            decoder_layers=size["layers"],
            encoder_attention_heads=size["heads"],
            decoder_attention_heads=size["heads"],
            encoder_ffn_dim=size["inner"],
            decoder_ffn_dim=size["inner"],
            dropout=DROPOUT,
            activation_function="relu",
            scale_embedding=True,
            pad_token_id=size["words"],
            max_position_embeddings=LENGTH,
        )
    )
    mask = torch.ones((BATCH, LENGTH), dtype=torch.long)

    def logits_of(ids):
        return model(
            input_ids=ids, attention_mask=mask, decoder_input_ids=ids, use_cache=False
        ).logits

    return torch_step(model, logits_of, size)


# The floor.


def floor(dtype):
    def start(size):
        use_keras_threads()
        import tensorflow as tf

        width, inner, rows = size["hidden"], size["inner"], BATCH * LENGTH
        heads, length = size["heads"], LENGTH
        # (rows, in, out) of each product with weights.
        encoder = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
        decoder = [*encoder, (width, width), (width, 2 * width), (width, width)]
        shapes = size["layers"] * (encoder + decoder) + [(width, size["words"])]
        weights = [tf.cast(tf.random.normal(shape), dtype) for shape in shapes]
        inputs = {
            shape: tf.cast(tf.random.normal((rows, shape)), dtype)
            for shape in {s for pair in shapes for s in pair}
        }
        keys = tf.random.normal((BATCH, heads, length, width // heads))
        keys = tf.cast(keys, dtype)
        scores = tf.cast(tf.random.normal((BATCH, heads, length, length)), dtype)

        @tf.function
        def step():
            total = tf.zeros((), dtype)
            for weight, (into, out) in zip(weights, shapes):
                x, gradient = inputs[into], inputs[out]
                # A touch of the total keeps equal products from being merged.
                x = x + 1e-9 * total
                total += (x @ weight)[0, 0]
                total += tf.matmul(gradient, weight, transpose_b=True)[0, 0]
                total += tf.matmul(x, gradient, transpose_a=True)[0, 0]
            for _ in range(3 * size["layers"]):
                touched = keys + 1e-9 * total
                for _ in range(3):
                    product = tf.matmul(touched, keys, transpose_b=True)
                    total += product[0, 0, 0, 0]
                    total += tf.matmul(scores + product * 0, touched)[0, 0, 0, 0]
            return total

        return lambda: step().numpy()

    return measured(start, "tensorflow")


CONTENDERS = {
    "floor": floor("float32"),
    "floor, bfloat16": floor("bfloat16"),
    "ours": ours("float32"),
    "ours, mixed_bfloat16": ours("mixed_bfloat16"),
    "ours, JAX": ours("float32"),
    "KerasHub": keras_hub("float32"),
    "KerasHub, mixed_bfloat16": keras_hub("mixed_bfloat16"),
    "KerasHub, JAX": keras_hub("float32"),
    "PyTorch": torch_transformer("float32"),
    "PyTorch, bfloat16": torch_transformer("bfloat16"),
    "Transformers": measured(transformers_marian, "transformers.models.marian"),
}


if __name__ == "__main__":
    main()
