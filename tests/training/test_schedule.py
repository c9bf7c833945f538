"""The learning rate is equation 3's."""

import keras
import numpy as np
import pytest

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
