"""Strategies by name: what a backend has, and what it says of the rest.

Runs on every backend of Keras; see tests/test_backends.py.
"""

import json

import pytest

from keras_transformer.training import get_strategy
from keras_transformer.training.workers import read_tf_config
from tests.training.gradients import BACKEND

WORKERS = ["10.0.0.1:12345", "10.0.0.2:12345"]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_PROCID", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["auto", "one_device"])
def test_one_device_needs_nothing(name):
    strategy = get_strategy(name)
    assert strategy.num_replicas_in_sync == 1
    assert strategy.extended.should_checkpoint
    with strategy.scope():
        pass


@pytest.mark.parametrize(
    "name, meant",
    [
        ("one-device", "one_device"),
        ("onedevice", "one_device"),
        ("Mirrored", "mirrored"),
        ("mirored", "mirrored"),
        ("multi-worker", "multi_worker"),
        ("TPU", "tpu"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, meant):
    with pytest.raises(ValueError, match=f'{name}.*Did you mean "{meant}"'):
        get_strategy(name)


@pytest.mark.parametrize("name", ["", "horovod", None, 2, ["mirrored"]])
def test_what_is_no_name_is_answered_with_all_of_them(name):
    with pytest.raises(ValueError, match='"auto", "one_device", "mirrored"') as error:
        get_strategy(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("name", ["mirrored", "multi_worker", "tpu"])
def test_what_this_machine_does_not_have_is_named_with_a_way_out(name):
    if BACKEND != "torch" and name == "mirrored":
        pytest.skip("this backend mirrors any number of devices")
    if BACKEND == "jax" and name == "multi_worker":
        pytest.skip("JAX, which has begun to compute, looks for no workers any more")
    with pytest.raises(ValueError, match="strategy") as error:
        get_strategy(name)
    way_out = "KERAS_BACKEND" if BACKEND == "torch" else '"mirrored"'
    assert way_out in str(error.value)


@pytest.mark.parametrize(
    "task, index", [(("chief", 0), 0), (("worker", 0), 1), (("worker", 1), 2)]
)
def test_the_chief_is_the_first_worker(monkeypatch, task, index):
    config = {
        "cluster": {"chief": ["a:1"], "worker": WORKERS},
        "task": {"type": task[0], "index": task[1]},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert read_tf_config() == (["a:1", *WORKERS], index)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{}",
        "[]",
        "null",
        "{cut",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "x"}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
@pytest.mark.skipif(BACKEND == "torch", reason="has one device")
def test_a_description_that_is_not_whole_is_named(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match="TF_CONFIG such as") as error:
        get_strategy("multi_worker")
    assert repr(config) in str(error.value)
