"""A training step side by side: ours, KerasHub's layers, PyTorch, Transformers.

    pip install -e ".[parity]"
    python benchmarks/train_step.py --size small --size base
    python benchmarks/train_step.py --gpu --size base --size big --batch 256

Each contender runs in a process of its own and waits for its turn: rounds are
interleaved, medians are printed. All train an encoder-decoder of the same shape on the
same batch, 64 pairs of 32 tokens if nothing else is said, with dropout 0.1, tied
embeddings, label smoothing 0.1 and Adam. Keras's contenders go through `compile` and
`fit`'s step; KerasHub's is given our loss, as Keras has none with label smoothing from
integer labels. The floor is the products of matrices alone, forward and backward, with
the step's own shapes. The first step's time holds building, tracing and compiling, not
imports; memory is the process's peak.

With --gpu the contenders are those of JAX and PyTorch, on its first GPU, and TensorFlow
isn't needed. The peak is as many operations as the step's products have, in products as
large as a GPU likes best; memory is the peak of what PyTorch and JAX took on the GPU.
"""

import argparse
import importlib
import json
import pathlib
import resource
import statistics
import sys
import tempfile
import time

from turns import (
    SIZES,
    THREADS,
    print_table,
    processes,
    serve_turns,
    take_turns,
    transformer,
    use_threads,
)

