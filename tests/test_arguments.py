"""The checks of plain arguments, which all of the package shares."""

import numpy as np
import pytest

from keras_transformer import arguments


@pytest.mark.parametrize("value", [3, np.int64(3), np.array(3), np.uint8(3)])
def test_an_integer_of_numpy_is_as_good_as_python_s(value):
    found = arguments.integer("count", value)
    assert found == 3 and type(found) is int


@pytest.mark.parametrize("value", [2.0, "2", None, True, [2], np.array([2])])
def test_what_is_no_integer_is_named_with_its_value(value):
    with pytest.raises(TypeError, match="count must be an integer; received count="):
        arguments.integer("count", value)


@pytest.mark.parametrize("minimum, value", [(1, 0), (0, -1), (2, 1)])
def test_an_integer_below_its_minimum_is_refused(minimum, value):
    words = f"count must be at least {minimum}; received count={value}"
    with pytest.raises(ValueError, match=words):
        arguments.integer("count", value, minimum)


def test_without_a_minimum_any_integer_will_do():
    assert arguments.integer("seed", -(2**40), minimum=None) == -(2**40)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5)])
def test_numbers_are_python_s_own(value):
    found = arguments.number("share", value, above=0, below=1)
    assert found == 0.5 and type(found) is float


@pytest.mark.parametrize("value", [0, 1, float("nan"), float("inf"), -0.1, 10**400])
def test_a_number_outside_of_its_limits_is_refused(value):
    words = "share must be finite and greater than 0 and less than 1"
    with pytest.raises(ValueError, match=words):
        arguments.number("share", value, above=0, below=1)


@pytest.mark.parametrize("value", [0, 1, "no", None, np.array([True])])
def test_a_flag_is_true_or_false(value):
    with pytest.raises(TypeError, match="must be True or False; received deep="):
        arguments.flag("deep", value)


@pytest.mark.parametrize(
    "value, error",
    [(None, TypeError), (3, TypeError), (b"x", TypeError), ("", ValueError)],
)
def test_what_is_no_path_is_named(value, error):
    with pytest.raises(error, match="folder must .*; received folder="):
        arguments.path("folder", value)


def test_an_error_of_type_is_an_error_of_value_too():
    """So that a setting from a file is refused as other wrong settings are."""
    checks = "integer", "number", "rate", "flag"
    for check in (getattr(arguments, name) for name in checks):
        with pytest.raises(ValueError):
            check("size", "large")
    with pytest.raises(ValueError):
        arguments.path("folder", 3)


def test_an_unknown_name_is_answered_with_the_nearest_and_its_value():
    with pytest.raises(
        TypeError, match="f.. has no argument 'siz' .did you mean 'size'.*siz=3"
    ):
        arguments.check_names("f()", {"siz": 3}, ["size", "name"])


def test_names_of_a_function_are_those_that_can_be_given_by_name():
    def function(self, first, *others, second=1, **further):
        pass

    assert arguments.names_of(function) == {"first", "second"}
