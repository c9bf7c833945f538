"""Replicas train as one device does on the whole batch."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.training.multi_worker import parted

PROGRAM = pathlib.Path(__file__).with_name("train_distributed.py")
LAUNCHER = PROGRAM.parents[2] / "examples" / "launch_workers.py"


def launch(*command, **environment):
    """Two workers with TF_CONFIG: the launcher's code and what they printed."""
    done = subprocess.run(
        [sys.executable, str(LAUNCHER), "2", "--", sys.executable, *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def run_slurm_tasks(folder):
    """Two tasks as srun starts them; each writes its own file."""
    slurm = {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }
    tasks = [
        subprocess.Popen(
            [sys.executable, PROGRAM, "multi_worker", folder / f"{index}.npz"],
            env={**os.environ, **slurm, "SLURM_PROCID": str(index)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    words = [task.communicate(timeout=300)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], words
    return [np.load(folder / f"{index}.npz") for index in range(2)]


def run_alone(path, strategy, **environment):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), strategy, str(path)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return np.load(path)


def assert_trained_alike(found, expected):
    assert set(found.files) == set(expected.files)
    for name in expected.files:
        scale = max(np.abs(expected[name]).max(), 1e-2)
        # Keras's mean of an epoch's losses counts a batch by its rows on a replica.
        tolerance = 1e-2 if name.endswith("loss") else 1e-5
        np.testing.assert_allclose(
            found[name], expected[name], atol=tolerance * scale, err_msg=name
        )


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    return run_alone(tmp_path_factory.mktemp("one") / "one.npz", "one_device")


@pytest.mark.process
def test_two_mirrored_devices_equal_one(one_device, tmp_path):
    assert_trained_alike(run_alone(tmp_path / "two.npz", "mirrored"), one_device)


@pytest.mark.process
def test_two_slurm_tasks_equal_one_device(one_device, tmp_path):
    tasks = run_slurm_tasks(tmp_path)
    for name in one_device.files:
        np.testing.assert_array_equal(tasks[0][name], tasks[1][name])
    assert_trained_alike(tasks[0], one_device)


@pytest.mark.process
def test_two_jax_devices_equal_one(tmp_path):
    pytest.importorskip("jax")
    one = run_alone(tmp_path / "one.npz", "one_device", KERAS_BACKEND="jax")
    two = run_alone(
        tmp_path / "two.npz",
        "mirrored",
        KERAS_BACKEND="jax",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
    assert_trained_alike(two, one)


READS = """
import sys
import numpy as np
import tensorflow as tf
import keras_transformer as kt

source, target, tokenizer = sys.argv[1:]
strategy = kt.training.get_strategy("multi_worker")
tokenizer = kt.text.Tokenizer.load(tokenizer)

def batches(process):
    return kt.text.make_batches(
        source, target, source_tokenizer=tokenizer, tokens_per_batch=504, seed=3,
        num_replicas=strategy.num_replicas_in_sync, process=process,
    )

all_rows, own_rows = batches((0, 1)), batches(strategy.process)
parts = strategy.experimental_distribute_dataset(own_rows)
index, count = strategy.process
for expected, found, _ in zip(iter(all_rows), iter(parts), range(3)):
    (found,) = strategy.experimental_local_results(found)
    for whole, mine in zip(*map(tf.nest.flatten, (expected, found)), strict=True):
        rows = len(whole) // count
        np.testing.assert_array_equal(mine, whole[index * rows :][:rows])
try:
    strategy.experimental_distribute_dataset(batches((0, 3)))
except ValueError as error:
    assert "process=(0, 3)" in str(error), error
else:
    raise AssertionError("batches of another number of workers were taken")
"""


@pytest.mark.process
def test_a_worker_reads_its_own_rows_of_each_batch(corpus, tmp_path):
    tokenizer = str(tmp_path / "tokenizer.model")
    kt.text.train_tokenizer(corpus, 320).save(tokenizer)
    code, words = launch("-c", READS, *corpus, tokenizer)
    assert code == 0, words


def test_a_worker_s_devices_share_its_rows():
    import tensorflow as tf

    rows = tf.reshape(tf.range(24), (12, 2))
    batches = tf.data.Dataset.from_tensors(({"ids": rows}, rows[:, :1]))
    found = list(parted(batches.repeat(2), 3))
    assert [len(labels) for _, labels in found] == [4] * 6
    for first in (0, 3):
        ids = tf.concat([inputs["ids"] for inputs, _ in found[first : first + 3]], 0)
        np.testing.assert_array_equal(ids, rows)


@pytest.mark.process
def test_keras_still_needs_our_strategy(tmp_path):
    """On the day this fails Keras has mended it: use TensorFlow's own class again."""
    path = str(tmp_path / "plain.npz")
    code, words = launch(str(PROGRAM), "multi_worker", path, "plain")
    assert code != 0
    assert "to a Tensor" in words or "reduction dimension" in words, words


def test_several_workers_need_a_description(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG"):
        kt.training.get_strategy("multi_worker")


SIZES = {"num_layers": 1, "hidden_dim": 32, "num_heads": 2, "intermediate_dim": 64}


def train_command(corpus, folder, *more):
    return [
        *("-m", "keras_transformer", "train", str(folder), *corpus),
        *("--valid-source", corpus[0], "--valid-target", corpus[1]),
        *("--model", json.dumps({**SIZES, "dropout": 0})),
        *("--vocabulary-size", "320", "--tokens-per-batch", "504"),
        *("--steps-per-epoch", "10", "--warmup-steps", "20"),
        *("--peak-learning-rate", "0.01", "--average-last", "1", "--clip-norm", "1"),
        *("--bleu-sentences", "5", "--verbose", "2", *more),
    ]


def losses(folder):
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("loss")
    return [float(row.split(",")[column]) for row in rows]


def kill_worker(process, index):
    """Kills a worker of a launcher as a machine's failure does."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in children.read_text().split():
        environment = pathlib.Path(f"/proc/{child}/environ").read_bytes()
        if f'"index": {index}}}'.encode() in environment:
            os.kill(int(child), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc").exists(), reason="looks into /proc")
def test_workers_stop_when_one_dies_and_go_on_together(corpus, tmp_path):
    """The run of two workers, one of which is killed, learns as one device does."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    command = train_command(corpus, alone, "--steps", "30")
    subprocess.run([sys.executable, *command], check=True, capture_output=True)

    command = train_command(corpus, both, "--steps", "3000", "--strategy")
    process = subprocess.Popen(
        [sys.executable, LAUNCHER, "2", "--", sys.executable, *command, "multi_worker"],
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(both.glob("checkpoints/step-*.keras")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    kill_worker(process, 1)
    words, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "[0] keras-transformer: Another worker has died" in words

    done = len(list(both.glob("checkpoints/step-*.keras")))
    command = train_command(corpus, both, "--steps", str(10 * max(3, done)))
    code, words = launch(*command, "--strategy", "multi_worker")
    assert code == 0, words
    assert (both / "translator").exists()
    # Keras's mean counts batches by their rows, those of padding among them.
    np.testing.assert_allclose(losses(both)[:3], losses(alone), rtol=1e-3)


@pytest.mark.slow
def test_two_jax_processes_train_as_two_jax_devices_do(corpus, tmp_path):
    pytest.importorskip("jax")
    devices, processes = tmp_path / "devices", tmp_path / "processes"
    command = train_command(corpus, devices, "--steps", "20", "--strategy", "mirrored")
    environment = {
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    command = train_command(corpus, processes, "--steps", "20")
    code, words = launch(*command, "--strategy", "multi_worker", KERAS_BACKEND="jax")
    assert code == 0, words
    np.testing.assert_allclose(losses(processes), losses(devices), rtol=1e-5)