DROPOUT, SMOOTHING = 0.1, 0.1
JOB = {"size": "small", "batch": 64, "length": 32, "steps": 1}
JAX = {
    "KERAS_BACKEND": "jax",
    # Several processes share a GPU's memory.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
# Operations of a graph that TensorFlow runs at the same time.
INTER_OP_THREADS = THREADS


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", action="append", choices=SIZES, default=[])
    parser.add_argument("--gpu", action="store_true", help="compare on a GPU")
    parser.add_argument("--batch", type=int, default=JOB["batch"], help="pairs")
    parser.add_argument("--length", type=int, default=JOB["length"], help="tokens")
    parser.add_argument("--steps", type=int, default=2, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=CONTENDERS)
    parser.add_argument("--take-turns", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.take_turns:
        serve_turns(CONTENDERS)
        return
    names = arguments.only or (GPU_CONTENDERS if arguments.gpu else CPU_CONTENDERS)
    for size in arguments.size or ["small"]:
        compare(names, size, arguments)


def compare(names, size, arguments):
    """Prints what one size costs each contender."""
    batch, length = arguments.batch, arguments.length
    job = {"size": size, "batch": batch, "length": length, "steps": arguments.steps}
    seconds, answers = step_seconds(names, job, arguments.rounds)
    peer = next((name for name in PEERS if name in names), next(iter(names)))
    print_table(f"{size}, a step of {batch} x {length} tokens", seconds, peer)
    print("\n| | target tokens/s | first step, s | peak memory, MB |")
    print("| --- | --- | --- | --- |")
    for name, found in answers.items():
        speed = batch * length / statistics.median(seconds[name])
        first, memory = found["first"], found["memory"]
        print(f"| {name} | {speed:,.0f} | {first:.1f} | {memory:.0f} |")


def step_seconds(names, job, rounds):
    """Seconds of a step of each contender in each round, and its first step's."""
    environments = {name: JAX for name in names if "JAX" in name}
    with tempfile.TemporaryDirectory() as folder:
        with processes(__file__, names, environments) as started:
            turns = take_turns(started, {**job, "answers": folder}, rounds)
        answers = {
            name: json.loads(pathlib.Path(folder, f"{name}.json").read_text())
            for name in names
        }
    return {n: [turn / job["steps"] for turn in turns[n]] for n in names}, answers


def token_ids(job):
    import numpy as np

    words = SIZES[job["size"]]["words"]
    shape = job["batch"], job["length"]
    return np.random.default_rng(1).integers(4, words, shape, dtype="int32")


def measured(start, *modules):
    """A contender from a function that builds it and returns `run(steps)`.

    The modules are imported before the clock of the first step starts.
    """

    def contender(job):
        for module in modules:
            importlib.import_module(module)
        began = time.perf_counter()
        run = start(job, SIZES[job["size"]])
        run(1)
        first = time.perf_counter() - began

        def work():
            run(job["steps"])
            return {"first": first, "memory": peak_memory() / 2**20}

        return work

    return contender


def peak_memory():
    """Most bytes that this process took: of the GPU's memory, where it uses one."""
    for name, peak in GPU_MEMORY.items():
        if name in sys.modules and (taken := peak()):
            return taken
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def torch_memory():
    import torch

    return torch.cuda.is_available() and torch.cuda.max_memory_allocated()


def jax_memory():
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


GPU_MEMORY = {"torch": torch_memory, "jax": jax_memory}


# Keras.


def use_keras_threads():
    import keras

    if keras.backend.backend() == "tensorflow":
        use_threads(INTER_OP_THREADS)


def keras_run(model, optimizer, job):
    import keras
    import numpy as np

    import keras_transformer as kt

    model.compile(optimizer, kt.training.MaskedCrossentropy(SMOOTHING))
    ids = token_ids(job)

    def train_on_batch(steps):
        for _ in range(steps):
            model.train_on_batch({"source_ids": ids, "target_ids": ids}, ids)

    def fit(steps):
        labels = np.tile(ids, (steps, 1))
        inputs = {"source_ids": labels, "target_ids": labels}
        model.fit(inputs, labels, batch_size=len(ids), shuffle=False, verbose=0)

    # JAX's `train_on_batch` hands all weights over after each step, its `fit` after
    # an epoch. TensorFlow's are one step, but the end of `fit` can wait for a second.
    return fit if keras.backend.backend() == "jax" else train_on_batch


def ours(dtype):
    def start(job, size):
        use_keras_threads()
        import keras_transformer as kt

        model = transformer(size, dropout=DROPOUT, dtype=dtype)
        return keras_run(model, kt.training.Adam(1e-4), job)

    return measured(start, "keras_transformer")


def keras_hub(dtype):
    def start(job, size):
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
        return keras_run(keras.Model(inputs, logits), optimizer, job)

    return measured(start, "keras_transformer", "keras_hub")


# PyTorch.


def torch_device():
    import torch

    torch.set_num_threads(THREADS)
    return "cuda" if torch.cuda.is_available() else "cpu"


def torch_run(model, logits_of, job):
    import torch
    from torch.nn import functional

    ids = torch.tensor(token_ids(job), device=torch_device()).long()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, betas=(0.9, 0.98))
    model.train()

    def run(steps):
        for _ in range(steps):
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
        # A GPU has done its work when it is read.
        return float(loss.detach())

    return run


def torch_transformer(dtype, compiled=False):
    def start(job, size):
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
                position = torch.arange(job["length"])[:, None]
                rate = 1e4 ** (torch.arange(0, size["hidden"], 2) / size["hidden"])
                angles = position / rate
                signal = torch.stack([angles.sin(), angles.cos()], dim=-1)
                self.register_buffer("position", signal.flatten(1))
                mask = self.body.generate_square_subsequent_mask(job["length"])
                self.register_buffer("mask", mask)

            def forward(self, ids):
                x = self.embedding(ids) * size["hidden"] ** 0.5 + self.position
                x = self.dropout(x)
                x = self.body(x, x, tgt_mask=self.mask, tgt_is_causal=True)
                return x @ self.embedding.weight.T

        device = torch_device()
        model = Model().to(device)
        forward = torch.compile(model) if compiled else model

        def logits_of(ids):
            with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
                return forward(ids)

        return torch_run(model, logits_of, job)

    return measured(start, "torch")


def transformers_marian(job, size):
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
            max_position_embeddings=job["length"],
        )
    ).to(torch_device())
    shape = job["batch"], job["length"]
    mask = torch.ones(shape, dtype=torch.long, device=model.device)

    def logits_of(ids):
        return model(
            input_ids=ids, attention_mask=mask, decoder_input_ids=ids, use_cache=False
        ).logits

    return torch_run(model, logits_of, job)


# The floor and the peak.


def weight_shapes(size):
    """Input and output width of each product with weights."""
    width, inner = size["hidden"], size["inner"]
    encoder = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
    decoder = [*encoder, (width, width), (width, 2 * width), (width, width)]
    return size["layers"] * (encoder + decoder) + [(width, size["words"])]


