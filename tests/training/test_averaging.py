"""Averaged checkpoints: the mean of each weight."""

import keras
import numpy as np
import pytest

from keras_transformer.training import average_checkpoints


def model_of(value, units=2):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(units),
            keras.layers.BatchNormalization(),
        ]
    )
    model.set_weights([np.full(w.shape, value, "float32") for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of one model whose weights are all 1, all 2 and all 6."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for value in (1, 2, 6):
        model_of(value).save(folder / f"{value}.keras")
        model_of(value).save_weights(folder / f"{value}.weights.h5")
    model_of(1, units=4).save(folder / "other.keras")
    (folder / "cut.keras").write_bytes((folder / "1.keras").read_bytes()[:500])
    (folder / "text.keras").write_text("no model", encoding="utf-8")
    return folder


@pytest.mark.parametrize("ending", ["keras", "weights.h5"])
@pytest.mark.parametrize("values", [(1,), (1, 2, 6), (2, 2, 1), (6, 6)])
def test_each_weight_is_the_mean(saved, values, ending):
    model = model_of(0)
    average_checkpoints(model, [saved / f"{value}.{ending}" for value in values])
    for weight in model.get_weights():
        np.testing.assert_allclose(weight, np.mean(values), rtol=1e-6)


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_any_sequence_of_paths_or_strings_will_do(saved, kind):
    model = model_of(0)
    average_checkpoints(model, kind([str(saved / "1.keras"), saved / "2.keras"]))
    assert all((weight == 1.5).all() for weight in model.get_weights())


def test_the_mean_of_large_and_small_weights_keeps_the_small(tmp_path):
    paths = []
    for i, value in enumerate((2.0**24, 1.0, -(2.0**24), 3.0)):
        paths.append(tmp_path / f"{i}.keras")
        model_of(value).save(paths[-1])
    model = model_of(0)
    average_checkpoints(model, paths)
    assert all((weight == 1.0).all() for weight in model.get_weights())


@pytest.mark.parametrize(
    "names, error",
    [
        (["1.keras", "other.keras"], ValueError),
        (["1.keras", "cut.keras"], ValueError),
        (["1.keras", "text.keras"], ValueError),
        (["1.keras", "none.keras"], FileNotFoundError),
    ],
)
def test_a_bad_file_is_named_and_leaves_the_model_as_it_was(saved, names, error):
    model = model_of(5)
    with pytest.raises(error, match=names[-1]):
        average_checkpoints(model, [saved / name for name in names])
    assert all((weight == 5).all() for weight in model.get_weights())


@pytest.mark.parametrize("paths", [None, 3, [None], [1, 2], "1.keras", b"1.keras"])
def test_what_is_no_list_of_paths_is_named(paths):
    with pytest.raises(TypeError, match="paths must"):
        average_checkpoints(model_of(0), paths)


def test_what_is_no_model_is_named(saved):
    with pytest.raises(TypeError, match="model must be a keras.Model.*'run'"):
        average_checkpoints("run", [saved / "1.keras"])


def test_no_paths_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        average_checkpoints(model_of(0), [])


def test_a_model_without_weights_yet_is_refused(saved):
    with pytest.raises(ValueError, match="built"):
        average_checkpoints(
            keras.Sequential([keras.layers.Dense(2)]), [saved / "1.keras"]
        )
