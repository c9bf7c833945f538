"""Learning rates are those of their papers."""

import json
import math

import keras
import numpy as np
import pytest

from keras_transformer import training
from keras_transformer.training import WarmupInverseSqrt


def test_rate_is_equation_3():
    schedule = WarmupInverseSqrt(512, 4000)
    for step in (1, 2, 100, 3999, 4000, 4001, 10_000, 1_000_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        # The first update is step 1 of the paper and iteration 0 of Keras.
        assert float(schedule(step - 1)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("warmup_steps", [1, 7, 4000])
def test_rate_is_highest_at_the_end_of_the_warm_up(warmup_steps):
    schedule = WarmupInverseSqrt.from_peak(0.005, 512, warmup_steps)
    rates = keras.ops.convert_to_numpy(schedule(np.arange(2 * warmup_steps)))
    assert rates[warmup_steps - 1] == pytest.approx(0.005, rel=1e-5)
    assert rates.argmax() == warmup_steps - 1


def test_scale_is_a_factor():
    once, thrice = WarmupInverseSqrt(8, 5), WarmupInverseSqrt(8, 5, scale=3.0)
    for step in (0, 3, 50):
        assert float(thrice(step)) == pytest.approx(3 * float(once(step)))


def test_accumulated_steps_count_as_one():
    plain, accumulated = WarmupInverseSqrt(8, 5), WarmupInverseSqrt(8, 5, 1.0, 3)
    for step in range(12):
        for part in range(3):
            found = float(accumulated(3 * step + part))
            assert found == pytest.approx(float(plain(step)))


def test_serialization_gives_the_same_schedule_back():
    schedule = WarmupInverseSqrt(np.int64(8), np.int32(5), np.float32(0.5), np.int64(3))
    module = keras.optimizers.schedules
    again = module.deserialize(module.serialize(schedule))
    config = {"hidden_dim": 8, "warmup_steps": 5, "scale": 0.5, "accumulation_steps": 3}
    assert again.get_config() == schedule.get_config() == config


@pytest.mark.parametrize("make", [WarmupInverseSqrt, WarmupInverseSqrt.from_peak])
@pytest.mark.parametrize(
    "name, value",
    [
        ("hidden_dim", 0),
        ("hidden_dim", -8),
        ("hidden_dim", 8.5),
        ("hidden_dim", "8"),
        ("hidden_dim", None),
        ("warmup_steps", 0),
        ("warmup_steps", -1),
        ("warmup_steps", "10"),
        ("warmup_steps", float("nan")),
        ("warmup_steps", float("inf")),
        ("accumulation_steps", 0),
        ("accumulation_steps", 2.5),
        ("accumulation_steps", True),
        ("factor", 0),
        ("factor", -1.0),
        ("factor", float("nan")),
        ("factor", "1"),
    ],
)
def test_settings_that_mean_nothing_are_named(make, name, value):
    factor = "scale" if make is WarmupInverseSqrt else "peak"
    name = factor if name == "factor" else name
    arguments = {factor: 1.0, "hidden_dim": 8, "warmup_steps": 5, name: value}
    with pytest.raises((TypeError, ValueError), match=f"{name}.*received.*{value}"):
        make(**arguments)


NAMES = ("inverse_square_root", "constant", "linear", "cosine")


def expected_rate(name, step, peak=0.1, steps=100, warmup=20):
    """The rate of a step, the first one is 1, by the formulas of the papers."""
    if step <= warmup:
        return peak * step / warmup
    share = (step - warmup) / (steps - warmup)
    return (
        peak
        * {
            "inverse_square_root": (warmup / step) ** 0.5,
            "constant": 1.0,
            "linear": 1 - min(share, 1),
            "cosine": 0.5 * (1 + math.cos(math.pi * min(share, 1))),
        }[name]
    )


@pytest.mark.parametrize("accumulation_steps", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_each_schedule_is_its_paper_s_and_comes_back_from_json(
    name, accumulation_steps
):
    schedule = training.make_schedule(
        name,
        0.1,
        100,
        hidden_dim=16,
        warmup_steps=20,
        accumulation_steps=accumulation_steps,
    )
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    again = keras.saving.deserialize_keras_object(config)
    for update in (0, 1, 18, 19, 20, 21, 50, 98, 99, 150):
        for batch in range(accumulation_steps):
            step = update * accumulation_steps + batch
            found = float(schedule(keras.ops.convert_to_tensor(step)))
            expected = expected_rate(name, update + 1)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
            assert float(again(keras.ops.convert_to_tensor(step))) == found


@pytest.mark.parametrize("name", NAMES)
def test_without_a_peak_it_is_that_of_equation_3(name):
    schedule = training.make_schedule(name, None, 100, 16, warmup_steps=20)
    found = float(schedule(keras.ops.convert_to_tensor(19)))
    np.testing.assert_allclose(found, (16 * 20) ** -0.5, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("sine", 0.1, 100, 16), "one of inverse_square_root, constant"),
        (("plateau", 0.1, 100, 16), "one of inverse_square_root, constant"),
        (("linear", 0.1, 4000, 16), "warmup_steps must be less than steps"),
        (("cosine", 0.1, 10, 16), "warmup_steps must be less than steps"),
        (("constant", 0.0, 100, 16), "peak must be finite and greater than 0"),
        (("constant", -1, 100, 16), "peak must be finite and greater than 0"),
        (("linear", "fast", 9000, 16), "peak must be a number"),
    ],
)
def test_a_schedule_that_means_nothing_is_told(arguments, words):
    with pytest.raises((ValueError, TypeError), match=words):
        training.make_schedule(*arguments)


def test_a_rate_that_a_callback_sets_has_the_optimizer_s_warm_up():
    """`ReduceLROnPlateau` needs a number, which is the one after the warm-up."""
    variable = keras.Variable(np.zeros(1, "float32"))
    optimizer = training.Adam(0.1, warmup_steps=4, gradient_accumulation_steps=2)
    again = training.Adam.from_config(
        json.loads(json.dumps(keras.saving.serialize_keras_object(optimizer)))["config"]
    )
    assert again.warmup_steps == 4
    optimizer.build([variable])
    steps = []
    for _ in range(6):
        before = float(variable[0])
        for _ in range(2):
            optimizer.apply([keras.ops.ones(1)], [variable])
        steps.append(before - float(variable[0]))
    # Adam's step for a gradient that is always the same is the rate.
    np.testing.assert_allclose(steps, [0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rtol=1e-3)
    assert float(optimizer.learning_rate) == np.float32(0.1)
    with pytest.raises(ValueError, match="WithWarmup"):
        training.Adam(training.WarmupInverseSqrt(16), warmup_steps=4)
    with pytest.raises(ValueError, match="warmup_steps must be at least 0"):
        training.Adam(0.1, warmup_steps=-1)
