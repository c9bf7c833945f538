"""Checkpoints that are damaged or can't be written, and losses that aren't finite."""

import resource

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.training import Checkpoints, StopOnNonFiniteLoss


@pytest.fixture
def model():
    inputs = keras.Input((3,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def checkpoints(model, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
    checkpoints.set_model(model)
    for step in (10, 20):
        checkpoints.step = step
        checkpoints.save()
    return checkpoints


def test_only_the_last_ones_are_kept_and_nothing_else(model, checkpoints):
    for step in (30, 40):
        checkpoints.step = step
        checkpoints.save()
    names = sorted(path.name for path in checkpoints.folder.iterdir())
    assert names == [f"step-000000{step}.keras" for step in (20, 30, 40)]
    assert checkpoints.latest().name == "step-00000040.keras"


@pytest.mark.parametrize("part", ["first half", "one byte", "nothing"])
def test_damaged_checkpoint_is_named_and_the_one_before_it_taken(checkpoints, part):
    before, last = checkpoints.paths()
    content = last.read_bytes()
    if part == "first half":
        last.write_bytes(content[: len(content) // 2])
    elif part == "one byte":
        middle = len(content) // 2
        last.write_bytes(
            content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
    else:
        last.write_bytes(b"")
    with pytest.warns(UserWarning, match="step-00000020.keras is damaged"):
        assert checkpoints.latest() == before


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "none").latest() is None


def test_full_disk_is_an_error_that_leaves_the_last_good_one(model, checkpoints):
    """A limit on the size of files fails a write as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoints.step = 30
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="step 30.*step-00000020.keras"):
            checkpoints.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(list(checkpoints.folder.iterdir())) == 2
    assert checkpoints.latest().name == "step-00000020.keras"


def test_loss_that_is_no_number_stops_with_its_step_batch_and_checkpoint(
    model, checkpoints, tmp_path
):
    x = np.ones((6, 2, 3), "float32")
    x[4, 1, 0] = np.nan
    batches = tf.data.Dataset.from_tensor_slices(({"x": x}, np.ones((6, 2, 1))))
    checkpoints.step = 0
    stop = StopOnNonFiniteLoss(batches.skip, tmp_path, checkpoints)
    with pytest.raises(FloatingPointError) as error:
        model.fit(batches, callbacks=[stop, checkpoints], verbose=0)
    assert "step 5" in str(error.value)
    assert "step-00000020.keras" in str(error.value)
    with np.load(tmp_path / "non-finite-step-00000005.npz") as saved:
        np.testing.assert_array_equal(saved["x"], x[4])
        assert saved["labels"].shape == (2, 1)