def floor(dtype):
    def start(job, size):
        use_keras_threads()
        import tensorflow as tf

        rows, length, heads = job["batch"] * job["length"], job["length"], size["heads"]
        shapes = weight_shapes(size)
        weights = [tf.cast(tf.random.normal(shape), dtype) for shape in shapes]
        inputs = {
            shape: tf.cast(tf.random.normal((rows, shape)), dtype)
            for shape in {s for pair in shapes for s in pair}
        }
        keys = tf.random.normal((job["batch"], heads, length, size["hidden"] // heads))
        keys = tf.cast(keys, dtype)
        scores = tf.random.normal((job["batch"], heads, length, length))
        scores = tf.cast(scores, dtype)

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
                for _ in range(3):
                    touched = keys + 1e-9 * total
                    product = tf.matmul(touched, keys, transpose_b=True)
                    total += product[0, 0, 0, 0]
                    total += tf.matmul(scores + product * 0, touched)[0, 0, 0, 0]
            return total

        return lambda steps: [step().numpy() for _ in range(steps)]

    return measured(start, "tensorflow")


def torch_floor(job, size):
    """The floor on a GPU: the same products, one by one, in bfloat16."""
    import torch

    def normal(*shape):
        return torch.randn(shape, dtype=torch.bfloat16, device=torch_device())

    rows, length, heads = job["batch"] * job["length"], job["length"], size["heads"]
    shapes = weight_shapes(size)
    weights = [normal(*shape) for shape in shapes]
    inputs = {width: normal(rows, width) for shape in shapes for width in shape}
    keys = normal(job["batch"] * heads, length, size["hidden"] // heads)
    scores = normal(job["batch"] * heads, length, length)

    def run(steps):
        for _ in range(steps):
            for weight, (into, out) in zip(weights, shapes):
                x, gradient = inputs[into], inputs[out]
                products = x @ weight, gradient @ weight.T, x.T @ gradient
            for _ in range(3 * size["layers"] * 3):
                products = keys @ keys.mT, scores @ keys
        return [float(product.flatten()[0]) for product in products]

    return run


def torch_peak(job, size, width=8192):
    """As many operations as the step's products have, in large square products."""
    import torch

    rows, length = job["batch"] * job["length"], job["length"]
    weights = sum(into * out for into, out in weight_shapes(size))
    positions = 3 * size["layers"] * 2 * length * size["hidden"]
    count = 3 * rows * (weights + positions) / width**2
    heights = [width] * int(count // width) + [int(count % width)]
    x, weight = torch.randn(
        (2, width, width), dtype=torch.bfloat16, device=torch_device()
    )

    def run(steps):
        for _ in range(steps):
            for height in heights:
                product = x[:height] @ weight
        return float(product.sum())

    return run


CPU_CONTENDERS = {
    "floor": floor("float32"),
    "floor, bfloat16": floor("bfloat16"),
    "ours": ours("float32"),
    "ours, mixed_bfloat16": ours("mixed_bfloat16"),
    "ours, JAX": ours("float32"),
    "KerasHub": keras_hub("float32"),
    "KerasHub, mixed_bfloat16": keras_hub("mixed_bfloat16"),
    "KerasHub, JAX": keras_hub("float32"),
    "PyTorch": torch_transformer("float32"),
    "PyTorch, compiled": torch_transformer("float32", compiled=True),
    "PyTorch, bfloat16": torch_transformer("bfloat16"),
    "PyTorch, bfloat16, compiled": torch_transformer("bfloat16", compiled=True),
    "Transformers": measured(transformers_marian, "transformers.models.marian"),
}
GPU_CONTENDERS = {
    "peak, bfloat16": measured(torch_peak, "torch"),
    "floor, PyTorch, bfloat16": measured(torch_floor, "torch"),
    "ours, JAX, mixed_bfloat16": ours("mixed_bfloat16"),
    "PyTorch, bfloat16": torch_transformer("bfloat16"),
    "PyTorch, bfloat16, compiled": torch_transformer("bfloat16", compiled=True),
}
CONTENDERS = CPU_CONTENDERS | GPU_CONTENDERS
# Whom ratios are to: the first that takes part.
PEERS = "KerasHub", "PyTorch, bfloat16, compiled"


if __name__ == "__main__":
    main()
