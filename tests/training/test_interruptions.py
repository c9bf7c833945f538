"""Damaged checkpoints, full disks, signals, and losses that aren't finite."""

import os
import resource
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.training import (
    Checkpoints,
    Preempted,
    SaveOnSignal,
    StopOnNonFiniteLoss,
)


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


def test_other_files_among_checkpoints_are_none(checkpoints):
    for name in ("step-copy.keras", "step-00000030.keras.bak", "notes.keras"):
        (checkpoints.folder / name).touch()
    assert checkpoints.latest().name == "step-00000020.keras"


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


def test_a_first_loss_that_is_no_number_names_no_checkpoint(model, tmp_path):
    x = np.full((1, 2, 3), np.nan, "float32")
    batches = tf.data.Dataset.from_tensor_slices(({"x": x}, np.ones((1, 2, 1))))
    checkpoints = Checkpoints(tmp_path / "none")
    checkpoints.step = 0
    stop = StopOnNonFiniteLoss(batches.skip, tmp_path, checkpoints)
    with pytest.raises(FloatingPointError, match="No checkpoint yet. Lower") as error:
        model.fit(batches, callbacks=[stop], verbose=0)
    assert "None" not in str(error.value)


DATA = {"x": np.ones((8, 3), "float32")}, np.ones((8, 1), "float32")


def fit(model, checkpoints, *more, **options):
    """Two epochs of four updates, from step 0 on."""
    checkpoints.step = 0
    callbacks = [checkpoints, SaveOnSignal(checkpoints), *more]
    options = {"batch_size": 2, "epochs": 2, "shuffle": False, **options}
    model.fit(*DATA, callbacks=callbacks, verbose=0, **options)


def at(hook, action):
    """A callback that does something each time that Keras calls one of its hooks."""
    callback = keras.callbacks.Callback()
    setattr(callback, hook, lambda *_, **__: action())
    return callback


def raises(error):
    def action():
        raise error

    return action


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture
def received():
    """Signals that reach those who had them before training."""
    received = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    yield received
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "callbacks, options, error",
    [
        ([], {}, None),
        ([at("on_train_batch_end", raises(ValueError("batch")))], {}, ValueError),
        ([at("on_epoch_end", raises(OSError("epoch")))], {}, OSError),
        ([at("on_train_begin", raises(ValueError("begin")))], {}, ValueError),
        ([at("on_train_end", raises(ValueError("end")))], {}, ValueError),
        ([at("on_test_begin", raises(KeyboardInterrupt))], {}, KeyboardInterrupt),
        ([], {"validation_data": (DATA[0], np.ones((3, 1)))}, ValueError),
        ([at("on_train_batch_end", send(signal.SIGTERM))], {}, Preempted),
        ([at("on_test_batch_end", send(signal.SIGINT))], {}, Preempted),
    ],
)
def test_signals_do_what_they_did_before_however_fit_ends(
    model, checkpoints, received, callbacks, options, error
):
    before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    options = {"validation_data": DATA, **options}
    if error is None:
        fit(model, checkpoints, *callbacks, **options)
    else:
        # What is caught keeps the frames of `fit`, as notebooks do.
        with pytest.raises(error) as kept:
            fit(model, checkpoints, *callbacks, **options)
    send(signal.SIGTERM)()
    send(signal.SIGINT)()
    assert received == [signal.SIGTERM, signal.SIGINT]
    if error is not None:
        del kept
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_fit_without_it_leaves_signals_alone_after_one_that_failed(
    model, checkpoints, received
):
    with pytest.raises(OSError) as kept:
        fit(model, checkpoints, at("on_epoch_end", raises(OSError("full"))))
    model.fit(*DATA, verbose=0, callbacks=[at("on_epoch_end", send(signal.SIGTERM))])
    assert received == [signal.SIGTERM]
    del kept


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_saves_within_an_update_and_says_how_to_go_on(
    model, checkpoints, number, code
):
    batches = []

    def third():
        batches.append(0)
        if len(batches) == 3:
            send(number)()

    with pytest.raises(Preempted) as stop:
        fit(model, checkpoints, at("on_train_batch_begin", third))
    assert len(batches) == 3 and stop.value.code == code
    assert "\n" not in str(stop.value) and f"Stopped by {number.name}" in str(
        stop.value
    )
    assert (checkpoints.folder / "step-00000003.keras").exists()


def test_a_second_ctrl_c_ends_at_once(model, checkpoints):
    def twice():
        send(signal.SIGINT)()
        send(signal.SIGINT)()

    with pytest.raises(KeyboardInterrupt):
        fit(model, checkpoints, at("on_train_batch_begin", twice))
    assert checkpoints.latest().name == "step-00000020.keras"


@pytest.mark.parametrize(
    "hook", ["on_test_begin", "on_test_batch_begin", "on_epoch_end"]
)
def test_the_epoch_is_saved_before_validation_which_a_signal_ends_at_once(
    model, checkpoints, hook
):
    checkpoints.keep = 9

    def stop():
        assert (checkpoints.folder / "step-00000004.keras").exists()
        send(signal.SIGTERM)()
        pytest.fail("validation went on")

    with pytest.raises(Preempted) as stopped:
        fit(model, checkpoints, at(hook, stop), validation_data=DATA)
    assert stopped.value.code == 75


def test_an_evaluation_outside_of_training_saves_nothing(model, checkpoints):
    names = checkpoints.paths()
    model.evaluate(*DATA, callbacks=[checkpoints], verbose=0)
    assert checkpoints.paths() == names
